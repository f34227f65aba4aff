//! HLS recordings that are moved to one folder with `on_conflict: overwrite`: each replaces only the
//! recording of the same name.

use aftertake::model::recording::Place;

use super::film::{Film, Objects};
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;

const MANY: usize = 6;

fn rules(policy: &str) -> String {
    format!("[{{ name: keep, steps: [{{ rename: {{ to: 'kept/', on_conflict: {policy} }} }}] }}]")
}

/// The same scene at OBS and in folders.
async fn scenes(policy: &str) -> [Scene; 2] {
    let rules = rules(policy);
    [Scene::new(&rules).await, Scene::in_folders(&rules).await]
}

/// A recording of this name with this many segments, whose names are the same in every recording.
fn lesson(mark: &str, name: &str, segments: usize) -> Film {
    Film::hls(mark, &format!("r/{mark}/{name}.m3u8"), segments)
}

/// A recording with parts of these names.
fn with_parts(mark: &str, name: &str, lines: &str, parts: &[&str]) -> Film {
    let part = |name: &&str| ((*name).to_owned(), format!("{mark} {name}"));
    let parts = parts.iter().map(part).collect();
    Film::playlist(mark, &format!("r/{mark}/{name}.m3u8"), lines, parts)
}

pub(super) fn kept(name: &str) -> Place {
    place(RECORDED, &format!("kept/{name}"))
}

/// Puts the film at its target, without a task.
fn put_at_target(scene: &Scene, film: &Film) {
    for (at, content) in film.objects() {
        let name = at.key.splitn(3, '/').last().unwrap();
        put(scene, &kept(name), std::str::from_utf8(&content).unwrap());
    }
}

