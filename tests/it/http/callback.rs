//! Who is answered what on the callback listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aftertake::http::callback::{self, Gate, Handoff, Intake, Reservation};
use aftertake::http::crowd::{Crowd, CrowdLimits};
use aftertake::http::server::Limits;
use aftertake::model::event::{Event, EventType, Fields};
use aftertake::model::id::{EventId, TaskId};
use aftertake::model::plan::Plan;
use aftertake::model::recorder::Recorder;
use aftertake::model::task::RevisionId;
use aftertake::model::time::Timestamp;
use aftertake::recorder::Refusal;
use aftertake::store::{Arrival, Claim};
use aftertake::supervision::{How, Supervisor};
use aftertake::telemetry::Metrics;
use bytes::Bytes;
use hyper::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::failed_disk::{Ended, FailedDisk};
use super::{HOUR, Listening, PATIENT, SOON, TOO_LONG};

/// A gate that judges by the body alone.
struct Words;

impl Gate for Words {
    fn admit(
        &self,
        from: Recorder,
        _headers: &HeaderMap,
        body: Bytes,
        received: Timestamp,
    ) -> Result<Arrival, Refusal> {
        match &*body {
            b"forged" => Err(Refusal::Signature("does not fit".into())),
            b"packed" => Err(Refusal::Encoded("body is compressed".into())),
            b"words" => Err(Refusal::NotAnEvent("expected value".into())),
            _ => Ok(Arrival {
                event: Arc::new(Event {
                    id: EventId::derive(None, &[&body]),
                    recorder: from,
                    received,
                    body,
                    fields: Fields::new(EventType::RecordFileComplete),
                }),
                plan: Plan {
                    revision: RevisionId::of(""),
                    tasks: Vec::new(),
                },
            }),
        }
    }
}

/// A handoff that counts what it is told.
#[derive(Clone, Default)]
struct Counts {
    reserved: Arc<AtomicUsize>,
    ran: Arc<AtomicUsize>,
}

impl Handoff for Counts {
    fn reserve(&self, _plan: &Plan) -> Box<dyn Reservation> {
        self.reserved.fetch_add(1, Ordering::SeqCst);
        Box::new(self.clone())
    }
}

impl Reservation for Counts {
    fn start(&self) -> Vec<TaskId> {
        Vec::new()
    }

    fn run(self: Box<Self>, _claims: Vec<Claim>) {
        self.ran.fetch_add(1, Ordering::SeqCst);
    }
}

/// Limits that no test meets by chance.
const ROOMY: CrowdLimits = CrowdLimits {
    places: 100,
    place_within: HOUR,
    stored_within: HOUR,
};

fn intake(disk: FailedDisk) -> (Intake, Counts) {
    crowded(disk, ROOMY)
}

fn crowded(disk: FailedDisk, limits: CrowdLimits) -> (Intake, Counts) {
    let counts = Counts::default();
    let intake = Intake {
        gate: Arc::new(Words),
        store: Arc::new(disk),
        handoff: Arc::new(counts.clone()),
        crowd: Crowd::new(limits),
        metrics: Arc::default(),
        supervisor: Supervisor::default(),
    };
    (intake, counts)
}

#[track_caller]
fn assert_counted(metrics: &Metrics, result: &str, count: usize) {
    let line = format!("aftertake_callbacks_total{{result=\"{result}\"}} {count}\n");
    let shown = metrics.encode();
    assert!(shown.contains(&line), "{line}{shown}");
}

