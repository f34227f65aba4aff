//! A store whose disk is full while callbacks arrive and steps end.

use std::collections::BTreeSet;
use std::time::Duration;

use aftertake::model::transition::Transition;
use serde_json::Value;

use crate::support::folder_buckets::{FolderBuckets, RENAMING};
use crate::support::in_time;
use crate::support::recording::{Recording, place};
use crate::support::sink::{Received, Reply, Sink};
use crate::support::test_service::{PATIENT, Running, TestService, announcing, callback};
use crate::support::test_workers::TestWorkers;

/// A response that becomes the step's output and needs further pages.
fn long_answer() -> Reply {
    Reply::status(200).body("x".repeat(12_000))
}

/// A service that has notified about `a.mp4` and cannot store that.
async fn stuck(test_service: &TestService, sink: &Sink, grace: Duration) -> Running {
    let rules = announcing(sink, "{ notify: lms }");
    let running = test_service.start(&rules, grace).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    running.store.fill().await;
    sink.release(1);
    running.store.refused(2).await;
    running
}

fn ids(requests: &[Received]) -> Vec<&str> {
    requests
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect()
}

#[tokio::test]
async fn end_of_a_step_is_stored_once_there_is_room() {
    let test_service = TestService::new();
    let sink = Sink::start([long_answer().held()]).await;
    let running = stuck(&test_service, &sink, PATIENT).await;
    let said = running.front.readyz_says(Value::is_string).await;
    assert_eq!(said["ready"], false);
    assert!(said["store"].as_str().unwrap().contains("full"), "{said}");
    let reason = said["workers_paused"].as_str().unwrap();
    assert!(reason.contains("full"), "{reason}");
    let metrics = running.front.ask("/metrics").await;
    assert!(metrics.contains("\naftertake_workers_paused 1\n"));
    assert!(metrics.contains("\naftertake_store_up 0\n"));

    running.store.free().await;
    assert_eq!(running.store.settled(1).await, [Transition::Finish]);
    let said = running.front.readyz_says(Value::is_null).await;
    assert_eq!(said["ready"], true);
    let metrics = running.front.ask("/metrics").await;
    assert!(metrics.contains("\naftertake_store_up 1\n"));
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1)]);
    assert_eq!(sink.requests().len(), 1);
}

#[tokio::test]
async fn step_that_has_ended_makes_room_in_its_lane_before_its_end_is_stored() {
    let sink = Sink::start([]).await;
    let test_workers = TestWorkers::outward(&announcing(&sink, "{ notify: lms }")).await;
    test_workers.store.applied.arm();
    test_workers.record("a.mp4").await;
    test_workers.workers.start();
    test_workers.store.applied.reached().await;
    test_workers.record("b.mp4").await;
    sink.received(2).await;
    test_workers.store.applied.release();
    test_workers.store.settled(2).await;
    test_workers.workers.drain(PATIENT).await;
}

#[tokio::test]
async fn nothing_is_claimed_while_the_end_of_a_step_cannot_be_stored() {
    let sink = Sink::start([long_answer().held()]).await;
    let rules = announcing(&sink, "{ notify: lms }").replace("concurrency: 1", "concurrency: 2");
    let test_workers = TestWorkers::outward(&rules).await;
    test_workers.record("a.mp4").await;
    test_workers.workers.start();
    sink.received(1).await;
    test_workers.store_only("b.mp4").await;
    test_workers.store.fill().await;
    sink.release(1);
    test_workers.store.refused(1).await;
    test_workers.workers.lanes().waker().wake();
    // After one backoff there was time for a claim, and room in the lane.
    test_workers.store.refused(3).await;
    assert_eq!(sink.requests().len(), 1);

    test_workers.store.free().await;
    test_workers.store.settled(2).await;
    test_workers.workers.drain(PATIENT).await;
    assert_eq!(
        test_workers.test_service.states(),
        [("done", 0, 1), ("done", 0, 1)]
    );
}

#[tokio::test]
async fn stop_does_not_wait_for_a_store_that_stays_away_and_the_step_is_repeated_under_its_id() {
    let test_service = TestService::new();
    let sink = Sink::start([long_answer().held()]).await;
    let running = stuck(&test_service, &sink, Duration::ZERO).await;
    running.service.drain().await;
    drop(running.store);
    let running = test_service
        .start(&announcing(&sink, "{ notify: lms }"), PATIENT)
        .await;
    running.store.settled(1).await;
    running.service.drain().await;
    let states: Vec<_> = test_service.tasks().iter().map(|one| one.state).collect();
    assert_eq!(states, ["done"]);
    let received = sink.requests();
    assert_eq!(received.len(), 2);
    assert_eq!(ids(&received).into_iter().collect::<BTreeSet<_>>().len(), 1);
}

/// Posts callbacks of a kilobyte until one is refused; returns the objects of the accepted ones
/// and the refusal.
async fn post_until_refused(running: &Running) -> (Vec<String>, String) {
    let mut accepted = Vec::new();
    loop {
        let object = format!("{}/{}.mp4", "long".repeat(250), accepted.len());
        let answer = running.front.post(callback(&object)).await;
        if answer.status() == 200 {
            accepted.push(object);
            assert!(accepted.len() < 1000, "the full disk refused no callback");
            continue;
        }
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "5");
        return (accepted, object);
    }
}

#[tokio::test]
async fn full_disk_refuses_callbacks_loses_none_it_took_and_takes_them_again_once_there_is_room() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("before.mp4").await;
    running.store.fill().await;
    let (mut accepted, refused) = post_until_refused(&running).await;
    let metrics = running.front.ask("/metrics").await;
    let counted = "\naftertake_callbacks_total{result=\"unavailable\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(test_service.tasks().len(), 1 + accepted.len());

    running.store.free().await;
    running.front.announce(&refused).await;
    accepted.extend([refused, "before.mp4".to_owned()]);
    running.store.settled(accepted.len()).await;
    running.service.drain().await;
    let announced: BTreeSet<String> = sink.requests().iter().map(object).collect();
    assert_eq!(announced, accepted.into_iter().collect());
    assert!(test_service.tasks().iter().all(|task| task.state == "done"));
}

fn object(request: &Received) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"]["obs_object"].as_str().unwrap().to_owned()
}

/// The step's end can still be stored. Without a pause the task would be claimed and fail again
/// in a tight loop.
#[tokio::test]
async fn step_whose_journal_cannot_be_written_leaves_the_store_alone_for_a_while() {
    let world = FolderBuckets::new();
    world
        .record(&Recording::hls(), &place("recorded", "r/a.m3u8"))
        .await;
    let test_workers = TestWorkers::new(RENAMING, world.reach()).await;
    let conn = test_workers.test_service.database().sql();
    conn.execute_batch(
        "CREATE TRIGGER broken BEFORE INSERT ON moves BEGIN SELECT raise(abort, 'broken'); END",
    )
    .unwrap();
    let mut paused = test_workers.workers.paused();
    test_workers.record("r/a.m3u8").await;
    test_workers.workers.start();
    let waits = paused.wait_for(|paused| paused.why.is_some());
    let why = in_time(waits).await.unwrap().why.clone().unwrap();
    assert!(why.contains("broken"), "{why}");
    conn.execute_batch("DROP TRIGGER broken").unwrap();
    let mut count = 1;
    while test_workers.store.settled(count).await.last() != Some(&Transition::Finish) {
        count += 1;
    }
    test_workers.workers.drain(PATIENT).await;
    let states: Vec<_> = test_workers
        .test_service
        .tasks()
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, ["done"]);
}
