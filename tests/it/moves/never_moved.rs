//! Recordings that another one replaces where they were recorded, before any task has moved them.
//! What is there then is not theirs.

use aftertake::clock;
use aftertake::model::recording::Replaced;
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;
use futures_util::future::join_all;

use super::film::{Film, Objects};
use super::process::Process;
use super::scene::{Scene, rule};
use crate::support::fake_obs::{Fault, Gate, Object, Recorded};
use crate::support::obs_recording::RECORDED;
use crate::support::operator::OneTask;
use crate::support::recording::place;
use crate::support::sink::Reply;

const NOTIFY: &str = "{ notify: lms }";
const TAG: &str = "{ tag: { tags: { a: b } } }";

/// Pairs of recordings; the second one replaces the first one where it was recorded.
fn pairs() -> Vec<[Film; 2]> {
    let mp4 = |size| {
        let film = |mark: &str, key: &str| Film::mp4(mark, key, size).in_room(mark);
        [film("one", "out/a.mp4"), film("two", "s/a.mp4")]
    };
    let one_job = mp4(500).map(|film| film.of_job("j"));
    let hls = [
        Film::hls("one", "out/a.m3u8", 3).in_room("one"),
        Film::hls("two", "s/a.m3u8", 2).in_room("two"),
    ];
    vec![mp4(500), mp4(1150), one_job, hls]
}

async fn scene(steps_of_one: &str) -> Scene {
    let overwrites = rule("two", "{ rename: { to: 'out/', on_conflict: overwrite } }");
    let rules = [rule("one", steps_of_one), overwrites];
    let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.more = "source_grace: 0s";
    scene
}

/// Announces the second film, which replaces the first one.
async fn replaced(scene: &Scene, life: &Process, film: &Film) {
    life.announce(film).await;
    let is_done = |task: &TaskRow| task.rule == "of-two" && task.state == "done";
    life.until("replaced", |tasks| tasks.iter().any(is_done))
        .await;
    let places = film.places(&scene.objects());
    assert_eq!(places.len(), 1, "{}", scene.told());
    assert!(places[0].key.starts_with("out/"), "{places:?}");
}

/// Asserts that each task of the first film is dead or cancelled, touches nothing, and names the
/// task that has replaced its recording.
fn assert_told(scene: &Scene, two: &Film, before: &Objects) {
    let by = scene.task(two).id;
    let tasks = scene.test_service.tasks().into_iter();
    let of_one: Vec<_> = tasks.filter(|task| task.rule == "of-one").collect();
    let dead = of_one.iter().filter(|task| task.state == "dead");
    let mut whys = dead.map(|task| task.failure.as_ref().unwrap().reason.clone());
    let told = scene.told();
    assert!(whys.any(|why| why.contains(&by.to_string())), "{told}");
    assert!(of_one.iter().all(|task| task.state != "done"), "{told}");
    for task in of_one {
        let operator = scene.test_service.operator();
        let shown = operator.task(task.id).unwrap().unwrap();
        let in_part = false;
        assert_eq!(shown.replaced, Some(Replaced { by, in_part }), "{told}");
    }
    assert_eq!(scene.objects(), *before, "{told}");
}

#[tokio::test]
async fn retry_or_replay_of_a_replaced_recording_moves_nothing_that_came_to_its_key() {
    for is_replayed in [false, true] {
        for [one, two] in pairs() {
            let scene = scene(&format!("{{ rename: {{ to: 'away/' }} }}, {NOTIFY}")).await;
            scene.record_all(&[one.clone(), two.clone()]);
            let in_the_way = one.at.key.replace("out/", "away/");
            scene.put(&place(RECORDED, &in_the_way), "in the way");
            let life = scene.serve().await;
            life.announce(&one).await;
            life.rest("conflict").await;
            let task = scene.task(&one);
            assert_eq!(task.state, "dead", "{}", scene.told());
            let mut operator = scene.test_service.operator();
            operator.cancel_one(task.id, clock::now()).unwrap();
            replaced(&scene, &life, &two).await;
            scene.obs.world(|world| {
                world.bucket(RECORDED).objects.remove(&in_the_way).unwrap();
            });
            let before = scene.objects();
            if is_replayed {
                std::fs::write(scene.test_service.rules(), scene.text()).unwrap();
                let (event, rules) = (task.event.to_string(), scene.test_service.rules());
                let rules = rules.to_str().unwrap();
                let replay = ["events", "replay", &event, "--all", "--rules", rules];
                scene.test_service.aftertake(&replay);
            } else {
                operator.retry_one(task.id, clock::now()).unwrap();
            }
            life.rest("again").await;
            life.stop().await;
            assert_told(&scene, &two, &before);
            assert_eq!(scene.sink.count(), 0, "{}", scene.told());
        }
    }
}

