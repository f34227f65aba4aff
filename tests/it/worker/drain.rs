//! An orderly stop: running steps end, waiting tasks stay as they were, no try is lost.

use std::pin::pin;
use std::time::Duration;

use aftertake::clock;
use aftertake::model::attempt::Outcome;
use aftertake::model::transition::Transition;
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::Operator;
use futures_util::FutureExt;
use tokio::net::TcpStream;

use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, TestService, announcing};
use crate::support::test_workers::TestWorkers;

const NOTIFY: &str = "{ notify: lms }";

#[tokio::test]
async fn step_under_way_ends_within_the_grace_and_nothing_else_begins() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let rules = announcing(&sink, NOTIFY);
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("a.mp4").await;
    running.front.announce("b.mp4").await;
    let first = sink.received(1).await;

    let mut drain = pin!(running.service.drain());
    assert!(drain.as_mut().now_or_never().is_none());
    while TcpStream::connect(running.front.public).await.is_ok() {}
    sink.release(1);
    running.store.settled(1).await;
    // The operator listener still answers, and there was time for a claim.
    let metrics = running.front.ask("/metrics").await;
    let waits = "\naftertake_tasks{state=\"ready\"} 1\n";
    assert!(metrics.contains(waits), "{metrics}");
    drain.await;
    drop(running.store);
    assert_eq!(test_service.states(), [("done", 0, 1), ("ready", 0, 0)]);
    assert_eq!(sink.requests().len(), 1);

    let running = test_service.start(&rules, PATIENT).await;
    let both = sink.received(2).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1), ("done", 0, 1)]);
    assert_ne!(first[0].header("webhook-id"), both[1].header("webhook-id"));
}

#[tokio::test]
async fn step_that_outlasts_the_grace_is_handed_back_and_sent_again_under_its_id() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::Hang]).await;
    let rules = announcing(&sink, NOTIFY);
    let running = test_service.start(&rules, Duration::from_millis(1)).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    running.service.drain().await;
    drop(running.store);

    let task = test_service.only();
    assert_eq!((task.row.state, task.row.tries), ("ready", 0));
    assert!(task.row.due.is_some_and(|due| due <= clock::now()));
    assert_eq!(task.attempts.len(), 1);
    assert_eq!(task.attempts[0].outcome, Outcome::Interrupted);

    let running = test_service.start(&rules, PATIENT).await;
    let received = sink.received(2).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1)]);
    let ids: Vec<_> = received
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn stop_lets_a_step_end_and_leaves_the_next_one_to_the_next_start() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let rules = announcing(&sink, "{ notify: lms }, { id: again, notify: lms }");
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    let mut drain = pin!(running.service.drain());
    assert!(drain.as_mut().now_or_never().is_none());
    sink.release(1);
    drain.await;
    drop(running.store);
    assert_eq!(test_service.states(), [("ready", 1, 0)]);

    let running = test_service.start(&rules, PATIENT).await;
    sink.received(2).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 1, 1)]);
}

/// Workers with a step running at `sink`, room for two more, and a claim of two of three tasks
/// that is committed but not yet returned.
async fn claiming(sink: &Sink) -> TestWorkers {
    let rules = announcing(sink, NOTIFY).replace("concurrency: 1", "concurrency: 3");
    let test_workers = TestWorkers::outward(&rules).await;
    test_workers.record("runs.mp4").await;
    test_workers.workers.start();
    sink.received(1).await;
    test_workers.store.claimed.arm();
    for object in ["a.mp4", "b.mp4", "c.mp4"] {
        test_workers.store_only(object).await;
    }
    test_workers.workers.lanes().waker().wake();
    test_workers.store.claimed.reached().await;
    test_workers
}

#[tokio::test]
async fn tasks_whose_claim_is_under_way_when_a_stop_comes_are_run() {
    let sink = Sink::start([Reply::status(200).held()]).await;
    let test_workers = claiming(&sink).await;
    let mut drain = pin!(test_workers.workers.drain(PATIENT));
    assert!(drain.as_mut().now_or_never().is_none());
    sink.release(1);
    test_workers.store.settled(1).await;
    test_workers.store.claimed.release();
    drain.await;
    let done = ("done", 0, 1);
    assert_eq!(
        test_workers.test_service.states(),
        [done, done, done, ("ready", 0, 0)]
    );
    assert_eq!(sink.requests().len(), 3);
}

#[tokio::test]
async fn tasks_whose_claim_comes_after_the_grace_are_handed_back_unbegun() {
    let sink = Sink::start([Reply::Hang]).await;
    let test_workers = claiming(&sink).await;
    tokio::join!(test_workers.workers.drain(Duration::ZERO), async {
        // The running task is handed back: the grace period is over.
        test_workers.store.settled(1).await;
        test_workers.store.claimed.release();
    });
    assert_eq!(test_workers.test_service.states(), [("ready", 0, 0); 4]);
    let settled = test_workers.store.settled(3).await;
    assert!(settled.iter().all(|one| *one == Transition::HandBack));
    let operator = test_workers.test_service.operator();
    let tasks = test_workers.test_service.tasks();
    let tried = |task: &TaskRow| operator.task(task.id).unwrap().unwrap().attempts.len();
    let tried: Vec<_> = tasks.iter().map(tried).collect();
    assert_eq!(tried, [1, 0, 0, 0]);
}
