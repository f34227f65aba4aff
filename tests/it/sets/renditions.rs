//! A master playlist and its renditions, which have separate callbacks. Whichever moves first, every
//! playlist finds everything it names, and both tasks finish.

use serde_json::json;

use super::scene::{Scene, playlist};
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::obs_recording::RECORDED;
use crate::support::test_service::{PATIENT, TestService};

const MASTER: &str = "r/x/m.m3u8";

/// The rendition's folder, relative to that of the master playlist.
const FOLDERS: [&str; 3] = ["", "hd/", "video/hd/"];

/// The jobs of the rendition's and the master playlist's callback.
const JOBS: [[Option<&str>; 2]; 3] = [[None, None], [Some("j"), Some("j")], [Some("j"), Some("k")]];

async fn scene() -> Scene {
    Scene::new(&[("v", "kept/v/"), ("m", "kept/m/")]).await
}

fn rendition(folder: &str) -> String {
    format!("r/x/{folder}v.m3u8")
}

fn record_rendition(scene: &Scene, folder: &str) {
    scene.put(&format!("r/x/{folder}1.ts"), "1");
    scene.put(&rendition(folder), &playlist(&["1.ts"]));
}

fn record_master(scene: &Scene, folder: &str) {
    let master = format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{folder}v.m3u8\n");
    scene.put(MASTER, &master);
}

fn keys(scene: &Scene) -> Vec<String> {
    scene.objects().into_keys().collect()
}

/// The keys of a rendition and of a master playlist.
fn parts(rendition: &[String], master: Option<&str>) -> Vec<String> {
    let names = ["1.ts", "v.m3u8"];
    let inside = |folder: &String| names.map(|name| format!("{folder}{name}"));
    let mut keys: Vec<String> = rendition.iter().flat_map(inside).collect();
    keys.extend(master.map(str::to_owned));
    keys.sort();
    keys
}

#[tokio::test]
async fn rendition_that_is_moved_first_stays_for_its_master_playlist() {
    for folder in FOLDERS {
        for [of_rendition, of_master] in JOBS {
            let at = format!("{folder:?} {of_rendition:?} {of_master:?}");
            let scene = scene().await;
            record_rendition(&scene, folder);
            record_master(&scene, folder);
            let key = rendition(folder);
            scene.announce_of(of_rendition, &key, "v").await;
            scene.rest().await;
            assert_eq!(scene.task("v"), ("done", String::new()), "{at}");
            let both = ["kept/v/".to_owned(), format!("r/x/{folder}")];
            assert_eq!(keys(&scene), parts(&both, Some(MASTER)), "{at}");
            scene.announce_of(of_master, MASTER, "m").await;
            scene.rest().await;
            assert_eq!(scene.task("m"), ("done", String::new()), "{at}");
            let both = ["kept/v/".to_owned(), format!("kept/m/{folder}")];
            assert_eq!(keys(&scene), parts(&both, Some("kept/m/m.m3u8")), "{at}");
        }
    }
}

/// When the master playlist was moved, the rendition's task already existed and waited.
#[tokio::test]
async fn rendition_that_its_master_playlist_has_taken_along_is_where_that_is() {
    for folder in FOLDERS {
        for [of_rendition, of_master] in JOBS {
            let at = format!("{folder:?} {of_rendition:?} {of_master:?}");
            let scene = scene().await;
            record_rendition(&scene, folder);
            record_master(&scene, folder);
            let (key, gate) = (rendition(folder), Gate::new());
            let of = key.clone();
            let is_first = move |one: &Recorded| one.key == of;
            scene.obs.strike_first(is_first, Fault::Hold(gate.clone()));
            scene.announce_of(of_rendition, &key, "v").await;
            gate.reached().await;
            scene.announce_of(of_master, MASTER, "m").await;
            scene.rests("m").await;
            assert_eq!(scene.task("m"), ("done", String::new()), "{at}");
            gate.open();
            scene.rest().await;
            assert_eq!(scene.task("v"), ("done", String::new()), "{at}");
            let whole = [format!("kept/m/{folder}")];
            assert_eq!(keys(&scene), parts(&whole, Some("kept/m/m.m3u8")), "{at}");
            let shown = scene
                .test_service
                .aftertake(&["tasks", "show", &scene.id("v")]);
            let place = format!("kept/m/{folder}v.m3u8");
            assert!(shown.contains(&place), "{at}: {shown}");
        }
    }
}

/// It took what the waiting task's callback had announced: nothing more may come.
#[tokio::test]
async fn rendition_that_waited_while_its_master_playlist_took_it_along_needs_no_further_wait() {
    for [of_rendition, of_master] in JOBS {
        let rooms = [("v", "kept/v/"), ("m", "kept/m/")];
        let scene = Scene::with(&rooms, "source_grace: 1h").await;
        record_rendition(&scene, "hd/");
        record_master(&scene, "hd/");
        let (key, gate) = (rendition("hd/"), Gate::new());
        let of = key.clone();
        let is_first = move |one: &Recorded| one.key == of;
        scene.obs.strike_first(is_first, Fault::Hold(gate.clone()));
        scene.announce_of(of_rendition, &key, "v").await;
        gate.reached().await;
        scene.announce_of(of_master, MASTER, "m").await;
        scene.rests("m").await;
        gate.open();
        scene.rest().await;
        assert_eq!(scene.task("v"), ("done", String::new()));
        let whole = ["kept/m/hd/".to_owned()];
        assert_eq!(keys(&scene), parts(&whole, Some("kept/m/m.m3u8")));
    }
}

