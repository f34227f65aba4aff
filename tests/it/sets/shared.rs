//! Objects that recordings share: an init segment and a key, or the segments of a live and a full
//! playlist. Each recording is whole before its move and after it, and nothing remains that no
//! playlist names any more.

use super::scene::{Objects, Scene, objects, playlist};
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::obs_recording::RECORDED;

/// A recording: its playlist, and the objects that it names.
struct Recording {
    key: &'static str,
    text: String,
    parts: &'static [&'static str],
}

fn encrypted(key: &'static str, parts: &'static [&'static str]) -> Recording {
    let [segments @ .., _, _] = parts else {
        panic!("an init segment and a key, too")
    };
    let head = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\n";
    let text = playlist(segments).replacen("#EXTM3U\n", head, 1);
    Recording { key, text, parts }
}

fn listed(key: &'static str, parts: &'static [&'static str]) -> Recording {
    let text = playlist(parts);
    Recording { key, text, parts }
}

/// Two recordings below `r/` that share an init segment and a key, or segments.
fn pairs() -> [[Recording; 2]; 2] {
    [
        [
            encrypted("r/a.m3u8", &["a1.m4s", "a2.m4s", "init.mp4", "k.key"]),
            encrypted("r/b.m3u8", &["b1.m4s", "b2.m4s", "init.mp4", "k.key"]),
        ],
        [
            listed("r/a.m3u8", &["2.m4s", "3.m4s"]),
            listed("r/b.m3u8", &["1.m4s", "2.m4s", "3.m4s"]),
        ],
    ]
}

fn record(scene: &Scene, one: &Recording) {
    for part in one.parts {
        scene.put(&format!("r/{part}"), part);
    }
    scene.put(one.key, &one.text);
}

/// The objects of recordings in these folders.
fn at(recordings: &[(&Recording, &str)]) -> Objects {
    let mut all = Objects::new();
    for (one, folder) in recordings {
        let key = |name: &str| format!("{folder}{name}");
        let name = one.key.rsplit_once('/').unwrap().1;
        all.insert(key(name), one.text.clone());
        all.extend(one.parts.iter().map(|part| (key(part), (*part).to_owned())));
    }
    all
}

/// Whether everything exists that the playlists below `r/` name.
fn plays(scene: &Scene) -> bool {
    let objects = scene.objects();
    let mut playlists = objects
        .iter()
        .filter(|(key, _)| key.rsplit('.').next() == Some("m3u8"));
    playlists.all(|(key, text)| {
        let folder = key.rsplit_once('/').unwrap().0;
        let uri = |line: &str| match line.split_once("URI=\"") {
            Some((_, rest)) => Some(rest.split('"').next().unwrap().to_owned()),
            None => (!line.is_empty() && !line.starts_with('#')).then(|| line.to_owned()),
        };
        let mut names = text.lines().filter_map(uri);
        names.all(|name| objects.contains_key(&format!("{folder}/{name}")))
    })
}

#[tokio::test]
async fn recordings_move_one_after_the_other_and_the_last_one_takes_what_they_share() {
    for targets in [["kept/a/", "kept/b/"], ["kept/", "kept/"]] {
        for backwards in [false, true] {
            for [a, b] in pairs() {
                let scene = Scene::new(&[("a", targets[0]), ("b", targets[1])]).await;
                record(&scene, &a);
                record(&scene, &b);
                let rooms = [("a", &a, targets[0]), ("b", &b, targets[1])];
                let (first, second) = if backwards {
                    (rooms[1], rooms[0])
                } else {
                    (rooms[0], rooms[1])
                };
                scene.moves(first.1.key, first.0).await;
                let between = at(&[(first.1, first.2), (second.1, "r/")]);
                assert_eq!(scene.objects(), between, "{targets:?} {backwards}");
                scene.moves(second.1.key, second.0).await;
                let after = at(&[(first.1, first.2), (second.1, second.2)]);
                assert_eq!(scene.objects(), after, "{targets:?} {backwards}");
            }
        }
    }
}

#[tokio::test]
async fn recordings_that_move_at_the_same_time_leave_nothing_behind() {
    for targets in [["kept/a/", "kept/b/"], ["kept/", "kept/"]] {
        for [a, b] in pairs() {
            let scene = Scene::new(&[("a", targets[0]), ("b", targets[1])]).await;
            record(&scene, &a);
            record(&scene, &b);
            // Both have made their copies before either deletes anything.
            let gates = [Gate::new(), Gate::new()];
            for gate in &gates {
                let is_deletion = |one: &Recorded| {
                    one.method == "DELETE" || (one.method == "POST" && one.has("delete"))
                };
                scene
                    .obs
                    .strike_first(is_deletion, Fault::Hold(gate.clone()));
            }
            scene.announce(a.key, "a").await;
            scene.announce(b.key, "b").await;
            if targets[0] == targets[1] {
                // They lead to the same keys: one waits for the other.
                gates[0].reached().await;
            } else {
                for gate in &gates {
                    gate.reached().await;
                }
            }
            gates.iter().for_each(Gate::open);
            scene.rest().await;
            for room in ["a", "b"] {
                assert_eq!(scene.task(room), ("done", String::new()), "{targets:?}");
            }
            let after = at(&[(&a, targets[0]), (&b, targets[1])]);
            assert_eq!(scene.objects(), after, "{targets:?}");
        }
    }
}

/// What another recording took along is copied from its current place and stays there.
#[tokio::test]
async fn recording_that_came_later_finds_what_another_one_took_along() {
    for [a, b] in pairs() {
        // A second step moves it on.
        let twice = "kept/a/' } }, { id: on, rename: { to: 'last/";
        let scene = Scene::new(&[("a", twice), ("b", "kept/b/")]).await;
        record(&scene, &a);
        scene.moves(a.key, "a").await;
        assert_eq!(scene.objects(), at(&[(&a, "last/")]));
        for part in b.parts.iter().filter(|part| !a.parts.contains(part)) {
            scene.put(&format!("r/{part}"), part);
        }
        scene.put(b.key, &b.text);
        scene.moves(b.key, "b").await;
        assert_eq!(scene.objects(), at(&[(&a, "last/"), (&b, "kept/b/")]));
    }
}

#[tokio::test]
async fn missing_shared_object_is_reported_with_the_task_that_moved_it() {
    let [a, b] = pairs().into_iter().nth(1).unwrap();
    let scene = Scene::new(&[("a", "kept/a/"), ("b", "kept/b/"), ("c", "kept/c/")]).await;
    record(&scene, &a);
    scene.moves(a.key, "a").await;
    scene.obs.world(|world| {
        world.bucket(RECORDED).objects.remove("kept/a/2.m4s");
    });
    scene.put_all(&[("r/1.m4s", "1.m4s"), (b.key, &b.text)]);
    let mut before = scene.objects();
    let (state, why) = scene.play(b.key, "b").await;
    assert_eq!(state, "dead");
    let mover = scene.id("a");
    assert!(why.contains("r/2.m4s") && why.contains(&mover), "{why}");
    // The same with a master playlist.
    scene.obs.world(|world| {
        world.bucket(RECORDED).objects.remove("kept/a/a.m3u8");
    });
    before.remove("kept/a/a.m3u8");
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
    scene.put("r/m.m3u8", master);
    let (state, why) = scene.play("r/m.m3u8", "c").await;
    assert_eq!(state, "dead");
    assert!(why.contains("r/a.m3u8") && why.contains(&mover), "{why}");
    scene.obs.world(|world| {
        world.bucket(RECORDED).objects.remove("r/m.m3u8");
    });
    assert_eq!(scene.objects(), before);
}

/// A master playlist names a rendition that has its own callback.
#[tokio::test]
async fn rendition_that_moves_by_itself_stays_for_the_master_playlist() {
    let scene = Scene::new(&[("v", "kept/v/"), ("m", "kept/m/")]).await;
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhd/v.m3u8\n";
    let video = playlist(&["1.ts"]);
    let parts = [("hd/v.m3u8", &*video), ("hd/1.ts", "1")];
    for (name, content) in parts.into_iter().chain([("m.m3u8", master)]) {
        scene.put(&format!("r/{name}"), content);
    }
    // The rendition's folder has no other playlist; the master's folder has one.
    scene.put(
        "r/hd/all.m3u8",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n",
    );
    scene.moves("r/hd/v.m3u8", "v").await;
    assert!(plays(&scene), "{:?}", scene.objects());
    scene.moves("r/m.m3u8", "m").await;
    assert!(plays(&scene), "{:?}", scene.objects());
    let kept = scene
        .objects()
        .into_keys()
        .filter(|key| key.starts_with("kept/"));
    let expected = [
        "kept/m/hd/1.ts",
        "kept/m/hd/v.m3u8",
        "kept/m/m.m3u8",
        "kept/v/1.ts",
        "kept/v/v.m3u8",
    ];
    assert_eq!(kept.collect::<Vec<_>>(), expected);
}

/// Unreadable playlists in the folder stop nothing, and folders below it are skipped.
#[tokio::test]
async fn other_objects_next_to_a_recording_stop_nothing() {
    let scene = Scene::new(&[("a", "kept/")]).await;
    let text = playlist(&["1.ts"]);
    scene.put_all(&[("r/a.m3u8", &text), ("r/1.ts", "1"), ("r/0.m3u8", "<html>")]);
    scene.put_all(&[("r/z.m3u8", "#EXTM3U\n#EXT-X-KEY URI=\"x\"\n2.ts\n")]);
    scene.put("s/x.m3u8", "#EXTM3U\n../r/1.ts\n");
    for number in 0..3_000 {
        scene.put(&format!("r/below/{number}.ts"), "x");
    }
    scene.moves("r/a.m3u8", "a").await;
    let mut objects_left = scene.objects();
    objects_left.retain(|key, _| !key.starts_with("r/below/"));
    let expected = objects(&[
        ("kept/a.m3u8", &text),
        ("kept/1.ts", "1"),
        ("r/0.m3u8", "<html>"),
        ("r/z.m3u8", "#EXTM3U\n#EXT-X-KEY URI=\"x\"\n2.ts\n"),
        ("s/x.m3u8", "#EXTM3U\n../r/1.ts\n"),
    ]);
    assert_eq!(objects_left, expected);
    let lists = scene.obs.requests();
    let lists = lists.iter().filter(|one| one.value("prefix") == Some("r/"));
    assert!(lists.count() <= 6, "what is below is passed over");
}

/// A master playlist that appears while its rendition is moved can still use the rendition.
#[tokio::test]
async fn master_playlist_that_appears_during_a_move_keeps_its_rendition() {
    let scene = Scene::new(&[("v", "kept/v/"), ("m", "kept/m/")]).await;
    let video = listed("r/v.m3u8", &["1.ts", "2.ts"]);
    record(&scene, &video);
    let gate = Gate::new();
    scene
        .obs
        .strike_first(|one: &Recorded| one.is_copy(), Fault::Hold(gate.clone()));
    scene.announce(video.key, "v").await;
    gate.reached().await;
    let master = Recording {
        key: "r/m.m3u8",
        text: "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n".to_owned(),
        parts: &[],
    };
    record(&scene, &master);
    gate.open();
    scene.rest().await;
    assert_eq!(scene.task("v"), ("done", String::new()));
    let between = at(&[(&video, "kept/v/"), (&video, "r/"), (&master, "r/")]);
    assert_eq!(scene.objects(), between);
    scene.moves(master.key, "m").await;
    let after = at(&[
        (&video, "kept/v/"),
        (&video, "kept/m/"),
        (&master, "kept/m/"),
    ]);
    assert_eq!(scene.objects(), after);
}

#[tokio::test]
async fn playlist_that_appears_during_a_move_keeps_what_it_names() {
    let [a, b] = pairs().into_iter().nth(1).unwrap();
    let scene = Scene::new(&[("a", "kept/a/")]).await;
    record(&scene, &a);
    let gate = Gate::new();
    scene
        .obs
        .strike_first(|one: &Recorded| one.is_copy(), Fault::Hold(gate.clone()));
    scene.announce(a.key, "a").await;
    gate.reached().await;
    scene.put_all(&[("r/1.m4s", "1.m4s"), (b.key, &b.text)]);
    gate.open();
    scene.rest().await;
    assert_eq!(scene.task("a"), ("done", String::new()));
    assert_eq!(scene.objects(), at(&[(&a, "kept/a/"), (&b, "r/")]));
}
