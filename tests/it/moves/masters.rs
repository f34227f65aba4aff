//! A rendition is a part of the recording of its master playlist, also if that is in a folder above:
//! `on_conflict: overwrite` replaces the recording whole or not at all.

use aftertake::clock;
use aftertake::model::recording::{Place, Replaced};
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;

use super::film::Film;
use super::overwrite::{assert_done, kept, play, put, refused};
use super::process::{Process, is_settled};
use super::scene::Scene;
use crate::support::fake_obs::World;
use crate::support::obs_recording::RECORDED;
use crate::support::operator::OneTask;
use crate::support::recording::place;

/// The folders of renditions, relative to that of their master playlist.
const FOLDERS: [&str; 3] = ["", "v/", "video/v/"];

/// The same scene at OBS and in folders, with this target of all recordings.
async fn scenes(to: &str) -> [Scene; 2] {
    let rules = format!(
        "[{{ name: keep, steps: [{{ rename: {{ to: '{to}', on_conflict: overwrite }} }}] }}]"
    );
    [Scene::new(&rules).await, Scene::in_folders(&rules).await]
}

fn master(rendition: &str) -> String {
    format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{rendition}\n")
}

fn segments(mark: &str, names: &[&str]) -> String {
    let line = |name: &&str| format!("#EXTINF:6,\n{name}\n");
    let lines: String = names.iter().map(line).collect();
    format!("#EXTM3U\n{lines}#EXT-X-ENDLIST\n# {mark}\n")
}

