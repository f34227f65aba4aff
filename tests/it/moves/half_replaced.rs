//! A set that has replaced part of another one when it dies or is given up: the move is completed, or
//! every task involved names the incomplete recording.

use aftertake::clock;
use aftertake::model::id::TaskId;
use aftertake::model::recording::Replaced;
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;

use super::film::Film;
use super::process::{Process, is_settled};
use super::scene::{Scene, rule};
use crate::support::fake_obs::{Fault, Gate, Object, Recorded, World};
use crate::support::obs_recording::RECORDED;
use crate::support::operator::OneTask;
use crate::support::recording::place;
use crate::support::sink::Reply;

const OVERWRITE: &str = "{ rename: { to: 'kept/', on_conflict: overwrite } }";

/// Its segments have the same names as those of every other recording.
fn lesson(mark: &str, segments: usize) -> Film {
    Film::hls(mark, &format!("r/{mark}/lesson.m3u8"), segments).in_room(mark)
}

/// An older recording with two notifications still to send, and a newer one.
fn films() -> [Film; 2] {
    [lesson("old", 4), lesson("new", 3)]
}

async fn scene() -> Scene {
    let notify = "{ notify: lms }, { id: again, notify: lms }";
    let rules = [
        rule("old", &format!("{OVERWRITE}, {notify}")),
        rule("new", OVERWRITE),
        rule("third", OVERWRITE),
    ];
    let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.more = "concurrency: 1, source_grace: 0s";
    scene.sink.then(Reply::status(200).held());
    scene
}

fn remove(scene: &Scene, key: &str) {
    let removed = |world: &mut World| world.bucket(RECORDED).objects.remove(key);
    assert!(scene.obs.world(removed).is_some(), "{key}");
}

/// Moves the older one, whose first notification is held, and kills the service when it retries the
/// third copy of the newer one. Two segments are replaced and stored as such; the third is replaced
/// or not.
async fn killed_amid_replacing(
    scene: &Scene,
    [old, new]: &[Film; 2],
    fault: impl FnOnce(Gate) -> Fault,
    dress: impl Fn(Object) -> Object,
) -> TaskId {
    scene.record_as(old, &dress);
    scene.record_as(new, &dress);
    let life = scene.serve().await;
    life.announce(old).await;
    scene.sink.received(1).await;
    let gate = Gate::new();
    let unavailable = Fault::Refuse(503, "ServiceUnavailable");
    for third in [unavailable, fault(gate.clone())] {
        scene.obs.strike_after(2, Recorded::is_copy, third);
    }
    life.announce(new).await;
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    scene.task(new).id
}

fn cancel(scene: &Scene, id: TaskId) {
    let mut operator = scene.test_service.operator();
    operator.cancel_one(id, clock::now()).unwrap();
}

fn retry(scene: &Scene, id: TaskId) {
    let mut operator = scene.test_service.operator();
    operator.retry_one(id, clock::now()).unwrap();
}

async fn settled(life: &Process, film: &Film) {
    let is_its = |task: &&TaskRow| task.room.as_ref() == Some(&film.room);
    life.until(&film.to_string(), |tasks| {
        tasks.iter().filter(is_its).all(is_settled)
    })
    .await;
}

