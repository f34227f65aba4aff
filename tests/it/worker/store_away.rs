//! A store whose disk is full while callbacks arrive and steps end.

use std::collections::BTreeSet;
use std::time::Duration;

use aftertake::model::transition::Transition;
use serde_json::Value;

use crate::support::floor::Floor;
use crate::support::in_time;
use crate::support::premises::{PATIENT, Premises, Running, announcing, callback};
use crate::support::recording::{Recording, place};
use crate::support::sink::{Received, Reply, Sink};
use crate::support::world::{RENAMING, World};

/// A response that becomes the step's output and needs further pages.
fn long_answer() -> Reply {
    Reply::status(200).body("x".repeat(12_000))
}

/// A service that has notified about `a.mp4` and cannot store that.
async fn stuck(premises: &Premises, sink: &Sink, grace: Duration) -> Running {
    let rules = announcing(sink, "{ notify: lms }");
    let running = premises.start(&rules, grace).await;
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
    let premises = Premises::new();
    let sink = Sink::start([long_answer().held()]).await;
    let running = stuck(&premises, &sink, PATIENT).await;
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
    assert_eq!(premises.states(), [("done", 0, 1)]);
    assert_eq!(sink.requests().len(), 1);
}

#[tokio::test]
async fn step_that_has_ended_makes_room_in_its_lane_before_its_end_is_stored() {
    let sink = Sink::start([]).await;
    let floor = Floor::outward(&announcing(&sink, "{ notify: lms }")).await;
    floor.store.applied.arm();
    floor.record("a.mp4").await;
    floor.workers.start();
    floor.store.applied.reached().await;
    floor.record("b.mp4").await;
    sink.received(2).await;
    floor.store.applied.release();
    floor.store.settled(2).await;
    floor.workers.drain(PATIENT).await;
}

#[tokio::test]
async fn nothing_is_claimed_while_the_end_of_a_step_cannot_be_stored() {
    let sink = Sink::start([long_answer().held()]).await;
    let rules = announcing(&sink, "{ notify: lms }").replace("concurrency: 1", "concurrency: 2");
    let floor = Floor::outward(&rules).await;
    floor.record("a.mp4").await;
    floor.workers.start();
    sink.received(1).await;
    floor.store_only("b.mp4").await;
    floor.store.fill().await;
    sink.release(1);
    floor.store.refused(1).await;
    floor.workers.lanes().waker().wake();
    // After one backoff there was time for a claim, and room in the lane.
    floor.store.refused(3).await;
    assert_eq!(sink.requests().len(), 1);

    floor.store.free().await;
    floor.store.settled(2).await;
    floor.workers.drain(PATIENT).await;
    assert_eq!(floor.premises.states(), [("done", 0, 1), ("done", 0, 1)]);
}

#[tokio::test]
async fn stop_does_not_wait_for_a_store_that_stays_away_and_the_step_is_repeated_under_its_id() {
    let premises = Premises::new();
    let sink = Sink::start([long_answer().held()]).await;
    let running = stuck(&premises, &sink, Duration::ZERO).await;
    running.service.drain().await;
    drop(running.store);
    let running = premises
        .start(&announcing(&sink, "{ notify: lms }"), PATIENT)
        .await;
    running.store.settled(1).await;
    running.service.drain().await;
    let states: Vec<_> = premises.tasks().iter().map(|one| one.state).collect();
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
    let premises = Premises::new();
    let sink = Sink::start([]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let running = premises.start(&rules, PATIENT).await;
    running.front.announce("before.mp4").await;
    running.store.fill().await;
    let (mut accepted, refused) = post_until_refused(&running).await;
    let metrics = running.front.ask("/metrics").await;
    let counted = "\naftertake_callbacks_total{result=\"unavailable\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(premises.tasks().len(), 1 + accepted.len());

    running.store.free().await;
    running.front.announce(&refused).await;
    accepted.extend([refused, "before.mp4".to_owned()]);
    running.store.settled(accepted.len()).await;
    running.service.drain().await;
    let announced: BTreeSet<String> = sink.requests().iter().map(object).collect();
    assert_eq!(announced, accepted.into_iter().collect());
    assert!(premises.tasks().iter().all(|task| task.state == "done"));
}

fn object(request: &Received) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"]["obs_object"].as_str().unwrap().to_owned()
}

/// The step's end can still be stored. Without a pause the task would be claimed and fail again
/// in a tight loop.
#[tokio::test]
async fn step_whose_journal_cannot_be_written_leaves_the_store_alone_for_a_while() {
    let world = World::new();
    world
        .record(&Recording::hls(), &place("recorded", "r/a.m3u8"))
        .await;
    let floor = Floor::new(RENAMING, world.reach()).await;
    let conn = rusqlite::Connection::open(floor.premises.path()).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER broken BEFORE INSERT ON moves BEGIN SELECT raise(abort, 'broken'); END",
    )
    .unwrap();
    let mut paused = floor.workers.paused();
    floor.record("r/a.m3u8").await;
    floor.workers.start();
    let waits = paused.wait_for(|paused| paused.why.is_some());
    let why = in_time(waits).await.unwrap().why.clone().unwrap();
    assert!(why.contains("broken"), "{why}");
    conn.execute_batch("DROP TRIGGER broken").unwrap();
    let mut count = 1;
    while floor.store.settled(count).await.last() != Some(&Transition::Finish) {
        count += 1;
    }
    floor.workers.drain(PATIENT).await;
    let states: Vec<_> = floor.premises.tasks().iter().map(|one| one.state).collect();
    assert_eq!(states, ["done"]);
}
