//! Recordings that are moved to the same key at the same time.

use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::film::Film;
use super::scene::{Scene, rule};
use crate::support::fake_obs::{Fault, Gate, Recorded};

const MANY: usize = 8;
/// A copy takes 20 to 200 ms: long enough for all others to survey meanwhile.
const COPY: std::ops::Range<u64> = 20..200;

/// Makes the film of this number; the common target.
type Make = (fn(usize) -> Film, &'static str);

const MAKES: [Make; 3] = [
    (
        |k| Film::mp4(&k.to_string(), &format!("r/{k}.mp4"), 500),
        "a/lesson.mp4",
    ),
    (
        |k| Film::mp4(&k.to_string(), &format!("r/{k}.mp4"), 1150),
        "a/lesson.mp4",
    ),
    (
        |k| Film::hls(&k.to_string(), &format!("r/{k}/i.m3u8"), 4),
        "a/lesson.m3u8",
    ),
];

/// What a run leaves for inspection.
struct Ran {
    scene: Scene,
    films: Vec<Film>,
    target: &'static str,
    at: String,
}

async fn ran(folders: bool, (make, target): Make, policy: &str, guarded: bool) -> Ran {
    let step = format!("{{ rename: {{ to: '{target}', on_conflict: {policy} }} }}");
    let rules = format!("[{{ name: collide, steps: [{step}] }}]");
    let scene = if folders {
        Scene::in_folders(&rules).await
    } else {
        Scene::new(&rules).await
    };
    let seed = Rng::new().u64(..1_000_000);
    let at = format!("{policy} to {target}, folders: {folders}, seed {seed}");
    let chance = std::sync::Mutex::new(Rng::with_seed(seed));
    scene
        .obs
        .slow_copies(move |_| Duration::from_millis(chance.lock().unwrap().u64(COPY)));
    let films: Vec<Film> = (0..MANY).map(make).collect();
    scene.record_all(&films);
    if guarded {
        scene.guard(&films);
    }
    let life = scene.serve().await;
    life.announce_all(&films).await;
    life.rest(&at).await;
    life.stop().await;
    Ran {
        scene,
        films,
        target,
        at,
    }
}

/// Runs every make, at OBS and in folders.
async fn every(policy: &'static str, guarded: bool) -> Vec<Ran> {
    let mut runs = JoinSet::new();
    for make in MAKES {
        for folders in [false, true] {
            runs.spawn(ran(folders, make, policy, guarded));
        }
    }
    runs.join_all().await
}

fn in_state(ran: &Ran, state: &str) -> usize {
    let tasks = ran.scene.test_service.tasks();
    tasks.iter().filter(|task| task.state == state).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_recordings_moves_to_a_key_and_the_others_name_the_conflict() {
    for ran in every("fail", true).await {
        let places = ran.scene.account(&ran.films, &[], &ran.at);
        let moved = places.iter().filter(|place| place.key == ran.target);
        assert_eq!(moved.count(), 1, "{}: {places:?}", ran.at);
        assert_eq!(
            in_state(&ran, "done"),
            1,
            "{}\n{}",
            ran.at,
            ran.scene.told()
        );
        let folder = ran.target.rsplit_once('/').unwrap().0;
        for task in ran.scene.test_service.tasks() {
            if task.state != "done" {
                assert_eq!(task.state, "dead", "{}: {task:?}", ran.at);
                let why = task.failure.unwrap().reason;
                assert!(why.contains(folder), "{}: {why}", ran.at);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recordings_that_lead_to_one_key_all_move_under_different_names() {
    for ran in every("keep_both", true).await {
        let places = ran.scene.account(&ran.films, &[], &ran.at);
        let moved = places.iter().filter(|place| place.key.starts_with('a'));
        assert_eq!(moved.count(), MANY, "{}: {places:?}", ran.at);
        assert_eq!(
            in_state(&ran, "done"),
            MANY,
            "{}\n{}",
            ran.at,
            ran.scene.told()
        );
    }
}

/// The replaced ones are deleted as the rule wants. Nothing is a mixture.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_recordings_that_replace_each_other_is_left_whole() {
    for ran in every("overwrite", false).await {
        let Ran { scene, at, .. } = &ran;
        assert_eq!(in_state(&ran, "done"), MANY, "{at}\n{}", scene.told());
        let objects = scene.objects();
        let whole = |film: &&Film| !film.places(&objects).is_empty();
        let left: Vec<Film> = ran.films.iter().filter(whole).cloned().collect();
        assert_eq!(left.len(), 1, "{at}: {left:?}\n{objects:?}");
        let places = scene.account(&left, &[], at);
        assert_eq!(places[0].key, ran.target, "{at}");
    }
}

/// The second recording's target is the first one's source, which is not copied yet.
#[tokio::test]
async fn what_another_task_is_about_to_move_is_not_replaced() {
    let step = |to: &str| format!("{{ rename: {{ to: '{to}', on_conflict: overwrite }} }}");
    for size in [500, 1150] {
        let first = Film::mp4("first", "r/first.mp4", size);
        let second = Film::mp4("other", "r/other.mp4", size);
        let rules = [
            rule(&first.room, &step("kept/first.mp4")),
            rule(&second.room, &step("r/first.mp4")),
        ];
        let scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
        let films = [first, second];
        scene.record_all(&films);
        scene.guard(&films);
        let looks = Gate::new();
        let held = |request: &Recorded| request.line() == "HEAD recorded/kept/first.mp4";
        scene.obs.strike_first(held, Fault::Hold(looks.clone()));
        let life = scene.serve().await;
        life.announce(&films[0]).await;
        looks.reached().await;
        life.announce(&films[1]).await;
        let second = films[1].clone();
        let is_second = move |room: &Option<String>| room.as_deref() == Some(&*second.room);
        life.until("the second waits or is settled", |tasks| {
            let mut tasks = tasks.iter().filter(|task| is_second(&task.room));
            tasks.any(|task| super::process::is_settled(task) || super::process::waits(task))
        })
        .await;
        looks.open();
        life.rest("both").await;
        life.stop().await;
        scene.assert_never_lost(&films, "both");
        assert_eq!(scene.task(&films[0]).state, "done", "{}", scene.told());
    }
}
