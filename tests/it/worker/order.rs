//! `order_by` as a receiver sees it.

use aftertake::clock;
use aftertake::store::operator::{CancelOutcome, RetryOutcome};
use serde_json::Value;

use crate::support::operator::OneTask;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, Running, TestService, announcing};

/// Notifies `sink` in order, with room for many requests at a time.
fn in_order(sink: &Sink, blocks: bool) -> String {
    announcing(sink, "{ notify: lms }")
        .replace("concurrency: 1", "concurrency: 8")
        .replace(
            "name: announce,",
            &format!("name: announce, order_by: room_id, order_blocks: {blocks},"),
        )
}

/// The announced objects in the order of the attempts.
fn announced(sink: &Sink) -> Vec<String> {
    let object = |body: &[u8]| -> Value {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["data"]["obs_object"].clone()
    };
    let requests = sink.requests();
    let objects = requests.iter().map(|one| object(&one.body));
    objects
        .map(|object| object.as_str().unwrap().to_owned())
        .collect()
}

async fn three(running: &Running) {
    for object in ["a", "b", "c"] {
        running.front.announce(object).await;
    }
}

#[tokio::test]
async fn successors_wait_while_a_task_is_retried_and_pass_once_it_is_dead() {
    let test_service = TestService::new();
    let failing = [200, 500, 500, 500].map(Reply::status);
    let sink = Sink::start(failing).await;
    let running = test_service.start(&in_order(&sink, false), PATIENT).await;
    three(&running).await;
    running.store.settled(5).await;
    running.service.drain().await;
    assert_eq!(announced(&sink), ["a", "b", "b", "b", "c"]);
    let states = [("done", 0, 1), ("dead", 0, 3), ("done", 0, 1)];
    assert_eq!(test_service.states(), states);
}

#[tokio::test]
async fn one_at_a_time_is_under_way_though_there_is_room_for_more() {
    let test_service = TestService::new();
    let sink = Sink::start([(); 3].map(|()| Reply::status(200).held())).await;
    let running = test_service.start(&in_order(&sink, false), PATIENT).await;
    three(&running).await;
    for under_way in 1..=3 {
        sink.received(under_way).await;
        // By now the queue was polled, and nothing was claimed.
        let ready = format!("\naftertake_tasks{{state=\"ready\"}} {}\n", 3 - under_way);
        let metrics = running.front.ask("/metrics").await;
        assert!(metrics.contains(&ready), "{metrics}");
        assert_eq!(sink.requests().len(), under_way);
        sink.release(1);
    }
    running.store.settled(3).await;
    running.service.drain().await;
    assert_eq!(announced(&sink), ["a", "b", "c"]);
}

#[tokio::test]
async fn dead_task_that_blocks_holds_its_successors_across_a_restart_until_a_person_acts() {
    for cancels in [false, true] {
        let test_service = TestService::new();
        let sink = Sink::start([500, 500, 500].map(Reply::status)).await;
        let rules = in_order(&sink, true);
        let running = test_service.start(&rules, PATIENT).await;
        three(&running).await;
        running.store.settled(3).await;
        running.service.drain().await;
        drop(running.store);
        let held = [("dead", 0, 3), ("ready", 0, 0), ("ready", 0, 0)];
        assert_eq!(test_service.states(), held);

        let running = test_service.start(&rules, PATIENT).await;
        let first = test_service.tasks()[0].id;
        let (operator, now) = (&mut test_service.operator(), clock::now());
        if cancels {
            assert_eq!(
                operator.cancel_one(first, now).unwrap(),
                CancelOutcome::Cancelled
            );
        } else {
            assert_eq!(
                operator.retry_one(first, now).unwrap(),
                RetryOutcome::Requeued
            );
        }
        let after: &[&str] = if cancels {
            &["b", "c"]
        } else {
            &["a", "b", "c"]
        };
        running.store.settled(after.len()).await;
        running.service.drain().await;
        assert_eq!(announced(&sink)[3..], *after);
    }
}

#[tokio::test]
async fn rules_that_change_do_not_let_a_task_overtake_those_of_the_old_ones() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::Hang]).await;
    let rules = in_order(&sink, false);
    let running = test_service.start(&rules, std::time::Duration::ZERO).await;
    running.front.announce("a").await;
    sink.received(1).await;
    running.front.announce("b").await;
    running.service.drain().await;
    drop(running.store);

    for _ in 0..2 {
        sink.then(Reply::status(500));
    }
    let changed = rules.replace("name: announce,", "name: announce, retry: { tries: 5 },");
    let running = test_service.start(&changed, PATIENT).await;
    running.front.announce("c").await;
    running.store.settled(5).await;
    running.service.drain().await;
    assert_eq!(announced(&sink), ["a", "a", "a", "a", "b", "c"]);
}
