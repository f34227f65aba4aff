//! Notices about dead tasks.

use aftertake::action::Reach;
use aftertake::model::id::TaskId;
use serde_json::{Value, json};

use crate::support::sink::{Received, Reply, Sink};
use crate::support::test_service::{PATIENT, TestService};
use crate::support::test_workers::{TestWorkers, reach};

/// One rule that notifies `lms` with one try, and `ops` when that task is dead.
fn rules(lms: &Sink, ops: &Sink) -> String {
    let to = |sink: &Sink| format!("{{ url: '{}', allow_private: true }}", sink.url("/"));
    format!(
        "destinations: {{ lms: {}, ops: {} }}\nretry: {{ first: 1ms, longest: 1ms, tries: 2 }}\n\
         rules: [{{ name: announce, on_dead: ops, retry: {{ tries: 1 }}, steps: [{{ notify: lms }}] }}]\n",
        to(lms),
        to(ops),
    )
}

fn document(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

/// Rule, state and tries of all tasks, oldest first.
fn told(test_service: &TestService) -> Vec<(String, &'static str, u32)> {
    let tasks = test_service.tasks().into_iter();
    tasks
        .map(|task| (task.rule, task.state, task.tries))
        .collect()
}

fn row(rule: &str, state: &'static str, tries: u32) -> (String, &'static str, u32) {
    (rule.to_owned(), state, tries)
}

#[tokio::test]
async fn dead_task_sends_one_notice_and_another_if_it_dies_after_a_retry() {
    let test_service = TestService::new();
    let lms = Sink::start([Reply::status(422), Reply::status(422)]).await;
    let ops = Sink::start([Reply::status(500)]).await;
    let running = test_service.start(&rules(&lms, &ops), PATIENT).await;
    running.front.announce("a.mp4").await;
    let received = ops.received(2).await;
    running.store.settled(3).await;
    let dead = test_service.tasks().remove(0);
    let notice = document(&received[1]);
    assert_eq!(notice["type"], "task.dead");
    assert_eq!(notice["data"]["task_id"], json!(dead.id));
    assert_eq!(notice["data"]["rule"], "announce");
    assert_eq!(notice["data"]["obs_object"], "a.mp4");
    let reason = "destination lms answered 422 Unprocessable Entity";
    assert_eq!(
        notice["data"]["failure"],
        json!({ "kind": "refused", "reason": reason })
    );
    let id = |number: usize| received[number].header("webhook-id");
    assert_eq!(id(0), id(1));
    let notices = test_service.tasks().remove(1).id.to_string();
    let shown = test_service.aftertake(&["tasks", "show", &notices]);
    let reports = format!(
        "reports    {} (rule announce) died: refused: {reason}\n",
        dead.id
    );
    assert!(shown.contains(&reports), "{shown}");

    test_service.aftertake(&["tasks", "retry", &dead.id.to_string()]);
    let received = ops.received(3).await;
    running.service.drain().await;
    assert_ne!(
        received[1].header("webhook-id"),
        received[2].header("webhook-id")
    );
    let notices = row("on_dead:announce", "done", 2);
    let again = row("on_dead:announce", "done", 1);
    assert_eq!(
        told(&test_service),
        [row("announce", "dead", 1), notices, again]
    );
}

#[tokio::test]
async fn notice_survives_a_restart_and_has_no_notice_of_its_own() {
    let test_service = TestService::new();
    let lms = Sink::start([Reply::status(422)]).await;
    let ops = Sink::start([Reply::Hang, Reply::status(422)]).await;
    let rules = rules(&lms, &ops);
    let running = test_service
        .start(&rules, std::time::Duration::from_millis(1))
        .await;
    running.front.announce("a.mp4").await;
    ops.received(1).await;
    running.service.drain().await;
    drop(running.store);
    let states = [
        row("announce", "dead", 1),
        row("on_dead:announce", "ready", 0),
    ];
    assert_eq!(told(&test_service), states);

    let running = test_service.start(&rules, PATIENT).await;
    running.store.settled(1).await;
    running.service.drain().await;
    let states = [
        row("announce", "dead", 1),
        row("on_dead:announce", "dead", 1),
    ];
    assert_eq!(told(&test_service), states);
    assert_eq!(ops.requests().len(), 2);
}

#[tokio::test]
async fn task_that_can_never_run_sends_a_notice_when_it_is_stored() {
    let ops = Sink::start([]).await;
    let rules = format!(
        "destinations: {{ ops: {{ url: '{}', allow_private: true }} }}\n\
         rules: [{{ name: archive, on_dead: ops, steps: [{{ tag: by_room }}] }}]\n",
        ops.url("/"),
    );
    let outbound = std::sync::Arc::new(aftertake::outbound::Guarded::new());
    let reached: Reach = reach(&rules, outbound);
    let test_workers = TestWorkers::new(&rules, reached).await;
    let task: TaskId = test_workers.record("a.mp4").await[0];
    test_workers.workers.start();
    let received = ops.received(1).await;
    test_workers.store.settled(1).await;
    test_workers.workers.drain(PATIENT).await;
    let notice = document(&received[0]);
    assert_eq!(notice["data"]["task_id"], json!(task));
    assert_eq!(notice["data"]["failure"]["kind"], "forbidden");
    assert_eq!(
        (&notice["data"]["step"], &notice["data"]["tries"]),
        (&json!(0), &json!(0))
    );
    let states = [row("archive", "dead", 0), row("on_dead:archive", "done", 1)];
    assert_eq!(told(&test_workers.test_service), states);
}