/// The task's row in `tasks list --leaves`; empty without one.
fn listed(scene: &Scene, id: TaskId) -> String {
    let listed = scene.test_service.aftertake(&["tasks", "list", "--leaves"]);
    let mut lines = listed.lines();
    let line = lines.find(|line| line.contains(&id.to_string()));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn set_that_has_replaced_segments_goes_on_although_it_is_cancelled() {
    let faults: [fn(Gate) -> Fault; 2] = [Fault::Hold, Fault::HoldAfter];
    let dresses: [fn(Object) -> Object; 2] = [|object| object, Object::encrypted];
    for (fault, dress) in faults
        .into_iter()
        .flat_map(|fault| dresses.map(|dress| (fault, dress)))
    {
        let films = films();
        let scene = scene().await;
        let id = killed_amid_replacing(&scene, &films, fault, dress).await;
        cancel(&scene, id);
        let [_, new] = &films;
        let life = scene.serve().await;
        settled(&life, new).await;
        assert_eq!(scene.task(new).state, "done", "{}", scene.told());
        assert!(scene.task(new).leaves.is_none(), "{}", scene.told());
        scene.sink.release(1);
        life.rest("released").await;
        life.stop().await;
        let places = scene.account(std::slice::from_ref(new), &[], "cancelled");
        assert_eq!(places, [place(RECORDED, "kept/lesson.m3u8")]);
    }
}

/// Only the first copy was sent, and its response was lost: no row says that anything is replaced.
#[tokio::test]
async fn copy_that_has_replaced_the_first_segment_is_found_before_the_move_is_given_up() {
    let [old, new] = films();
    let scene = scene().await;
    scene.record_all(&[old.clone(), new.clone()]);
    let life = scene.serve().await;
    life.announce(&old).await;
    scene.sink.received(1).await;
    let gate = Gate::new();
    let first = Fault::HoldAfter(gate.clone());
    scene.obs.strike_first(Recorded::is_copy, first);
    life.announce(&new).await;
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    cancel(&scene, scene.task(&new).id);
    let life = scene.serve().await;
    settled(&life, &new).await;
    life.stop().await;
    let places = new.places(&scene.objects());
    assert_eq!(
        places,
        [place(RECORDED, "kept/lesson.m3u8")],
        "{}",
        scene.told()
    );
}

/// The journal does not know of a copy, and its source is gone. So is that of the first segment, whose
/// attributes all have.
#[tokio::test]
async fn copy_that_exists_needs_no_source() {
    for is_cancelled in [false, true] {
        let films = [lesson("old", 5), lesson("new", 4)];
        let [old, new] = &films;
        let scene = scene().await;
        let id = killed_amid_replacing(&scene, &films, Fault::HoldAfter, |object| object).await;
        for key in ["r/new/1.ts", "r/new/3.ts"] {
            remove(&scene, key);
        }
        if is_cancelled {
            cancel(&scene, id);
        }
        let life = scene.serve().await;
        settled(&life, new).await;
        assert_eq!(scene.task(new).state, "done", "{}", scene.told());
        scene.sink.release(1);
        settled(&life, old).await;
        life.stop().await;
        let places = scene.account(std::slice::from_ref(new), &[], "gone");
        assert_eq!(places, [place(RECORDED, "kept/lesson.m3u8")]);
    }
}

/// The playlist's copy has replaced the older one when another copy and its source are lost.
#[tokio::test]
async fn set_whose_last_copy_is_made_and_whose_others_are_lost_can_be_cancelled_and_replaced() {
    let ([old, new], third) = (films(), lesson("third", 2));
    let scene = scene().await;
    scene.record_all(&[old.clone(), new.clone(), third.clone()]);
    let life = scene.serve().await;
    life.announce(&old).await;
    scene.sink.received(1).await;
    let gate = Gate::new();
    let playlist = Fault::HoldAfter(gate.clone());
    scene.obs.strike_after(3, Recorded::is_copy, playlist);
    life.announce(&new).await;
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    for key in ["r/new/2.ts", "kept/2.ts"] {
        remove(&scene, key);
    }
    let life = scene.serve().await;
    settled(&life, &new).await;
    let task = scene.task(&new);
    assert_eq!(task.state, "dead", "{}", scene.told());
    assert!(listed(&scene, task.id).contains("is incomplete"));
    cancel(&scene, task.id);
    let is_its = |row: &TaskRow| row.id == task.id && row.state == "cancelled";
    life.until("cancelled", |tasks| tasks.iter().any(is_its))
        .await;
    assert!(listed(&scene, task.id).contains("is incomplete"));
    life.announce(&third).await;
    settled(&life, &third).await;
    life.stop().await;
    assert_eq!(scene.task(&third).state, "done", "{}", scene.told());
    let places = third.places(&scene.objects());
    assert_eq!(places, [place(RECORDED, "kept/lesson.m3u8")]);
    assert_eq!(listed(&scene, task.id), "");
}

/// Asserts what the task that left the recording incomplete, and the recording's own task, say of it.
fn assert_told(scene: &Scene, [old, new]: &[Film; 2], state: &str, says_why: bool) {
    let (task, of_old) = (scene.task(new), scene.task(old));
    assert_eq!(task.state, state, "{}", scene.told());
    let shown = scene.show(&task);
    let leaves = shown.lines().find(|line| line.starts_with("  leaves "));
    let why = shown.lines().find(|line| line.starts_with("  why "));
    let whose = format!(
        "the recording that {} moved to recorded/kept/lesson.m3u8",
        of_old.id
    );
    let incomplete = format!(
        "{whose} is incomplete, as copies have replaced recorded/kept/1.ts, recorded/kept/2.ts"
    );
    let told = [
        leaves.unwrap_or_default().to_owned(),
        listed(scene, task.id),
        if says_why {
            why.unwrap_or_default()
        } else {
            &incomplete
        }
        .to_owned(),
    ];
    for told in told {
        assert!(told.contains(&incomplete), "{told}\n{shown}");
        assert!(!told.contains("kept/3.ts"), "{told}");
    }
    assert!(
        shown.contains("Retry the task to complete its move"),
        "{shown}"
    );
    let own = scene
        .test_service
        .operator()
        .task(of_old.id)
        .unwrap()
        .unwrap();
    let in_part = Replaced {
        by: task.id,
        in_part: true,
    };
    assert_eq!(own.replaced, Some(in_part));
    let shown = scene.show(&of_old);
    let says = format!(
        "recorded/kept/lesson.m3u8 is incomplete: {} has replaced a part",
        task.id
    );
    assert!(shown.contains(&says), "{shown}");
}

/// A segment of the newer one is deleted before it is copied.
#[tokio::test]
async fn recording_that_is_left_incomplete_is_named_by_all_and_announced_by_nobody() {
    for is_cancelled in [false, true] {
        let films = films();
        let [old, new] = &films;
        let scene = scene().await;
        let id = killed_amid_replacing(&scene, &films, Fault::Hold, |object| object).await;
        remove(&scene, "r/new/3.ts");
        if is_cancelled {
            cancel(&scene, id);
        }
        let life = scene.serve().await;
        settled(&life, new).await;
        let state = if is_cancelled { "cancelled" } else { "dead" };
        assert_told(&scene, &films, state, !is_cancelled);

        // The next step of the older one.
        scene.sink.release(1);
        settled(&life, old).await;
        let task = scene.task(old);
        assert_eq!(task.state, "dead", "{}", scene.told());
        let why = task.failure.unwrap().reason;
        assert!(why.contains(&format!("{id} has replaced a part")), "{why}");
        assert_eq!(scene.sink.requests().len(), 1);

        // A person puts the segment back.
        scene.record(new);
        retry(&scene, id);
        settled(&life, new).await;
        life.stop().await;
        assert_eq!(scene.task(new).state, "done", "{}", scene.told());
        assert!(scene.task(new).leaves.is_none());
        let places = scene.account(std::slice::from_ref(new), &[], "retried");
        assert_eq!(places, [place(RECORDED, "kept/lesson.m3u8")]);
    }
}

/// A move that is retried with a new manifest and given up before its first copy.
#[tokio::test]
async fn what_an_earlier_try_has_replaced_is_not_forgotten_by_the_next_one() {
    let films = films();
    let [_, new] = &films;
    let scene = scene().await;
    let id = killed_amid_replacing(&scene, &films, Fault::Hold, |object| object).await;
    remove(&scene, "r/new/3.ts");
    let life = scene.serve().await;
    settled(&life, new).await;
    assert_told(&scene, &films, "dead", true);
    scene.record(new);
    let gate = Gate::new();
    let first = Fault::Hold(gate.clone());
    scene.obs.strike_first(Recorded::is_copy, first);
    retry(&scene, id);
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    remove(&scene, "r/new/3.ts");
    cancel(&scene, id);
    let life = scene.serve().await;
    settled(&life, new).await;
    assert_told(&scene, &films, "cancelled", false);
    life.stop().await;
}

/// Objects that another recording has replaced belong to it: they must not be listed as leftovers.
#[tokio::test]
async fn copies_that_are_left_are_no_longer_named_when_another_recording_has_replaced_them() {
    for is_cancelled in [false, true] {
        let (films, third) = (films(), lesson("third", 2));
        let [_, new] = &films;
        let scene = scene().await;
        let id = killed_amid_replacing(&scene, &films, Fault::Hold, |object| object).await;
        remove(&scene, "r/new/3.ts");
        if is_cancelled {
            cancel(&scene, id);
        }
        scene.record(&third);
        let life = scene.serve().await;
        settled(&life, new).await;
        assert!(listed(&scene, id).contains("kept/1.ts"), "{}", scene.told());
        life.announce(&third).await;
        settled(&life, &third).await;
        let metrics = life.front().ask("/metrics").await;
        life.stop().await;
        assert_eq!(scene.task(&third).state, "done", "{}", scene.told());
        let places = third.places(&scene.objects());
        assert_eq!(places, [place(RECORDED, "kept/lesson.m3u8")]);
        assert_eq!(listed(&scene, id), "");
        let shown = scene.show(&scene.task(new));
        let facts = shown.split("\nattempts").next().unwrap();
        assert!(!facts.contains("kept/"), "{facts}");
        assert!(
            metrics.contains("\naftertake_tasks_with_copies_left 0\n"),
            "{metrics}"
        );
        if !is_cancelled {
            let by = scene.task(&third).id;
            let says = format!("nothing of its copies is left, as {by} has replaced them");
            assert!(facts.contains(&says), "{facts}");
        }
    }
}

/// Before the service has looked, as while the lane is paused: no object of another recording may be
/// listed as a leftover copy.
#[tokio::test]
async fn cancelled_task_says_at_once_that_it_is_given_up_and_what_it_may_have_left() {
    let films = films();
    let [old, new] = &films;
    let scene = scene().await;
    let id = killed_amid_replacing(&scene, &films, Fault::Hold, |object| object).await;
    assert_eq!(listed(&scene, id), "");
    cancel(&scene, id);
    let listed = listed(&scene, id);
    let shown = scene.show(&scene.task(new));
    let whose = format!("the recording that {} moved to", scene.task(old).id);
    for told in [listed, shown] {
        for says in [
            "can only be completed; then it is cancelled",
            "the recording is at recorded/r/new/lesson.m3u8",
            "is incomplete, as copies have replaced recorded/kept/1.ts, recorded/kept/2.ts",
            "copies may have replaced recorded/kept/3.ts, recorded/kept/lesson.m3u8 of",
            &whose,
        ] {
            assert!(told.contains(says), "{says}: {told}");
        }
        assert!(!told.contains("copies may be left"), "{told}");
    }
}