/// Another job has recorded a rendition under its key before its callback came.
#[tokio::test]
async fn rendition_that_its_master_playlist_has_taken_along_is_not_what_another_job_recorded_there()
{
    for names in [&["1.ts", "2.ts"][..], &["n1.ts"]] {
        let rooms = [("v", "kept/v/"), ("m", "kept/m/"), ("other", "kept/o/")];
        let scene = Scene::with(&rooms, "source_grace: 1ms").await;
        // The other job's recording cannot move.
        let in_the_way = "kept/o/v.m3u8".to_owned();
        scene.put(&in_the_way, "in the way");
        record_rendition(&scene, "hd/");
        record_master(&scene, "hd/");
        let key = rendition("hd/");
        scene.announce_of(Some("j"), MASTER, "m").await;
        scene.rest().await;
        for name in names {
            scene.put(&format!("r/x/hd/{name}"), "other");
        }
        scene.put(&key, &playlist(names));
        scene.announce_of(Some("k"), &key, "other").await;
        scene.announce_of(Some("j"), &key, "v").await;
        scene.rest().await;
        assert_eq!(scene.task("v"), ("done", String::new()), "{names:?}");
        let whole = ["kept/m/hd/".to_owned()];
        let mut expected = parts(&whole, Some("kept/m/m.m3u8"));
        expected.extend(names.iter().map(|name| format!("r/x/hd/{name}")));
        expected.extend([key, in_the_way]);
        expected.sort();
        assert_eq!(keys(&scene), expected);
        let shown = scene
            .test_service
            .aftertake(&["tasks", "show", &scene.id("v")]);
        assert!(shown.contains("kept/m/hd/v.m3u8"), "{shown}");
    }
}

/// The rendition's callback comes later. With another job it is another recording, which is missing.
#[tokio::test]
async fn rendition_that_is_announced_after_its_master_playlist_has_moved_is_found_unless_of_another_job()
 {
    for [of_rendition, of_master] in JOBS {
        let scene = scene().await;
        record_rendition(&scene, "hd/");
        record_master(&scene, "hd/");
        scene.announce_of(of_master, MASTER, "m").await;
        scene.rest().await;
        scene
            .announce_of(of_rendition, &rendition("hd/"), "v")
            .await;
        scene.rest().await;
        let whole = ["kept/m/hd/".to_owned()];
        assert_eq!(keys(&scene), parts(&whole, Some("kept/m/m.m3u8")));
        let (state, why) = scene.task("v");
        if of_rendition == of_master {
            assert_eq!((state, &*why), ("done", ""));
            continue;
        }
        assert_eq!(state, "dead");
        let told = [&*scene.id("m"), "kept/m/hd/v.m3u8", "another job"];
        assert!(told.iter().all(|part| why.contains(part)), "{why}");
    }
}

/// The master playlist is written after its rendition has moved away.
#[tokio::test]
async fn master_playlist_that_is_written_later_finds_its_rendition_unless_of_another_job() {
    for folder in FOLDERS {
        for [of_rendition, of_master] in JOBS {
            let at = format!("{folder:?} {of_rendition:?} {of_master:?}");
            let scene = scene().await;
            record_rendition(&scene, folder);
            let key = rendition(folder);
            scene.announce_of(of_rendition, &key, "v").await;
            scene.rest().await;
            let moved = ["kept/v/".to_owned()];
            assert_eq!(keys(&scene), parts(&moved, None), "{at}");
            record_master(&scene, folder);
            scene.announce_of(of_master, MASTER, "m").await;
            scene.rest().await;
            let (state, why) = scene.task("m");
            if of_rendition == of_master {
                assert_eq!((state, &*why), ("done", ""), "{at}");
                let both = ["kept/v/".to_owned(), format!("kept/m/{folder}")];
                assert_eq!(keys(&scene), parts(&both, Some("kept/m/m.m3u8")), "{at}");
                continue;
            }
            assert_eq!(state, "dead", "{at}");
            let told = [&*scene.id("v"), "kept/v/v.m3u8"];
            assert!(told.iter().all(|part| why.contains(part)), "{at}: {why}");
            assert_eq!(keys(&scene), parts(&moved, Some(MASTER)), "{at}");
        }
    }
}

