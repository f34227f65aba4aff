//! The real service on real ports, restarted with other rules.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use aftertake::app::Service;
use aftertake::clock;
use aftertake::model::id::EventId;
use aftertake::rules::file::{Lookup, RulesFile, parse_revision};
use aftertake::rules::plan::plan;
use aftertake::store::Arrival;
use aftertake::store::lists::{EventFilter, Page, TaskFilter};
use aftertake::store::operator::Operator;
use bytes::Bytes;

use crate::support::event;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{Env, PATIENT, TestService, announcing, parse, settings};

fn rules(sink: &Sink, path: &str, env: &Env) -> RulesFile {
    let text = format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true, concurrency: 1 }} }}\n\
         rules: [{{ name: announce, steps: [{{ notify: {{ destination: lms, path: '{path}' }} }}] }}]\n",
        sink.url("/"),
    );
    parse(&text, env)
}

pub(crate) fn arrival(rules: &RulesFile, body: &str) -> Arrival {
    let body = Bytes::from(body.to_owned());
    let event = event(body, clock::now());
    Arrival {
        plan: plan(&rules.rules, &event, 0),
        event: Arc::new(event),
    }
}

#[tokio::test]
async fn task_runs_on_the_rules_it_was_planned_under_and_reveals_none_of_their_secrets() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let env = Env::from([("TOKEN", "hidden-token-7")]);
    let old = rules(&sink, "/${TOKEN}/{{ stream_name }}", &env);
    let mut operator = test_service.database().create();
    for body in [
        r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"nameless"}"#,
        r#"{"event_type":"RECORD_FILE_COMPLETE","stream_name":"s"}"#,
    ] {
        operator
            .record(&arrival(&old, body), &old.rules.text)
            .unwrap();
    }

    let new = rules(&sink, "/new", &Env::new());
    let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(env);
    let settings = settings(test_service.folder(), PATIENT);
    // The lane holds one task at a time: the first task has ended when the second request arrives.
    let service = Service::start(&settings, new, lookup).await.unwrap();
    let received = sink.received(1).await;
    service.drain().await;

    assert_eq!(received[0].target, "/hidden-token-7/s");
    let tasks = operator
        .tasks(&TaskFilter::default(), Page::newest(10))
        .unwrap();
    let dead = tasks.iter().find(|task| task.state == "dead").unwrap();
    let reason = &dead.failure.as_ref().unwrap().reason;
    assert!(
        reason.contains("***") && !reason.contains("hidden-token-7"),
        "{reason}"
    );
    let done: Vec<EventId> = tasks
        .iter()
        .filter(|task| task.state == "done")
        .map(|task| task.event)
        .collect();
    let shown = format!(
        "{:?}",
        operator
            .task(tasks.iter().find(|task| task.event == done[0]).unwrap().id)
            .unwrap()
    );
    assert!(!shown.contains("hidden-token-7"), "{shown}");
}

#[tokio::test]
async fn every_sample_callback_is_accepted_and_accounted_for() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(Env::new());
    let settings = settings(test_service.folder(), PATIENT);
    let rules = rules(&sink, "/new", &Env::new());
    let service = Service::start(&settings, rules, lookup).await.unwrap();
    let to = format!("http://{}/callbacks/sparkrtc", service.public());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/callbacks");
    let mut posted = 0;
    for sample in std::fs::read_dir(samples).unwrap() {
        let body = std::fs::read(sample.unwrap().path()).unwrap();
        for _repeated in 0..2 {
            let answer = client.post(&to).body(body.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let said = answer.text().await.unwrap();
            assert_eq!(said, r#"{"status":1,"result":"success"}"#);
        }
        posted += 1;
    }
    // Eight of the thirteen samples report a complete file.
    sink.received(8).await;
    service.drain().await;

    let operator = test_service.operator();
    let events = operator
        .events(&EventFilter::default(), Page::newest(100))
        .unwrap();
    assert_eq!((events.len(), posted), (13, 13));
    for event in events {
        let detail = operator.event(event.id).unwrap().unwrap();
        let complete = event.event_type == "RECORD_FILE_COMPLETE";
        let states: Vec<_> = detail.tasks.iter().map(|task| task.state).collect();
        let planned = parse_revision(&detail.rules.unwrap(), &BTreeSet::new(), &Env::new());
        let skipped = planned.unwrap().skipped(&detail.event.unwrap());
        let reasons: Vec<_> = skipped.into_iter().map(|one| one.reason).collect();
        if complete {
            assert_eq!((states, reasons.len()), (vec!["done"], 0));
        } else {
            let reason = format!("event {} is not RECORD_FILE_COMPLETE", event.event_type);
            assert_eq!((states.len(), reasons), (0, vec![reason]));
        }
    }
    assert_eq!(sink.requests().len(), 8, "a duplicate causes nothing");
}

#[tokio::test]
async fn failed_attempt_stores_no_part_of_a_secret_where_the_body_is_cut() {
    let test_service = TestService::new();
    let body = format!("{}hidden-token-7", "x".repeat(4090));
    let sink = Sink::start([Reply::status(422).body(body)]).await;
    let steps = format!(
        "{{ notify: {{ destination: lms, body: '{}${{TOKEN}}' }} }}",
        "x".repeat(4090)
    );
    let env = Env::from([("TOKEN", "hidden-token-7")]);
    let running = test_service
        .start_in(&announcing(&sink, &steps), &env, PATIENT)
        .await;
    running.front.announce("a.mp4").await;
    running.store.settled(1).await;
    running.service.drain().await;

    let attempts = test_service.only().attempts;
    let exchange = attempts[0].exchange.as_ref().unwrap();
    let kept = Some(format!("{}***", "x".repeat(4090)));
    assert_eq!((&exchange.sent, &exchange.answer), (&kept, &kept));
}
