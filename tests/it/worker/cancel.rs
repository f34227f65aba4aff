//! Tasks that a person cancels: waiting, running, and half moved.

use aftertake::clock;
use aftertake::model::failure::FailureKind;
use aftertake::model::moves::MovePhase;
use aftertake::model::recording::Place;
use aftertake::model::transition::Transition;
use aftertake::store::operator::CancelOutcome;

use crate::support::faults::{How, Which};
use crate::support::folder_buckets::{FolderBuckets, RENAMING};
use crate::support::operator::OneTask;
use crate::support::recording::{Recording, place};
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, TestService, announcing};
use crate::support::test_workers::TestWorkers;

fn from() -> Place {
    place("recorded", "r/a.m3u8")
}

fn to() -> Place {
    place("archive", "classes/class-7/a.m3u8")
}

/// A rename that is held before its first operation of this name, and then cancelled.
struct Cancelled {
    world: FolderBuckets,
    test_workers: TestWorkers,
}

impl Cancelled {
    async fn amid(operation: &'static str, rules: &str) -> Self {
        let world = FolderBuckets::new();
        world.record(&Recording::hls(), &from()).await;
        let test_workers = TestWorkers::new(rules, world.reach()).await;
        let task = test_workers.record(&from().key).await[0];
        world.gate.hold(operation);
        test_workers.workers.start();
        world.gate.held().await;
        let asked = test_workers
            .test_service
            .operator()
            .cancel_one(task, clock::now())
            .unwrap();
        assert_eq!(asked, CancelOutcome::Requested);
        test_workers.store.cancels(1).await;
        Self {
            world,
            test_workers,
        }
    }

    /// Releases the rename and returns its settlements.
    async fn settled(&self, count: usize) -> Vec<Transition> {
        self.world.gate.release();
        let settled = self.test_workers.store.settled(count).await;
        self.test_workers.workers.drain(PATIENT).await;
        settled
    }

    /// The task's state, and the phases of its moves without repeats.
    fn stands(&self) -> (&'static str, Vec<MovePhase>) {
        let task = self.test_workers.test_service.only();
        let mut phases: Vec<_> = task.moves.iter().map(|one| one.phase).collect();
        phases.dedup();
        (task.row.state, phases)
    }
}

#[tokio::test]
async fn waiting_task_is_cancelled_at_once_and_never_runs() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    running.front.announce("b.mp4").await;
    let waiting = test_service.tasks()[1].id;
    let asked = test_service
        .operator()
        .cancel_one(waiting, clock::now())
        .unwrap();
    assert_eq!(asked, CancelOutcome::Cancelled);
    sink.release(1);
    running.front.announce("c.mp4").await;
    running.store.settled(2).await;
    running.service.drain().await;
    let states = [("done", 0, 1), ("cancelled", 0, 0), ("done", 0, 1)];
    assert_eq!(test_service.states(), states);
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
    let test_workers = TestWorkers::outward(&rules).await;
    test_workers.store.applied.arm();
    let task = test_workers.record("a.mp4").await[0];
    test_workers.workers.start();
    test_workers.store.applied.reached().await;
    test_workers.workers.lanes().waker().wake();
    sink.received(2).await;
    test_workers.store.applied.release();
    tokio::task::yield_now().await;

    let asked = test_workers
        .test_service
        .operator()
        .cancel_one(task, clock::now())
        .unwrap();
    assert_eq!(asked, CancelOutcome::Requested);
    test_workers.store.cancels(1).await;
    sink.release(1);
    let settled = test_workers.store.settled(2).await;
    test_workers.workers.drain(PATIENT).await;
    assert!(matches!(
        settled[..],
        [Transition::RetryAfter { .. }, Transition::Cancel]
    ));
}