#[tokio::test]
async fn rendition_and_master_playlist_that_move_at_the_same_time_are_whole() {
    for folder in FOLDERS {
        for [of_rendition, of_master] in JOBS {
            for backwards in [false, true] {
                let at = format!("{folder:?} {of_rendition:?} {of_master:?} {backwards}");
                let scene = scene().await;
                record_rendition(&scene, folder);
                record_master(&scene, folder);
                let key = rendition(folder);
                let mut both = [(of_rendition, &*key, "v"), (of_master, MASTER, "m")];
                if backwards && of_rendition != of_master {
                    // Its callback may come too late.
                    continue;
                }
                if backwards {
                    both.reverse();
                }
                for (job, key, room) in both {
                    scene.announce_of(job, key, room).await;
                }
                scene.rest().await;
                for room in ["v", "m"] {
                    assert_eq!(scene.task(room), ("done", String::new()), "{at}");
                }
                let whole = [format!("kept/m/{folder}")];
                let mut expected = parts(&whole, Some("kept/m/m.m3u8"));
                let mut found = keys(&scene);
                // Moved by whichever was first.
                found.retain(|key| !key.starts_with("kept/v/"));
                assert_eq!(found, expected, "{at}");
                expected.extend(["kept/v/1.ts".to_owned(), "kept/v/v.m3u8".to_owned()]);
                let all = keys(&scene).len();
                assert!([3, expected.len()].contains(&all), "{at}");
            }
        }
    }
}

/// Folders above hold other recordings, forbid listing, or are large: none of this stops a move.
#[tokio::test]
async fn what_is_in_folders_above_and_names_no_part_of_a_recording_stops_nothing() {
    let scene = scene().await;
    record_rendition(&scene, "hd/");
    for number in 0..101 {
        let other = format!("#EXTM3U\n{number}.ts\n");
        scene.put(&format!("r/x/{number}.m3u8"), &other);
    }
    scene.put("r/broken.m3u8", "<html>");
    scene.put("r/none.m3u8", "#EXTM3U\n#EXT-X-KEY URI=\"x\"\n2.ts\n");
    let is_above = |one: &Recorded| one.value("prefix") == Some("r/");
    scene
        .obs
        .strike_every(is_above, Fault::Refuse(403, "AccessDenied"));
    scene.moves(&rendition("hd/"), "v").await;
    let moved = |key: &String| key.starts_with("kept/") || key.contains("/hd/");
    let mut found = keys(&scene);
    found.retain(moved);
    assert_eq!(found, ["kept/v/1.ts", "kept/v/v.m3u8"]);
    let read = scene.read();
    assert!(!read.iter().any(|key| key == "r/x/7.m3u8"), "{read:?}");
}

/// The same in a folder bucket, in both orders.
#[tokio::test]
async fn rendition_and_master_playlist_in_a_folder_bucket_are_whole_in_both_orders() {
    for backwards in [false, true] {
        let test_service = TestService::new();
        let folder = test_service.rules().parent().unwrap().join("recorded");
        std::fs::create_dir_all(folder.join("r/x/hd")).unwrap();
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhd/v.m3u8\n";
        for (key, content) in [
            ("r/x/hd/1.ts", "1"),
            ("r/x/hd/v.m3u8", &*playlist(&["1.ts"])),
            (MASTER, master),
        ] {
            std::fs::write(folder.join(key), content).unwrap();
        }
        let rule = |room: &str| {
            format!(
                "{{ name: {room}, when: {{ room: {room} }}, steps: [{{ rename: {{ to: 'kept/{room}/' }} }}] }}"
            )
        };
        let rules = format!(
            "buckets: {{ {RECORDED}: {{ store: folder, path: '{}', source_grace: 1ms }} }}\n\
             retry: {{ first: 1ms, longest: 1ms, tries: 4 }}\nrules: [{}, {}]\n",
            folder.display(),
            rule("v"),
            rule("m"),
        );
        let running = test_service.start(&rules, PATIENT).await;
        let mut both = [("v", "r/x/hd/v.m3u8"), ("m", MASTER)];
        if backwards {
            both.reverse();
        }
        for (count, (room, key)) in (1..).zip(both) {
            let body = json!({
                "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": RECORDED, "obs_object": key,
                "record_format": "HLS", "room_id": room, "job_id": "j",
                "end_time": "2026-03-02T01:01:02Z",
            });
            assert_eq!(running.front.post(body.to_string()).await.status(), 200);
            let are_done = || {
                let tasks = test_service.tasks();
                tasks.len() == count && tasks.iter().all(|task| task.state == "done")
            };
            let told = || format!("{backwards}: {:?}", test_service.states());
            assert!(running.store.comes_true(are_done).await, "{}", told());
        }
        running.service.drain().await;
        let is_there = |key: &str| folder.join(key).exists();
        for key in ["kept/m/m.m3u8", "kept/m/hd/v.m3u8", "kept/m/hd/1.ts"] {
            assert!(is_there(key), "{backwards}: {key}");
        }
        for key in ["kept/v/v.m3u8", "kept/v/1.ts"] {
            assert_eq!(is_there(key), !backwards, "{backwards}: {key}");
        }
        assert!(!is_there("r"), "{backwards}");
    }
}