/// Steps that leave the recording where it is, with a message that is held.
#[tokio::test]
async fn later_steps_of_a_recording_that_is_replaced_where_it_stays_touch_nothing() {
    for first in ["", "{ rename: { to: 'out/' } }, "] {
        for next in ["{ id: again, notify: lms }", TAG] {
            for [one, two] in pairs() {
                let scene = scene(&format!("{first}{NOTIFY}, {next}")).await;
                scene.sink.then(Reply::status(200).held());
                scene.record_all(&[one.clone(), two.clone()]);
                let life = scene.serve().await;
                life.announce(&one).await;
                scene.sink.received(1).await;
                replaced(&scene, &life, &two).await;
                let before = scene.objects();
                scene.sink.release(1);
                life.rest("released").await;
                life.stop().await;
                assert_told(&scene, &two, &before);
                assert_eq!(scene.sink.count(), 1, "{}", scene.told());
                assert_untagged(&scene, &two);
            }
        }
    }
}

fn assert_untagged(scene: &Scene, film: &Film) {
    let at = film.places(&scene.objects()).remove(0);
    scene.obs.world(|world| {
        let object: &Object = world.object(&at.bucket, &at.key).unwrap();
        assert!(object.tags.is_empty(), "{at}");
    });
}

/// The callback comes once the other recording is at its key: the key may have been empty then, or
/// its recording was replaced there.
#[tokio::test]
async fn task_does_not_take_what_another_ones_has_put_at_the_key_of_its_event() {
    for was_there in [true, false] {
        for steps in [
            "{ rename: { to: 's/' } }",
            "{ rename: { to: 'out/' } }",
            TAG,
        ] {
            let all = pairs().into_iter();
            join_all(all.map(|[one, two]| put_at_its_key(steps, was_there, one, two))).await;
        }
    }
}

async fn put_at_its_key(steps: &str, was_there: bool, one: Film, two: Film) {
    let scene = scene(&format!("{steps}, {NOTIFY}")).await;
    scene.record(&two);
    if was_there {
        scene.record(&one);
    }
    let life = scene.serve().await;
    replaced(&scene, &life, &two).await;
    let before = scene.objects();
    life.announce(&one).await;
    life.rest("late").await;
    let told = scene.told();
    assert_eq!(scene.objects(), before, "{told}");
    assert_eq!(scene.sink.count(), 0, "{told}");
    assert_untagged(&scene, &two);
    let task = scene.task(&one);
    assert_eq!(task.state, "dead", "{told}");
    let (why, by) = (task.failure.unwrap().reason, scene.task(&two).id);
    assert!(why.contains(&by.to_string()), "{why}");

    // Its recorder writes it now. That takes the place of what was there.
    scene.record(&one);
    let mut operator = scene.test_service.operator();
    operator.retry_one(task.id, clock::now()).unwrap();
    life.rest("written").await;
    life.stop().await;
    assert_eq!(scene.task(&one).state, "done", "{}", scene.told());
}

/// Neither waits for the other, as the second one is announced while the first one moves.
#[tokio::test]
async fn recordings_that_lead_to_each_others_keys_are_not_taken_for_each_other() {
    for [one, two] in pairs() {
        let scene = scene(&format!("{{ rename: {{ to: 's/' }} }}, {NOTIFY}")).await;
        scene.record_all(&[one.clone(), two.clone()]);
        let slow = std::time::Duration::from_millis(50);
        scene.obs.slow_copies(move |_| slow);
        let life = scene.serve().await;
        life.announce_all(&[two.clone(), one.clone()]).await;
        life.rest_or_wait("both").await;
        life.stop().await;
        let (objects, told) = (scene.objects(), scene.told());
        for (film, other) in [(&one, &two), (&two, &one)] {
            let (task, other) = (scene.task(film), scene.task(other).id.to_string());
            let operator = scene.test_service.operator();
            let shown = operator.task(task.id).unwrap().unwrap();
            let at = shown.place.unwrap_or_else(|| film.at.clone());
            let is_there = film.places(&objects).contains(&at);
            let why = task.failure.map(|failure| failure.reason);
            let names_other = why.is_some_and(|why| why.contains(&other));
            assert!(is_there || (task.state == "dead" && names_other), "{told}");
        }
        if scene.task(&one).state != "done" {
            assert_eq!(scene.sink.count(), 0, "{told}");
        }
    }
}