#[tokio::test]
async fn rendition_of_a_master_playlist_is_not_replaced_by_another_recording() {
    for folder in FOLDERS {
        for scene in scenes(&format!("kept/{folder}")).await {
            let in_folder = |name: &str| kept(&format!("{folder}{name}"));
            put(&scene, &kept("m.m3u8"), &master(&format!("{folder}a.m3u8")));
            put(&scene, &in_folder("a.m3u8"), &segments("old", &["old.ts"]));
            put(&scene, &in_folder("old.ts"), "old");
            put(&scene, &kept("n.m3u8"), &master(&format!("{folder}b.mp4")));
            put(&scene, &in_folder("b.mp4"), "old");
            for (film, by) in [
                (Film::hls("one", "r/one/a.m3u8", 2), "m.m3u8"),
                (Film::mp4("two", "r/two/b.mp4", 500), "n.m3u8"),
            ] {
                let (_, why) = refused(&scene, &film).await;
                let at = in_folder(film.at.name());
                assert!(why.contains(&format!("{at} exists already")), "{why}");
                assert!(why.contains(&kept(by).to_string()), "{why}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_playlist_in_a_folder_above_names_is_not_replaced_and_not_deleted() {
    let names = ["1.ts", "2.ts", "3.ts", "4.ts"];
    for folder in &FOLDERS[1..] {
        for scene in scenes(&format!("kept/{folder}")).await {
            let in_folder = |name: &str| kept(&format!("{folder}{name}"));
            put(&scene, &in_folder("a.m3u8"), &segments("old", &names));
            for name in names {
                put(&scene, &in_folder(name), "old");
            }
            let shared = names[2..].iter().map(|name| format!("{folder}{name}"));
            let shared: Vec<String> = shared.collect();
            let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
            put(&scene, &kept("m.m3u8"), &segments("above", &shared));
            let (before, why) = refused(&scene, &Film::hls("one", "r/one/a.m3u8", 3)).await;
            assert!(
                why.contains(&format!("{} exists already", in_folder("3.ts"))),
                "{why}"
            );
            let film = Film::hls("two", "r/two/a.m3u8", 2);
            play(&scene, &[&film]).await;
            assert_done(&scene, &film);
            let after = scene.objects();
            for name in shared.iter().chain(&["m.m3u8"]) {
                assert_eq!(after[&kept(name)], before[&kept(name)], "{name}");
            }
            assert_eq!(film.places(&after), [in_folder("a.m3u8")]);
            let left = format!("{}, {}", in_folder("3.ts"), in_folder("4.ts"));
            let shown = scene.show(&scene.task(&film));
            assert!(shown.contains(&left), "{shown}");
        }
    }
}

/// The callbacks of a master playlist and of its rendition.
struct Session {
    master: Film,
    rendition: Film,
}

impl Session {
    /// Records both. The names are those of every session.
    fn record(scene: &Scene, mark: &str) -> Self {
        let at = |name: &str| place(RECORDED, &format!("r/{mark}/{name}"));
        put(scene, &at("m.m3u8"), &master("v/v.m3u8"));
        put(scene, &at("v/v.m3u8"), &segments(mark, &["1.ts"]));
        put(scene, &at("v/1.ts"), mark);
        let film = |name: &str, room: &str| {
            let film = Film::hls(&format!("{mark} {room}"), &at(name).key, 0);
            film.of_job(mark).in_room(&format!("{room}-{mark}"))
        };
        Self {
            master: film("m.m3u8", "master"),
            rendition: film("v/v.m3u8", "rendition"),
        }
    }
}

async fn sessions() -> Scene {
    let rule = |room: &str, to: &str| {
        format!(
            "{{ name: {room}, when: {{ room: '{room}-*' }}, steps: [{{ rename: {{ to: '{to}', on_conflict: overwrite }} }}] }}"
        )
    };
    let rules = [rule("master", "kept/"), rule("rendition", "kept/v/")];
    Scene::new(&format!("[{}]", rules.join(", "))).await
}

async fn comes(life: &Process, film: &Film, wanted: impl Fn(&TaskRow) -> bool) {
    let is_it = |task: &TaskRow| task.room.as_deref() == Some(&*film.room) && wanted(task);
    life.until(&film.to_string(), |tasks| tasks.iter().any(is_it))
        .await;
}

async fn is_done(life: &Process, film: &Film) {
    comes(life, film, |task| task.state == "done").await;
}

/// Asserts that this session is at the target, and nothing else.
fn assert_kept(scene: &Scene, mark: &str) {
    let mut objects = scene.objects();
    objects.retain(|at, _| at.key.starts_with("kept/"));
    let names: Vec<Place> = objects.keys().cloned().collect();
    assert_eq!(names, ["m.m3u8", "v/1.ts", "v/v.m3u8"].map(kept));
    assert_eq!(objects[&kept("v/1.ts")], mark);
    assert_eq!(objects[&kept("v/v.m3u8")], segments(mark, &["1.ts"]));
}

/// Its rendition comes first.
#[tokio::test]
async fn session_replaces_an_earlier_one_as_a_whole() {
    let mut scene = sessions().await;
    let first = Session::record(&scene, "one");
    let life = scene.serve().await;
    life.announce(&first.master).await;
    is_done(&life, &first.master).await;
    let second = Session::record(&scene, "two");
    life.announce(&second.rendition).await;
    let waits = |task: &TaskRow| {
        let why = task.failure.as_ref();
        why.is_some_and(|why| why.reason.contains("waits for recorded/r/two/m.m3u8"))
    };
    comes(&life, &second.rendition, waits).await;
    assert!(!is_settled(&scene.task(&second.rendition)));
    assert_kept(&scene, "one");
    life.announce(&second.master).await;
    is_done(&life, &second.master).await;
    assert_kept(&scene, "two");
    life.stop().await;
    // What the recorder might still write is not waited for any longer.
    scene.more = "source_grace: 0s";
    let life = scene.serve().await;
    life.rest("the rendition").await;
    life.stop().await;
    let task = scene.task(&second.rendition);
    assert_eq!(task.state, "done", "{}", scene.told());
    assert!(scene.show(&task).contains("recorded/kept/v/v.m3u8"));
    assert_kept(&scene, "two");
}

/// The renditions of the earlier one were moved by themselves.
#[tokio::test]
async fn renditions_of_an_earlier_session_are_replaced_with_their_master_playlist() {
    let scene = sessions().await;
    let first = Session::record(&scene, "one");
    let life = scene.serve().await;
    for film in [&first.rendition, &first.master] {
        life.announce(film).await;
        is_done(&life, film).await;
    }
    assert_kept(&scene, "one");
    let second = Session::record(&scene, "two");
    life.announce(&second.master).await;
    is_done(&life, &second.master).await;
    life.stop().await;
    assert_kept(&scene, "two");
    let by = scene.task(&second.master).id;
    for film in [&first.rendition, &first.master] {
        let id = scene.task(film).id;
        let task = scene.test_service.operator().task(id).unwrap().unwrap();
        let whole = Replaced { by, in_part: false };
        assert_eq!(task.replaced, Some(whole), "{film}");
    }
}

#[tokio::test]
async fn rendition_whose_master_playlist_does_not_move_says_what_to_do() {
    let mut scene = sessions().await;
    scene.more = "source_grace: 0s";
    let first = Session::record(&scene, "one");
    let life = scene.serve().await;
    life.announce(&first.master).await;
    is_done(&life, &first.master).await;
    let second = Session::record(&scene, "two");
    life.announce(&second.rendition).await;
    comes(&life, &second.rendition, |task| task.state == "dead").await;
    assert_kept(&scene, "one");
    let task = scene.task(&second.rendition);
    let why = &task.failure.as_ref().unwrap().reason;
    for says in ["kept/m.m3u8", "recorded/r/two/m.m3u8", "retry this task"] {
        assert!(why.contains(says), "{says}: {why}");
    }
    life.announce(&second.master).await;
    is_done(&life, &second.master).await;
    let mut operator = scene.test_service.operator();
    operator.retry_one(task.id, clock::now()).unwrap();
    is_done(&life, &second.rendition).await;
    life.stop().await;
    assert_kept(&scene, "two");
}

/// Its recorder writes it again after its master playlist took it along.
#[tokio::test]
async fn rendition_that_has_grown_replaces_its_earlier_version() {
    let scene = sessions().await;
    let first = Session::record(&scene, "one");
    let life = scene.serve().await;
    life.announce(&first.master).await;
    is_done(&life, &first.master).await;
    let at = |name: &str| place(RECORDED, &format!("r/one/{name}"));
    put(&scene, &at("v/v.m3u8"), &segments("one", &["1.ts", "2.ts"]));
    put(&scene, &at("v/1.ts"), "one");
    put(&scene, &at("v/2.ts"), "two");
    let rendition = first.rendition.starting(Some(30));
    life.announce(&rendition).await;
    is_done(&life, &rendition).await;
    let objects = scene.objects();
    let playlist = &objects[&kept("v/v.m3u8")];
    assert_eq!(playlist, &segments("one", &["1.ts", "2.ts"]));
    assert_eq!(objects[&kept("v/2.ts")], "two");

    // Then its master playlist replaces both. It is still of the same job.
    let names = ["1.ts", "2.ts", "3.ts"];
    put(&scene, &at("m.m3u8"), &master("v/v.m3u8"));
    put(&scene, &at("v/v.m3u8"), &segments("one", &names));
    for name in names {
        put(&scene, &at(&format!("v/{name}")), "again");
    }
    let grown = first.master.in_room("master-grown").ending(3);
    life.announce(&grown).await;
    is_done(&life, &grown).await;
    life.stop().await;
    let objects = scene.objects();
    assert_eq!(objects[&kept("v/v.m3u8")], segments("one", &names));
    assert_eq!(objects[&kept("v/2.ts")], "again");
    let id = scene.task(&rendition).id;
    let task = scene.test_service.operator().task(id).unwrap().unwrap();
    assert_eq!(task.replaced, None);
}

/// The recorder uses the keys again for the same job, and writes other segments.
#[tokio::test]
async fn rendition_of_a_later_session_of_the_same_job_waits_for_its_master_playlist() {
    let scene = sessions().await;
    let first = Session::record(&scene, "one");
    let life = scene.serve().await;
    life.announce(&first.master).await;
    is_done(&life, &first.master).await;
    let at = |name: &str| place(RECORDED, &format!("r/one/{name}"));
    put(&scene, &at("m.m3u8"), &master("v/v.m3u8"));
    put(&scene, &at("v/v.m3u8"), &segments("later", &["2.ts"]));
    put(&scene, &at("v/2.ts"), "later");
    let rendition = first.rendition.starting(Some(30));
    life.announce(&rendition).await;
    let waits = |task: &TaskRow| {
        let why = task.failure.as_ref();
        why.is_some_and(|why| why.reason.contains("waits for recorded/r/one/m.m3u8"))
    };
    comes(&life, &rendition, waits).await;
    assert_kept(&scene, "one");
    let later = first.master.in_room("master-later").starting(Some(30));
    life.announce(&later).await;
    is_done(&life, &later).await;
    life.stop().await;
    let mut objects = scene.objects();
    objects.retain(|at, _| at.key.starts_with("kept/"));
    let names: Vec<Place> = objects.keys().cloned().collect();
    assert_eq!(names, ["m.m3u8", "v/2.ts", "v/v.m3u8"].map(kept));
    let playlist = &objects[&kept("v/v.m3u8")];
    assert_eq!(playlist, &segments("later", &["2.ts"]));
}

/// The move of the master playlist is dead and will be retried.
#[tokio::test]
async fn rendition_of_a_master_playlist_that_is_still_to_move_is_not_replaced() {
    let rules = "[{ name: m, when: { room: 'room-m' }, steps: [{ rename: { to: 'out/' } }] }, \
         { name: b, when: { room: 'room-b' }, steps: [{ rename: { to: 'r/m/v/', on_conflict: overwrite } }] }]";
    let scene = Scene::new(rules).await;
    let session = Session::record(&scene, "m");
    let m = session.master.in_room("room-m");
    let in_the_way = place(RECORDED, "out/m.m3u8");
    put(&scene, &in_the_way, "in the way");
    let b = Film::hls("b", "r/b/v.m3u8", 3);
    scene.record(&b);
    let life = scene.serve().await;
    for film in [&m, &b] {
        life.announce(film).await;
        life.rest(&film.to_string()).await;
        assert_eq!(scene.task(film).state, "dead", "{}", scene.told());
    }
    let why = scene.task(&b).failure.unwrap().reason;
    assert!(why.contains("recorded/r/m/m.m3u8"), "{why}");
    let remove = |world: &mut World| world.bucket(RECORDED).objects.remove(&in_the_way.key);
    assert!(scene.obs.world(remove).is_some());
    let mut operator = scene.test_service.operator();
    operator.retry_one(scene.task(&m).id, clock::now()).unwrap();
    is_done(&life, &m).await;
    // The place is free now.
    operator.retry_one(scene.task(&b).id, clock::now()).unwrap();
    is_done(&life, &b).await;
    life.stop().await;
    let objects = scene.objects();
    assert_eq!(objects[&place(RECORDED, "out/v/1.ts")], "m");
    assert_eq!(b.places(&objects), [place(RECORDED, "r/m/v/v.m3u8")]);
}