pub(super) fn put(scene: &Scene, at: &Place, text: &str) {
    match &scene.folder {
        None => scene.put(at, text),
        Some(folder) => {
            let path = folder.path().join(&at.bucket).join(&at.key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
}

pub(super) async fn play(scene: &Scene, films: &[&Film]) {
    let life = scene.serve().await;
    for film in films {
        scene.record(film);
        life.announce(film).await;
        life.rest(&film.to_string()).await;
    }
    life.stop().await;
}

/// Asserts that this film is refused and changes nothing; returns the bucket's content and the reason.
pub(super) async fn refused(scene: &Scene, film: &Film) -> (Objects, String) {
    scene.record(film);
    let before = scene.objects();
    play(scene, &[film]).await;
    let task = scene.task(film);
    assert_eq!(task.state, "dead", "{film}\n{}", scene.told());
    assert_eq!(scene.objects(), before, "{film}");
    assert!(task.leaves.is_none(), "{:?}", task.leaves);
    let why = task.failure.unwrap();
    assert_eq!(why.kind.name(), "conflict", "{why}");
    (before, why.reason)
}

pub(super) fn assert_done(scene: &Scene, film: &Film) {
    assert_eq!(scene.task(film).state, "done", "{film}\n{}", scene.told());
}

#[tokio::test]
async fn segments_of_another_recording_are_never_replaced() {
    for (policy, moves) in [("overwrite", false), ("fail", false), ("keep_both", true)] {
        for scene in scenes(policy).await {
            let films = [lesson("one", "lesson1", 3), lesson("two", "lesson2", 2)];
            play(&scene, &[&films[0]]).await;
            scene.guard(&films[..1]);
            if moves {
                play(&scene, &[&films[1]]).await;
            } else {
                let (_, why) = refused(&scene, &films[1]).await;
                assert!(why.contains("recorded/kept/1.ts exists already"), "{why}");
                if policy == "overwrite" {
                    let to = "nothing but the playlist at recorded/kept/lesson2.m3u8 and its parts";
                    assert!(why.contains(to) && why.contains("{{ job_id }}"), "{why}");
                }
            }
            let places = scene.account(&films, &[], policy);
            assert_eq!(places[0], kept("lesson1.m3u8"), "{policy}");
            assert_eq!(places[1].key.starts_with("kept"), moves, "{policy}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_recordings_moves_to_a_folder_and_all_stay_whole() {
    for scene in scenes("overwrite").await {
        let film = |k: usize| lesson(&k.to_string(), &format!("lesson{k}"), 3);
        let films: Vec<Film> = (0..MANY).map(film).collect();
        scene.record_all(&films);
        scene.guard(&films);
        let life = scene.serve().await;
        life.announce_all(&films).await;
        life.rest("at once").await;
        life.stop().await;
        let places = scene.account(&films, &[], "at once");
        let moved = places.iter().filter(|at| at.key.starts_with("kept"));
        assert_eq!(moved.count(), 1, "{places:?}\n{}", scene.told());
    }
}

#[tokio::test]
async fn recording_that_is_replaced_leaves_nothing_behind() {
    let nested = |mark: &str, parts: &[&str]| {
        let mut film = vec!["v/init.mp4"];
        film.extend(parts);
        with_parts(mark, "lesson", "#EXT-X-MAP:URI=\"v/init.mp4\"\n", &film)
    };
    let pairs = [
        (lesson("one", "lesson", 5), lesson("two", "lesson", 2)),
        (lesson("one", "lesson", 2), lesson("two", "lesson", 5)),
        (
            nested("one", &["v/1.m4s", "v/x/2.m4s", "3.m4s"]),
            nested("two", &["v/1.m4s", "4.m4s"]),
        ),
        // More than a page of a listing and of a manifest.
        (lesson("one", "lesson", 2_300), lesson("two", "lesson", 3)),
    ];
    for (first, second) in pairs {
        for scene in scenes("overwrite").await {
            play(&scene, &[&first]).await;
            assert_done(&scene, &first);
            scene.record(&second);
            scene.guard(std::slice::from_ref(&second));
            play(&scene, &[&second]).await;
            assert_done(&scene, &second);
            let places = scene.account(std::slice::from_ref(&second), &[], "replaced");
            assert_eq!(places, [kept("lesson.m3u8")]);
        }
    }
}

/// A master playlist: renditions that the new one does not have are deleted, too.
#[tokio::test]
async fn renditions_of_a_recording_that_is_replaced_are_deleted_with_their_segments() {
    for scene in scenes("overwrite").await {
        let list = |names: &[&str]| {
            let line = |name: &&str| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n");
            format!("#EXTM3U\n{}", names.iter().map(line).collect::<String>())
        };
        put(
            &scene,
            &kept("lesson.m3u8"),
            &list(&["hi/v.m3u8", "lo/v.m3u8"]),
        );
        for rendition in ["hi", "lo"] {
            let segments = "#EXTM3U\n#EXTINF:6,\n1.ts\n#EXTINF:6,\n2.ts\n";
            put(&scene, &kept(&format!("{rendition}/v.m3u8")), segments);
            for segment in ["1.ts", "2.ts"] {
                put(&scene, &kept(&format!("{rendition}/{segment}")), "old");
            }
        }
        let film = with_parts("one", "lesson", "", &["lo/1.ts"]);
        play(&scene, &[&film]).await;
        assert_done(&scene, &film);
        scene.account(&[film], &[], "renditions");
    }
}

#[tokio::test]
async fn what_another_playlist_names_is_not_replaced_and_not_deleted() {
    let first = lesson("one", "lesson", 5);
    let other = "#EXTM3U\n#EXTINF:6,\n4.ts\n#EXTINF:6,\n5.ts\n";
    for scene in scenes("overwrite").await {
        play(&scene, &[&first]).await;
        put(&scene, &kept("other.m3u8"), other);
        let (before, why) = refused(&scene, &lesson("two", "lesson", 4)).await;
        assert!(why.contains("kept/4.ts exists already"), "{why}");
        assert!(why.contains("another playlist names this object"), "{why}");
        let third = lesson("three", "lesson", 3);
        play(&scene, &[&third]).await;
        assert_done(&scene, &third);
        let after = scene.objects();
        for shared in ["4.ts", "5.ts", "other.m3u8"].map(kept) {
            assert_eq!(after[&shared], before[&shared], "{shared}");
        }
        assert_eq!(third.places(&after), [kept("lesson.m3u8")]);
        let shown = scene.show(&scene.task(&third));
        let left = "\"left\":\"recorded/kept/4.ts, recorded/kept/5.ts\"";
        assert!(shown.contains(left), "{shown}");
        let told = "recorded/kept/4.ts  left: a recording may need it";
        assert!(shown.contains(told), "{shown}");
    }
}

#[tokio::test]
async fn single_object_replaces_no_part_of_a_playlist() {
    let list = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/list.m3u8\n";
    let rendition = "#EXTM3U\n#EXTINF:6,\n../a.mp4\n";
    for scene in scenes("overwrite").await {
        put(&scene, &kept("master.m3u8"), list);
        put(&scene, &kept("v/list.m3u8"), rendition);
        put(&scene, &kept("a.mp4"), "a part of another recording");
        let film = Film::mp4("one", "r/one/a.mp4", 500);
        let (_, why) = refused(&scene, &film).await;
        assert!(why.contains("kept/a.mp4 exists already"), "{why}");
        assert!(why.contains("a playlist names this object"), "{why}");
        // Nobody names this one.
        let film = Film::mp4("two", "r/two/b.mp4", 500);
        put(&scene, &kept("b.mp4"), "an older one");
        play(&scene, &[&film]).await;
        assert_done(&scene, &film);
        assert_eq!(film.places(&scene.objects()), [kept("b.mp4")]);
    }
}

/// Playlists in other folders may name them.
#[tokio::test]
async fn what_the_replaced_playlist_names_outside_its_folder_is_left() {
    for scene in scenes("overwrite").await {
        let older =
            "#EXTM3U\n#EXTINF:6,\n../library/intro.ts\n#EXTINF:6,\n1.ts\n#EXTINF:6,\n2.ts\n";
        put(&scene, &kept("lesson.m3u8"), older);
        put(&scene, &kept("1.ts"), "old");
        put(&scene, &kept("2.ts"), "old");
        let intro = place(RECORDED, "library/intro.ts");
        put(&scene, &intro, "the intro of all");
        let film = lesson("one", "lesson", 1);
        play(&scene, &[&film]).await;
        assert_done(&scene, &film);
        scene.account(
            std::slice::from_ref(&film),
            std::slice::from_ref(&intro),
            "outside",
        );
        assert_eq!(scene.objects()[&intro], "the intro of all");
        let shown = scene.show(&scene.task(&film));
        assert!(
            shown.contains("\"left\":\"recorded/library/intro.ts\""),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn without_a_playlist_that_can_be_read_no_segment_is_replaced() {
    for (text, why_not) in [
        (None, "there is none"),
        (Some("no playlist"), "what it names is not known"),
        (
            Some("#EXTM3U\n#EXTINF:6,\n1.ts\n{$x}.ts\n"),
            "what it names is not known",
        ),
        (
            Some("#EXTM3U\n#EXTINF:6,\n2.ts\n"),
            "it does not name this object",
        ),
    ] {
        for scene in scenes("overwrite").await {
            put(&scene, &kept("1.ts"), "of somebody");
            if let Some(text) = text {
                put(&scene, &kept("lesson.m3u8"), text);
            }
            let (_, why) = refused(&scene, &lesson("one", "lesson", 2)).await;
            assert!(why.contains("kept/1.ts exists already"), "{why}");
            assert!(why.contains(why_not), "{why}");
        }
    }
    // The object at the recording's target is replaced all the same.
    for scene in scenes("overwrite").await {
        put(&scene, &kept("lesson.m3u8"), "no playlist");
        let film = lesson("one", "lesson", 2);
        play(&scene, &[&film]).await;
        scene.account(&[film], &[], "no playlist");
    }
}

/// It may not be another recording, so its earlier segments are not deleted.
#[tokio::test]
async fn segments_that_a_recording_under_the_same_key_no_longer_names_are_left() {
    for job in ["j", ""] {
        let scene = Scene::new(&rules("overwrite")).await;
        let parts = |names: &[&str]| with_parts("one", "live", "", names).of_job(job);
        let first = parts(&["1.ts", "2.ts"]);
        let later = parts(&["2.ts", "3.ts"]).ending(30).in_room("later");
        play(&scene, &[&first]).await;
        scene.put(&place(RECORDED, "r/one/3.ts"), "one 3.ts");
        let text = later.objects()[&later.at].clone();
        scene.put(&later.at, std::str::from_utf8(&text).unwrap());
        let life = scene.serve().await;
        life.announce(&later).await;
        life.rest("later").await;
        life.stop().await;
        assert_done(&scene, &later);
        let places = scene.account(std::slice::from_ref(&later), &[kept("1.ts")], "later");
        assert_eq!(places, [kept("live.m3u8")], "{job:?}");
        assert_eq!(scene.objects()[&kept("1.ts")], "one 1.ts", "{job:?}");
        let shown = scene.show(&scene.task(&later));
        assert!(shown.contains("\"left\":\"recorded/kept/1.ts\""), "{shown}");
    }
}

/// The recorder has reused its key.
#[tokio::test]
async fn recording_of_another_job_under_the_same_key_replaces_all_of_the_first() {
    let first = Film::hls("one", "r/x/a.m3u8", 5);
    let mut second = Film::hls("two", "r/x/a.m3u8", 2).ending(90);
    second.forget();
    for scene in scenes("overwrite").await {
        play(&scene, &[&first]).await;
        play(&scene, &[&second]).await;
        assert_done(&scene, &second);
        let places = scene.account(std::slice::from_ref(&second), &[], "another job");
        assert_eq!(places, [kept("a.m3u8")]);
    }
}

/// Another program writes while the copies are made.
#[tokio::test]
async fn what_comes_to_a_target_of_a_set_while_it_is_moved_is_not_replaced() {
    for replaces in [false, true] {
        let scene = Scene::new(&rules("overwrite")).await;
        let film = lesson("two", "lesson", 3);
        if replaces {
            put_at_target(&scene, &lesson("one", "lesson", 3));
        }
        scene.record(&film);
        scene.guard(std::slice::from_ref(&film));
        let gate = Gate::new();
        let first_copy = |request: &Recorded| request.is_copy();
        scene
            .obs
            .strike_first(first_copy, Fault::Hold(gate.clone()));
        let life = scene.serve().await;
        life.announce(&film).await;
        gate.reached().await;
        scene.put(&kept("lesson.m3u8"), "#EXTM3U\n#EXTINF:6,\n9.ts\n");
        gate.open();
        life.rest("taken meanwhile").await;
        life.stop().await;
        let task = scene.task(&film);
        assert_eq!(task.state, "dead", "{}", scene.told());
        let why = task.failure.unwrap().reason;
        assert!(why.contains("kept/lesson.m3u8 appeared"), "{why}");
        let objects = scene.objects();
        assert_eq!(objects[&kept("lesson.m3u8")], "#EXTM3U\n#EXTINF:6,\n9.ts\n");
        assert_eq!(film.places(&objects), std::slice::from_ref(&film.at));
        assert_eq!(objects.contains_key(&kept("1.ts")), replaces);
    }
}
