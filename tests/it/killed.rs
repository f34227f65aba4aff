//! The real program, killed or stopped under load: nothing acknowledged is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aftertake::store::lists::{Page, TaskFilter};
use aftertake::store::operator::Operator;
use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::service_process::{ServiceProcess, serve};
use crate::support::sink::{Reply, Sink};

/// Rules that notify `sink`; `keys` are further keys of their only rule.
fn rules(folder: &Path, sink: &Sink, keys: &str) {
    let text = format!(
        "destinations:\n  lms: {{ url: \"{}\", allow_private: true }}\nretry: {{ first: 50ms, longest: 50ms }}\n\
         rules:\n  - name: announce\n    steps: [{{ notify: lms }}]\n{keys}",
        sink.url("/hook"),
    );
    std::fs::write(folder.join("rules.yaml"), text).unwrap();
}

async fn post(client: &reqwest::Client, to: &str, number: usize) -> bool {
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": format!("k{number}.mp4"),
        "room_id": format!("class-{}", number % 8), "end_time": "2026-03-02T01:01:02Z",
    });
    client
        .post(to)
        .body(body.to_string())
        .send()
        .await
        .is_ok_and(|answer| answer.status() == 200)
}

/// Posts until the program is gone; returns the callbacks that got their 200.
async fn flood(to: String, first: usize, gone: Arc<AtomicBool>) -> BTreeSet<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut accepted = BTreeSet::new();
    for number in (first..).step_by(8) {
        if post(&client, &to, number).await {
            accepted.insert(format!("k{number}.mp4"));
        } else if gone.load(Ordering::SeqCst) {
            break;
        }
    }
    accepted
}

/// Serves three times under load, each time until `end`; returns the accepted callbacks.
async fn flooded(
    folder: &Path,
    sink: &Sink,
    end: impl Fn(&mut ServiceProcess),
) -> BTreeSet<String> {
    let mut accepted = BTreeSet::new();
    for round in 0..3 {
        let mut served = serve(folder);
        let gone = Arc::new(AtomicBool::new(false));
        let already = sink.requests().len();
        let floods: Vec<_> = (0..8)
            .map(|lane| {
                tokio::spawn(flood(
                    served.callbacks(),
                    round * 100_000 + lane,
                    Arc::clone(&gone),
                ))
            })
            .collect();
        sink.received(already + 100).await;
        tokio::task::block_in_place(|| end(&mut served));
        gone.store(true, Ordering::SeqCst);
        for flood in floods {
            accepted.extend(flood.await.unwrap());
        }
    }
    assert!(accepted.len() > 100);
    accepted
}

/// Serves again until all of these are announced, each under one id.
async fn assert_announced(folder: &Path, sink: &Sink, accepted: &BTreeSet<String>) {
    let _served = serve(folder);
    let ids = loop {
        let count = sink.requests().len();
        let ids = ids_by_object(sink);
        if accepted.iter().all(|object| ids.contains_key(object)) {
            break ids;
        }
        sink.received(count + 1).await;
    };
    for (object, ids) in ids {
        assert_eq!(ids.len(), 1, "{object} was announced under {ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_callback_is_delivered_after_a_kill_with_one_id_for_all_tries() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start([]).await;
    rules(folder.path(), &sink, "");
    let accepted = flooded(folder.path(), &sink, ServiceProcess::kill).await;
    assert_announced(folder.path(), &sink, &accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_of_each_room_survives_failures_and_kills() {
    let folder = tempfile::tempdir().unwrap();
    let replies = (0..600).map(|number| Reply::status(if number % 3 == 0 { 503 } else { 200 }));
    let sink = Sink::start(replies).await;
    rules(folder.path(), &sink, "    order_by: room_id\n");
    let accepted = flooded(folder.path(), &sink, ServiceProcess::kill).await;
    assert_announced(folder.path(), &sink, &accepted).await;
    // Each room's callbacks were posted one after the other with increasing numbers.
    let mut latest: BTreeMap<String, usize> = BTreeMap::new();
    for request in sink.requests() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = |field: &str| body["data"][field].as_str().unwrap().to_owned();
        let object = text("obs_object");
        let number = object[1..].trim_end_matches(".mp4").parse().unwrap();
        let before = latest.insert(text("room_id"), number);
        assert!(
            before.is_none_or(|before| before <= number),
            "{object} came too late"
        );
    }
    assert_eq!(latest.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_under_load_loses_nothing_spends_no_try_and_sends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start([]).await;
    rules(folder.path(), &sink, "");
    let accepted = flooded(folder.path(), &sink, ServiceProcess::stop).await;
    let operator = Database::of_program(folder.path()).operator();
    let tasks = operator
        .tasks(&TaskFilter::default(), Page::newest(1_000_000))
        .unwrap();
    for task in tasks {
        let stands = (task.state, task.tries);
        assert!([("done", 1), ("ready", 0)].contains(&stands), "{stands:?}");
    }
    drop(operator);
    assert_announced(folder.path(), &sink, &accepted).await;
    let announced = sink.requests();
    let ids: BTreeSet<&str> = announced
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), announced.len());
}

#[tokio::test]
async fn task_whose_last_try_a_kill_ended_says_no_more_than_that() {
    let folder = tempfile::tempdir().unwrap();
    let script = [Reply::status(503), Reply::status(200).held()];
    let sink = Sink::start(script).await;
    rules(
        folder.path(),
        &sink,
        "    retry: { first: 1ms, longest: 1ms, tries: 2 }\n    on_dead: lms\n",
    );
    let mut served = serve(folder.path());
    assert!(post(&reqwest::Client::new(), &served.callbacks(), 0).await);
    sink.received(2).await;
    served.kill();
    let _served = serve(folder.path());
    let notice = sink.received(3).await.remove(2);
    let notice: Value = serde_json::from_slice(&notice.body).unwrap();
    let reason = "the process ended during the last of its tries (2 of 2, retry.tries)";
    assert_eq!(
        (&notice["type"], &notice["data"]["failure"]["reason"]),
        (&json!("task.dead"), &json!(reason)),
        "{notice}"
    );
}

fn ids_by_object(sink: &Sink) -> BTreeMap<String, BTreeSet<String>> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for request in sink.requests() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let object = body["data"]["obs_object"].as_str().unwrap().to_owned();
        let id = request.header("webhook-id").to_owned();
        ids.entry(object).or_default().insert(id);
    }
    ids
}
