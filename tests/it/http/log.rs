//! What the log says of callbacks that fail or match nothing: enough, and no more.

use std::sync::mpsc::Receiver;

use serde_json::Value;

use super::TOO_LONG;
use crate::support::service_process::{ServiceProcess, serving};

struct Program {
    served: ServiceProcess,
    log: Receiver<String>,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("recordings")).unwrap();
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        let (served, log) = ServiceProcess::start_heard(&mut serving(folder.path()));
        Self {
            served,
            log,
            _folder: folder,
        }
    }

    async fn post(&self, path: &str, body: &str) -> u16 {
        let url = format!("http://{}{path}", self.served.public);
        let post = reqwest::Client::new().post(url).body(body.to_owned());
        post.send().await.unwrap().status().as_u16()
    }

    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.served.admin);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// Warnings and errors up to the line about a further event.
    async fn complaints(&self) -> Vec<Value> {
        let last = r#"{"event_type":"LAST","room_id":"last"}"#;
        assert_eq!(self.post("/callbacks/sparkrtc", last).await, 200);
        let lines = std::iter::from_fn(|| {
            let line = self.log.recv_timeout(TOO_LONG).unwrap();
            Some(serde_json::from_str::<Value>(&line).unwrap())
        });
        let before = lines.take_while(|line| line["tasks"] != 0);
        let loud = |line: &Value| line["level"] == "WARN" || line["level"] == "ERROR";
        before.filter(loud).collect()
    }
}

/// Rules that tag recordings in a bucket.
const RULES: &str = "
buckets: { known: { store: folder, path: ./recordings } }
rules:
  - { name: tag, steps: [{ tag: by_room }] }
";

#[tokio::test]
async fn posts_to_a_wrong_path_are_counted_and_leave_one_line() {
    let program = Program::start(RULES);
    let body = r#"{"event_type":"RECORD_FILE_COMPLETE"}"#;
    for path in [
        "/callback/sparkrtc",
        "/callbacks/SparkRTC",
        "/",
        "//callbacks/sparkrtc",
    ] {
        assert_eq!(program.post(path, body).await, 404, "{path}");
    }
    let counted = "aftertake_callbacks_total{result=\"wrong_path\"} 4\n";
    assert!(program.metrics().await.contains(counted));
    let complaints = program.complaints().await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0]["path"], "\"/callback/sparkrtc\"");
    let says = "posted to a wrong path; callbacks go to /callbacks/sparkrtc";
    assert_eq!(complaints[0]["message"], says);
}

#[tokio::test]
async fn body_that_is_too_large_leaves_a_line_with_the_limit() {
    let program = Program::start(RULES);
    let large = "x".repeat(65_537);
    assert_eq!(program.post("/callbacks/sparkrtc", &large).await, 413);
    let complaints = program.complaints().await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    let says = "callback refused: body too large: it may have 65536 bytes";
    let message = complaints[0]["message"].as_str().unwrap();
    assert!(message.starts_with(says), "{message}");
}

#[tokio::test]
async fn field_that_cannot_be_used_leaves_a_line_and_is_named_with_its_event() {
    let program = Program::start(RULES);
    let body = r#"{"event_type":"RECORD_NEW_FILE_START","room_id":"r","record_duration":"60s","start_time":"today"}"#;
    assert_eq!(program.post("/callbacks/sparkrtc", body).await, 200);
    let complaints = program.complaints().await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0]["fields"], "record_duration, start_time");
}

#[tokio::test]
async fn events_of_a_bucket_that_is_not_configured_leave_one_line() {
    let program = Program::start(RULES);
    for number in 0..3 {
        let body = format!(
            r#"{{"event_type":"RECORD_FILE_COMPLETE","obs_bucket":"other","obs_object":"{number}.mp4","room_id":"r","end_time":"2026-03-02T01:00:01Z"}}"#
        );
        assert_eq!(program.post("/callbacks/sparkrtc", &body).await, 200);
    }
    let dead = "aftertake_tasks{state=\"dead\"} 3\n";
    assert!(program.metrics().await.contains(dead));
    let complaints = program.complaints().await;
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert_eq!(complaints[0]["level"], "ERROR");
    assert_eq!(
        complaints[0]["failure"],
        "forbidden: bucket \"other\" is not configured: add it under `buckets` and retry the task"
    );
}