/// The other one has put something at the first one's key and moved it on. The first one, announced
/// before or after that, is not there, and neither are its parts.
#[tokio::test]
async fn recording_is_not_what_another_one_has_moved_on_from_its_key() {
    for is_announced_before in [true, false] {
        for of_one_job in [true, false] {
            let of_job = |film: Film| if of_one_job { film.of_job("j") } else { film };
            let all = pairs().into_iter().map(|pair| pair.map(of_job));
            join_all(all.map(|pair| moved_on(is_announced_before, pair))).await;
        }
    }
}

async fn moved_on(is_announced_before: bool, [one, two]: [Film; 2]) {
    let rules = [
        rule("one", &format!("{{ rename: {{ to: 'away/' }} }}, {NOTIFY}")),
        rule(
            "two",
            "{ rename: { to: 'out/' } }, { id: on, rename: { to: 'last/' } }",
        ),
    ];
    let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.more = "source_grace: 0s";
    scene.record(&two);
    let life = scene.serve().await;
    if is_announced_before {
        life.announce(&one).await;
        life.rest("missing").await;
    }
    life.announce(&two).await;
    life.rest("moved on").await;
    let mut operator = scene.test_service.operator();
    if is_announced_before {
        let dead = scene.task(&one).id;
        operator.retry_one(dead, clock::now()).unwrap();
    } else {
        life.announce(&one).await;
    }
    life.rest("again").await;
    let told = scene.told();
    let places = two.places(&scene.objects());
    assert!(places[0].key.starts_with("last/"), "{told}");
    let task = scene.task(&one);
    assert_eq!((task.state, scene.sink.count()), ("dead", 0), "{told}");

    scene.record(&one);
    if one.is_set() {
        // The other one had a segment of this name.
        scene.obs.world(|world| {
            let segment = world.bucket(RECORDED).objects.remove("out/2.ts");
            assert!(segment.is_some());
        });
        operator.retry_one(task.id, clock::now()).unwrap();
        life.rest("a segment is missing").await;
        assert_eq!(scene.task(&one).state, "dead", "{}", scene.told());
        scene.record(&one);
    }
    operator.retry_one(task.id, clock::now()).unwrap();
    life.rest("written").await;
    life.stop().await;
    assert_eq!(scene.task(&one).state, "done", "{}", scene.told());
    scene.account(&[one, two], &[], "moved on");
}

/// What was moved is not at its key any more, and a later callback announces it again.
#[tokio::test]
async fn recording_that_has_moved_is_found_although_another_one_is_at_its_key() {
    for [one, two] in pairs() {
        let scene = scene(&format!("{{ rename: {{ to: 'away/' }} }}, {NOTIFY}")).await;
        scene.record_all(&[one.clone(), two.clone()]);
        let life = scene.serve().await;
        life.announce(&one).await;
        life.rest("moved").await;
        replaced(&scene, &life, &two).await;
        let before = scene.objects();
        life.announce(&one.clone().ending(90)).await;
        life.rest("announced again").await;
        life.stop().await;
        let told = scene.told();
        let tasks = scene.test_service.tasks();
        assert!(tasks.iter().all(|task| task.state == "done"), "{told}");
        assert_eq!(scene.objects(), before, "{told}");
        for sent in scene.sink.requests() {
            let body = String::from_utf8_lossy(&sent.body).into_owned();
            assert!(body.contains("away/"), "{body}");
        }
    }
}

/// The recorder writes the object after the survey found its key empty.
#[tokio::test]
async fn recording_that_comes_to_the_target_before_the_copy_is_replaced_too() {
    for size in [500, 1150] {
        let one = Film::mp4("one", "out/a.mp4", size).in_room("one");
        let two = Film::mp4("two", "s/a.mp4", size).in_room("two");
        let scene = scene(&format!("{{ rename: {{ to: 'away/' }} }}, {NOTIFY}")).await;
        scene.record(&two);
        let life = scene.serve().await;
        life.announce(&one).await;
        life.rest("not there").await;
        let gate = Gate::new();
        let before_copy = |request: &Recorded| request.line() == "HEAD recorded/out/a.mp4";
        let hold = Fault::Hold(gate.clone());
        scene.obs.strike_after(1, before_copy, hold);
        life.announce(&two).await;
        gate.reached().await;
        scene.record(&one);
        gate.open();
        life.rest("replaced").await;
        let before = scene.objects();
        assert_eq!(
            two.places(&before),
            std::slice::from_ref(&one.at),
            "{}",
            scene.told()
        );
        let task = scene.task(&one).id;
        scene
            .test_service
            .operator()
            .retry_one(task, clock::now())
            .unwrap();
        life.rest("again").await;
        life.stop().await;
        assert_told(&scene, &two, &before);
    }
}
