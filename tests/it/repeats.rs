//! Which callbacks are the same event: their meaning decides, not their signature.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aftertake::model::id::EventId;
use aftertake::model::plan::Plan;
use aftertake::model::task::RevisionId;
use aftertake::model::time::Timestamp;
use aftertake::recorder::sparkrtc::signature;
use aftertake::store::{Arrival, Recorded, Store};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::backend::{Backend, Sqlite, shown_on_every_store};
use crate::support::event;
use crate::support::service_process::{ServiceProcess, serving};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The end of a job: no object, and no time.
const OVER: &str = r#"{"event_type":"CLOUD_RECORD_SERVER_OVER","job_id":"j","app_id":"a","room_id":"r","detail_message":"EXCEED_MAX_IDLE_TIME"}"#;

/// The first millisecond of a window in which such events are counted as repeats.
const WINDOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

const TEN_MINUTES: u64 = 600_000;

async fn post(served: &ServiceProcess, (rand, timestamp): (&str, &str), body: &str) -> u16 {
    let signature = signature::sign(&KEY.into(), rand, timestamp, body.as_bytes());
    let request = reqwest::Client::new()
        .post(served.callbacks())
        .header("X-Rtc-Rand", rand)
        .header("X-Rtc-Timestamp", timestamp)
        .header("X-Rtc-Signature", signature)
        .body(body.to_owned());
    request.send().await.unwrap().status().as_u16()
}

fn program(folder: &Path, args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
    let output = command.args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn callback_signed_again_or_with_its_signed_text_split_elsewhere_is_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let rules = format!(
        "callbacks: {{ sparkrtc: {{ keys: ['{KEY}'] }} }}\n\
         destinations: {{ d: {{ url: 'http://127.0.0.1:9/', allow_private: true }} }}\n\
         rules: [{{ name: r, steps: [{{ notify: d }}] }}]\n"
    );
    std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    std::fs::write(folder.path().join("over.json"), OVER).unwrap();
    let served = ServiceProcess::start(&mut serving(folder.path()));
    for signed in [("first", "1772413200"), ("second", "1772413230")] {
        assert_eq!(post(&served, signed, OVER).await, 200);
    }
    // One signature is valid wherever its text is split.
    let signed = "8f14e45fceea167a1772413200";
    for border in 1..signed.len() {
        assert_eq!(post(&served, signed.split_at(border), OVER).await, 200);
    }
    let list = ["events", "list", "--json"];
    let listed = program(folder.path(), &list);
    let add = ["events", "add", "over.json", "--json"];
    let added = program(folder.path(), &add);
    assert_eq!(
        (&added["new"], &added["id"]),
        (&json!(false), &listed[0]["id"])
    );
    assert_eq!(program(folder.path(), &list).as_array().unwrap().len(), 1);
}

shown_on_every_store! {
    repeat_is_known_for_ten_minutes_to_the_millisecond_also_after_a_restart
    object_that_grows_is_complete_anew_also_without_an_end_time
}

/// A store that is fed callbacks at chosen times.
struct Shelf<B: Backend> {
    backend: B,
    store: Option<B::Store>,
}

impl<B: Backend> Shelf<B> {
    fn new() -> Self {
        let mut shelf = Self {
            backend: B::default(),
            store: None,
        };
        shelf.restart();
        shelf
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(self.backend.open());
    }

    /// Stores a callback that arrives `millis` after the start of the window; returns its event
    /// and, if it is a repeat, the event that it repeats.
    async fn hear(&self, body: &str, millis: i64) -> (EventId, Option<EventId>) {
        let received = Timestamp::from_millis(WINDOW.millis() + millis);
        let event = event(body.to_owned(), received);
        let id = event.id;
        let plan = Plan {
            revision: RevisionId::of(""),
            tasks: Vec::new(),
        };
        let event = Arc::new(event);
        let store = self.store.as_ref().unwrap();
        match store.record(Arrival { event, plan }, vec![]).await.unwrap() {
            Recorded::New { .. } => (id, None),
            Recorded::Duplicate { of } => (id, Some(of)),
        }
    }
}

async fn repeat_is_known_for_ten_minutes_to_the_millisecond_also_after_a_restart<B: Backend>(_: B) {
    let ten = i64::try_from(TEN_MINUTES).unwrap();
    for first in [0, 1, 59_999, ten / 2, ten - 1] {
        let mut shelf = Shelf::<B>::new();
        let (id, new) = shelf.hear(OVER, first).await;
        assert_eq!(new, None);
        shelf.restart();
        for apart in [0, 1, -1, ten / 2, ten - 1, ten, 1 - ten, -ten] {
            let (_, of) = shelf.hear(OVER, first + apart).await;
            assert_eq!(of, Some(id), "{apart} ms from {first}");
        }
        for apart in [ten + 1, -ten - 1] {
            let (_, of) = shelf.hear(OVER, first + apart).await;
            assert_eq!(of, None, "{apart} ms from {first}");
        }
    }
}

#[test]
fn event_is_new_exactly_when_none_like_it_was_stored_within_ten_minutes() {
    let cases = ProptestConfig::with_cases(64);
    let times = prop::collection::vec((0..3_000_000_i64, 0..3_u8), 1..30);
    let tried = TestRunner::new(cases).run(&times, |times| {
        let shelf = Shelf::<Sqlite>::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let mut stored: Vec<(i64, u8)> = Vec::new();
        for (at, job) in times {
            let body = OVER.replace("\"j\"", &format!("\"{job}\""));
            let heard = runtime.as_ref().unwrap().block_on(shelf.hear(&body, at));
            let near = |(time, of): &(i64, u8)| *of == job && time.abs_diff(at) <= TEN_MINUTES;
            prop_assert_eq!(heard.1.is_some(), stored.iter().any(near));
            if heard.1.is_none() {
                stored.push((at, job));
            }
        }
        Ok(())
    });
    tried.unwrap();
}

async fn object_that_grows_is_complete_anew_also_without_an_end_time<B: Backend>(_: B) {
    let complete = |more: Value| {
        let mut body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": "a.m3u8", "job_id": "j",
        });
        let Value::Object(more) = more else { panic!() };
        body.as_object_mut().unwrap().extend(more);
        body.to_string()
    };
    let start = "2026-03-02T01:00:00Z";
    let day = i64::try_from(Duration::from_hours(24).as_millis()).unwrap();
    let (shelf, first) = (
        Shelf::<B>::new(),
        json!({"start_time": start, "file_size": 1}),
    );
    let (id, _) = shelf.hear(&complete(first.clone()), 0).await;
    for later in [1, day] {
        assert_eq!(
            shelf.hear(&complete(first.clone()), later).await.1,
            Some(id)
        );
    }
    for grown in [
        json!({"start_time": start, "file_size": 2}),
        json!({"start_time": start, "record_duration": 1}),
        json!({"start_time": start, "record_duration": 2}),
        json!({"file_size": 1}),
        json!({"file_size": 2}),
        json!({"start_time": start}),
    ] {
        assert_eq!(
            shelf.hear(&complete(grown.clone()), 0).await.1,
            None,
            "{grown}"
        );
    }
    // Only the elapsed time distinguishes this one from a repeat.
    let silent = complete(json!({"start_time": start}));
    assert!(shelf.hear(&silent, 1).await.1.is_some());
    assert_eq!(shelf.hear(&silent, day).await.1, None);
}
