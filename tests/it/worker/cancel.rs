//! Tasks that a person cancels: waiting, running, and half moved.

use aftertake::clock;
use aftertake::model::failure::FailureKind;
use aftertake::model::moves::MovePhase;
use aftertake::model::recording::Place;
use aftertake::model::transition::Transition;
use aftertake::store::operator::CancelOutcome;

use crate::support::floor::Floor;
use crate::support::gate::{How, Which};
use crate::support::operator::OneTask;
use crate::support::premises::{PATIENT, Premises, announcing};
use crate::support::recording::{Recording, place};
use crate::support::sink::{Reply, Sink};
use crate::support::world::{RENAMING, World};

fn from() -> Place {
    place("recorded", "r/a.m3u8")
}

fn to() -> Place {
    place("archive", "classes/class-7/a.m3u8")
}

/// A rename that is held before its first operation of this name, and then cancelled.
struct Cancelled {
    world: World,
    floor: Floor,
}

impl Cancelled {
    async fn amid(operation: &'static str, rules: &str) -> Self {
        let world = World::new();
        world.record(&Recording::hls(), &from()).await;
        let floor = Floor::new(rules, world.reach()).await;
        let task = floor.record(&from().key).await[0];
        world.gate.hold(operation);
        floor.workers.start();
        world.gate.held().await;
        let asked = floor
            .premises
            .operator()
            .cancel_one(task, clock::now())
            .unwrap();
        assert_eq!(asked, CancelOutcome::Requested);
        floor.store.cancels(1).await;
        Self { world, floor }
    }

    /// Releases the rename and returns its settlements.
    async fn settled(&self, count: usize) -> Vec<Transition> {
        self.world.gate.release();
        let settled = self.floor.store.settled(count).await;
        self.floor.workers.drain(PATIENT).await;
        settled
    }

    /// The task's state, and the phases of its moves without repeats.
    fn stands(&self) -> (&'static str, Vec<MovePhase>) {
        let task = self.floor.premises.only();
        let mut phases: Vec<_> = task.moves.iter().map(|one| one.phase).collect();
        phases.dedup();
        (task.row.state, phases)
    }
}

#[tokio::test]
async fn waiting_task_is_cancelled_at_once_and_never_runs() {
    let premises = Premises::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let running = premises.start(&rules, PATIENT).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    running.front.announce("b.mp4").await;
    let waiting = premises.tasks()[1].id;
    let asked = premises
        .operator()
        .cancel_one(waiting, clock::now())
        .unwrap();
    assert_eq!(asked, CancelOutcome::Cancelled);
    sink.release(1);
    running.front.announce("c.mp4").await;
    running.store.settled(2).await;
    running.service.drain().await;
    let states = [("done", 0, 1), ("cancelled", 0, 0), ("done", 0, 1)];
    assert_eq!(premises.states(), states);
    assert_eq!(sink.requests().len(), 2);
}

#[tokio::test]
async fn rename_cancelled_before_its_commit_leaves_the_source_and_no_copy() {
    let cancelled = Cancelled::amid("copy", RENAMING).await;
    assert_eq!(cancelled.settled(1).await, [Transition::Cancel]);
    assert_eq!(cancelled.stands(), ("cancelled", vec![MovePhase::Undone]));
    let world = &cancelled.world;
    world.assert_only(&Recording::hls(), &from()).await;
}

#[tokio::test]
async fn rename_cancelled_after_its_commit_is_completed() {
    let cancelled = Cancelled::amid("delete", RENAMING).await;
    let settled = cancelled.settled(2).await;
    assert_eq!(settled, [Transition::HandBack, Transition::Finish]);
    assert_eq!(cancelled.stands(), ("done", vec![MovePhase::Moved]));
    cancelled.world.assert_only(&Recording::hls(), &to()).await;
}

#[tokio::test]
async fn task_cancelled_after_its_rename_took_effect_takes_no_further_step() {
    let rules = RENAMING.replace(" }] }]", " }, { tag: { tags: { never: set } } }] }]");
    let cancelled = Cancelled::amid("delete", &rules).await;
    let settled = cancelled.settled(2).await;
    assert_eq!(settled, [Transition::HandBack, Transition::Cancel]);
    assert_eq!(cancelled.stands(), ("cancelled", vec![MovePhase::Moved]));
    cancelled.world.assert_only(&Recording::hls(), &to()).await;
}

#[tokio::test]
async fn failure_on_the_way_forward_is_retried_though_the_task_is_cancelled() {
    let cancelled = Cancelled::amid("delete", RENAMING).await;
    // The playlist is deleted; the next try fails once to delete the segments.
    cancelled
        .world
        .gate
        .break_at(Which::First("delete"), How::Fails);
    let settled = cancelled.settled(3).await;
    let [
        Transition::HandBack,
        Transition::RetryAfter { why, .. },
        Transition::Finish,
    ] = &settled[..]
    else {
        panic!("{settled:?}");
    };
    assert_eq!(why.kind, FailureKind::Unavailable);
    assert_eq!(cancelled.stands(), ("done", vec![MovePhase::Moved]));
    cancelled.world.assert_only(&Recording::hls(), &to()).await;
}

#[tokio::test]
async fn copies_that_cannot_be_removed_are_removed_by_the_next_try() {
    for how in [How::Fails, How::Panics] {
        let cancelled = Cancelled::amid("copy", RENAMING).await;
        let gate = &cancelled.world.gate;
        gate.break_at(Which::First("delete"), how);
        let settled = cancelled.settled(2).await;
        let [Transition::Undo { given_up: None, .. }, Transition::Cancel] = &settled[..] else {
            panic!("{settled:?}");
        };
        assert_eq!(cancelled.stands(), ("cancelled", vec![MovePhase::Undone]));
        let world = &cancelled.world;
        world.assert_only(&Recording::hls(), &from()).await;
    }
}

#[tokio::test]
async fn cancel_reaches_a_task_that_was_claimed_again_before_its_last_run_was_gone() {
    let replies = [Reply::status(500), Reply::status(500).held()];
    let sink = Sink::start(replies).await;
    let rules = announcing(&sink, "{ notify: lms }").replace("concurrency: 1", "concurrency: 2");
    let floor = Floor::outward(&rules).await;
    floor.store.applied.arm();
    let task = floor.record("a.mp4").await[0];
    floor.workers.start();
    floor.store.applied.reached().await;
    floor.workers.lanes().waker().wake();
    sink.received(2).await;
    floor.store.applied.release();
    tokio::task::yield_now().await;

    let asked = floor
        .premises
        .operator()
        .cancel_one(task, clock::now())
        .unwrap();
    assert_eq!(asked, CancelOutcome::Requested);
    floor.store.cancels(1).await;
    sink.release(1);
    let settled = floor.store.settled(2).await;
    floor.workers.drain(PATIENT).await;
    assert!(matches!(
        settled[..],
        [Transition::RetryAfter { .. }, Transition::Cancel]
    ));
}