#[tokio::test]
async fn callback_listener_answers_each_request_as_the_recorder_expects() {
    let (intake, _) = intake(FailedDisk::default());
    let metrics = Arc::clone(&intake.metrics);
    let listening = Listening::start(callback::site(intake), PATIENT).await;
    let large = "x".repeat(1001);
    let success = r#"{"status":1,"result":"success"}"#;
    let path = "/callbacks/sparkrtc";
    for (method, path, body, status, answer) in [
        ("GET", path, "", 200, success),
        ("HEAD", path, "", 200, ""),
        ("POST", path, "", 200, success),
        (
            "POST",
            path,
            "forged",
            401,
            r#"{"error":"signature missing or wrong"}"#,
        ),
        (
            "POST",
            path,
            "words",
            400,
            r#"{"error":"body is not a JSON object"}"#,
        ),
        (
            "POST",
            path,
            "packed",
            415,
            r#"{"error":"body is compressed"}"#,
        ),
        ("POST", path, &large, 413, r#"{"error":"body too large"}"#),
        (
            "POST",
            path,
            "{}",
            503,
            r#"{"error":"cannot store the callback now"}"#,
        ),
        (
            "PUT",
            path,
            "{}",
            405,
            r#"{"error":"method not allowed here"}"#,
        ),
        ("GET", "/healthz", "", 200, r#"{"status":"ok"}"#),
        (
            "POST",
            "/healthz",
            "",
            405,
            r#"{"error":"method not allowed here"}"#,
        ),
        ("GET", "/metrics", "", 404, r#"{"error":"nothing here"}"#),
        ("POST", "/", "{}", 404, r#"{"error":"nothing here"}"#),
        ("POST", "/callbacks", "", 404, r#"{"error":"nothing here"}"#),
        ("PUT", "/", "{}", 404, r#"{"error":"nothing here"}"#),
    ] {
        let response = reqwest::Client::new()
            .request(method.parse().unwrap(), listening.url(path))
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{method} {path} {body}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.text().await.unwrap(), answer);
    }
    for (result, count) in [
        ("probe", 3),
        ("refused_signature", 1),
        ("malformed", 2),
        ("wrong_path", 2),
        ("too_large", 1),
        ("unavailable", 1),
        ("stored", 0),
    ] {
        assert_counted(&metrics, result, count);
    }
}

#[tokio::test]
async fn sender_of_what_cannot_be_stored_is_asked_to_come_again_and_nothing_is_run() {
    let (intake, counts) = intake(FailedDisk::default());
    let listening = Listening::start(callback::site(intake), PATIENT).await;
    let response = reqwest::Client::new()
        .post(listening.url("/callbacks/sparkrtc"))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(counts.reserved.load(Ordering::SeqCst), 1);
    assert_eq!(counts.ran.load(Ordering::SeqCst), 0);
}

/// A handoff that crashes.
struct Crashes;

impl Handoff for Crashes {
    fn reserve(&self, _plan: &Plan) -> Box<dyn Reservation> {
        panic!("planted")
    }
}

#[tokio::test]
async fn crash_beside_a_callback_s_claims_ends_the_service() {
    let (mut intake, _) = intake(FailedDisk::default());
    intake.handoff = Arc::new(Crashes);
    let supervisor = intake.supervisor.clone();
    let listening = Listening::start(callback::site(intake), PATIENT).await;
    let url = listening.url("/callbacks/sparkrtc");
    let answer = reqwest::Client::new().post(url).body("{}").send().await;
    assert_eq!(answer.unwrap().status(), 503);
    let ended = tokio::time::timeout(TOO_LONG, supervisor.first()).await;
    assert_eq!(ended.unwrap().how, How::Crashed);
}

#[tokio::test]
async fn event_is_stored_to_the_end_though_its_sender_has_gone() {
    let go = Arc::new(Notify::new());
    let disk = FailedDisk {
        go: Some(Arc::clone(&go)),
        ..FailedDisk::default()
    };
    let (come, ended) = (Arc::clone(&disk.come), Arc::clone(&disk.ended));
    let (intake, _) = intake(disk);
    let limits = Limits {
        drain: Duration::ZERO,
        ..PATIENT
    };
    let listening = Listening::start(callback::site(intake), limits).await;
    let mut stream = listening.connect().await;
    let head = b"POST /callbacks/sparkrtc HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head).await.unwrap();
    come.notified().await;
    drop(stream);
    // Once the listener has ended, the connection and its half-made answer are gone.
    listening.stop.cancel();
    listening.served.await.unwrap();
    go.notify_one();
    ended.signal.notified().await;
    assert!(ended.whole.load(Ordering::SeqCst));
}

/// A listener with one place for callbacks, whose disk is held, and a callback that has the
/// place.
struct Full {
    listening: Listening,
    metrics: Arc<Metrics>,
    counts: Counts,
    come: Arc<Notify>,
    go: Arc<Notify>,
    ended: Arc<Ended>,
    first: JoinHandle<reqwest::Response>,
}

async fn full(stored_within: Duration) -> Full {
    let go = Arc::new(Notify::new());
    let disk = FailedDisk {
        go: Some(Arc::clone(&go)),
        ..FailedDisk::default()
    };
    let (come, ended) = (Arc::clone(&disk.come), Arc::clone(&disk.ended));
    let limits = CrowdLimits {
        places: 1,
        place_within: Duration::ZERO,
        stored_within,
    };
    let (intake, counts) = crowded(disk, limits);
    let metrics = Arc::clone(&intake.metrics);
    let listening = Listening::start(callback::site(intake), PATIENT).await;
    let first = tokio::spawn(post(listening.url("/callbacks/sparkrtc"), "first"));
    come.notified().await;
    Full {
        listening,
        metrics,
        counts,
        come,
        go,
        ended,
        first,
    }
}

async fn post(url: String, body: &'static str) -> reqwest::Response {
    let post = reqwest::Client::new().post(url).body(body);
    post.timeout(TOO_LONG).send().await.unwrap()
}

impl Full {
    fn post(&self, body: &'static str) -> impl Future<Output = reqwest::Response> + use<> {
        post(self.listening.url("/callbacks/sparkrtc"), body)
    }

    /// Posts a callback for which there is no place.
    async fn refuses(&self) {
        let refused = self.post("{}").await;
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "5");
        let said = refused.text().await.unwrap();
        assert_eq!(said, r#"{"error":"too many callbacks at once"}"#);
    }

    /// Lets the callback that has the place end, and another have it.
    async fn passes_on(&self) {
        self.go.notify_one();
        self.ended.signal.notified().await;
        assert!(self.ended.whole.load(Ordering::SeqCst));
        let knock = async {
            loop {
                self.post("next").await;
            }
        };
        tokio::select! {
            () = self.come.notified() => {}
            () = knock => {}
        }
    }
}

#[tokio::test]
async fn callback_without_a_place_is_refused_and_neither_stored_nor_given_room_in_a_lane() {
    let full = full(HOUR).await;
    full.refuses().await;
    full.refuses().await;
    assert_eq!(full.counts.reserved.load(Ordering::SeqCst), 1);
    assert_counted(&full.metrics, "overloaded", 2);
    full.passes_on().await;
    let said = full.first.await.unwrap().text().await.unwrap();
    assert_eq!(said, r#"{"error":"cannot store the callback now"}"#);
}

#[tokio::test]
async fn sender_is_answered_in_time_while_its_callback_keeps_its_place_to_the_end() {
    let mut full = full(SOON).await;
    let answer = (&mut full.first).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_counted(&full.metrics, "overloaded", 1);
    full.refuses().await;
    assert_eq!(full.counts.reserved.load(Ordering::SeqCst), 1);
    full.passes_on().await;
}
