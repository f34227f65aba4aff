//! Responses of the callback listener.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aftertake::clock;
use aftertake::http::callback;
use aftertake::http::server::Limits;
use aftertake::intake::Intake;
use aftertake::intake::backlog::{Backlog, BacklogLimits};
use aftertake::model::recorder::Recorder;
use aftertake::model::task::Lane;
use aftertake::model::time::Timestamp;
use aftertake::store::{Retention, Store};
use aftertake::supervision::{How, Supervisor};
use aftertake::telemetry::Metrics;
use aftertake::worker::lane::{Lanes, limits};
use aftertake::worker::{WorkerParts, Workers};
use futures_util::poll;
use hyper::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::failed_disk::{Ended, FailedDisk};
use super::{HOUR, Listening, PATIENT, SOON, TOO_LONG, in_force};

/// A key, one rule, and a lane for two of its tasks.
const RULES: &str = "callbacks: { sparkrtc: { keys: [0123456789abcdef0123456789abcdef], unsigned: accept } }\n\
                     destinations: { lms: { url: 'https://lms.example.com', concurrency: 2 } }\n\
                     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";

const BODY: &str = r#"{"event_type":"RECORD_FILE_COMPLETE"}"#;

/// Limits that no test reaches by chance.
const ROOMY: BacklogLimits = BacklogLimits {
    slots: 100,
    slot_within: HOUR,
    stored_within: HOUR,
};

/// The intake on a failed disk.
struct Front {
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    workers: Workers,
    supervisor: Supervisor,
}

impl Front {
    fn new(disk: FailedDisk, limits_of_backlog: BacklogLimits) -> Self {
        let store: Arc<dyn Store> = Arc::new(disk);
        let (metrics, supervisor) = (Arc::default(), Supervisor::default());
        let current = in_force(RULES, Timestamp::from_millis(0));
        let workers = Workers::new(WorkerParts {
            store: Arc::clone(&store),
            in_force: current.clone(),
            lanes: Arc::new(Lanes::new(limits(&current.get().reach))),
            metrics: Arc::clone(&metrics),
            retention: Retention {
                history: HOUR,
                dedup_horizon: HOUR,
            },
            clock: Arc::new(clock::System),
            supervisor: supervisor.clone(),
        });
        let backlog = Backlog::new(limits_of_backlog);
        let intake = Intake::new(current, store, workers.clone(), backlog, supervisor.clone());
        Self {
            intake: Arc::new(intake),
            metrics,
            workers,
            supervisor,
        }
    }

    async fn listen(&self, limits: Limits) -> Listening {
        let site = callback::site(Arc::clone(&self.intake), Arc::clone(&self.metrics));
        Listening::start(site, limits).await
    }

    /// How many tasks of the rule could start now.
    fn room(&self) -> usize {
        let lane = Lane::Destination("lms".into());
        let permits = (0..3).map_while(|_| self.workers.lanes().permit(&lane));
        permits.collect::<Vec<_>>().len()
    }
}

#[track_caller]
fn assert_counted(metrics: &Metrics, result: &str, count: usize) {
    let line = format!("aftertake_callbacks_total{{result=\"{result}\"}} {count}\n");
    let shown = metrics.encode();
    assert!(shown.contains(&line), "{line}{shown}");
}

#[tokio::test]
async fn callback_listener_answers_each_request_as_the_recorder_expects() {
    let front = Front::new(FailedDisk::default(), ROOMY);
    let listening = front.listen(PATIENT).await;
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
            "{\0",
            415,
            r#"{"error":"body is in the charset UTF-16; it has to be UTF-8"}"#,
        ),
        (
            "POST",
            path,
            &large,
            413,
            r#"{"error":"body too large: it may have 1000 bytes"}"#,
        ),
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
        (
            "POST",
            "/callbacks/other",
            "",
            404,
            r#"{"error":"nothing here"}"#,
        ),
        ("PUT", "/", "{}", 404, r#"{"error":"nothing here"}"#),
    ] {
        let response = reqwest::Client::new()
            .request(method.parse().unwrap(), listening.url(path))
            .headers(if body == "forged" {
                forged()
            } else {
                HeaderMap::new()
            })
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
        ("wrong_path", 3),
        ("too_large", 1),
        ("unavailable", 1),
        ("stored", 0),
    ] {
        assert_counted(&front.metrics, result, count);
    }
}

fn forged() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["x-rtc-rand", "x-rtc-timestamp", "x-rtc-signature"] {
        headers.insert(name, "1".parse().unwrap());
    }
    headers
}

#[tokio::test]
async fn callback_that_cannot_be_stored_gets_retry_after_and_frees_its_room() {
    let front = Front::new(FailedDisk::default(), ROOMY);
    let listening = front.listen(PATIENT).await;
    let response = post(listening.url("/callbacks/sparkrtc"), BODY).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(front.room(), 2);
}

#[tokio::test]
async fn crash_while_a_callback_is_stored_ends_the_service() {
    let disk = FailedDisk {
        crashes: true,
        ..FailedDisk::default()
    };
    let front = Front::new(disk, ROOMY);
    let listening = front.listen(PATIENT).await;
    let answer = post(listening.url("/callbacks/sparkrtc"), BODY).await;
    assert_eq!(answer.status(), 503);
    let ended = tokio::time::timeout(TOO_LONG, front.supervisor.first()).await;
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
    let limits = Limits {
        drain: Duration::ZERO,
        ..PATIENT
    };
    let listening = Front::new(disk, ROOMY).listen(limits).await;
    let mut stream = listening.connect().await;
    let head = b"POST /callbacks/sparkrtc HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head).await.unwrap();
    come.notified().await;
    drop(stream);
    // Stops the listener and drops the connection with its unfinished response.
    listening.stop.cancel();
    listening.served.await.unwrap();
    go.notify_one();
    ended.signal.notified().await;
    assert!(ended.whole.load(Ordering::SeqCst));
}

/// A listener with one slot for callbacks, held by a callback whose commit is held.
struct Full {
    listening: Listening,
    front: Front,
    come: Arc<Notify>,
    go: Arc<Notify>,
    ended: Arc<Ended>,
    first: JoinHandle<reqwest::Response>,
}

async fn full(slot_within: Duration, stored_within: Duration) -> Full {
    let go = Arc::new(Notify::new());
    let disk = FailedDisk {
        go: Some(Arc::clone(&go)),
        ..FailedDisk::default()
    };
    let (come, ended) = (Arc::clone(&disk.come), Arc::clone(&disk.ended));
    let limits = BacklogLimits {
        slots: 1,
        slot_within,
        stored_within,
    };
    let front = Front::new(disk, limits);
    let listening = front.listen(PATIENT).await;
    let first = tokio::spawn(post(listening.url("/callbacks/sparkrtc"), BODY));
    come.notified().await;
    Full {
        listening,
        front,
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

    /// Posts a callback that finds no free slot.
    async fn refuses(&self) {
        let refused = self.post(BODY).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "5");
        let said = refused.text().await.unwrap();
        assert_eq!(said, r#"{"error":"too many callbacks at once"}"#);
    }

    /// Lets the callback in the slot finish and another take the slot.
    async fn passes_on(&self) {
        self.go.notify_one();
        self.ended.signal.notified().await;
        assert!(self.ended.whole.load(Ordering::SeqCst));
        let knock = async {
            loop {
                self.post(BODY).await;
            }
        };
        tokio::select! {
            () = self.come.notified() => {}
            () = knock => {}
        }
    }
}

#[tokio::test]
async fn callback_without_a_slot_is_refused_and_not_stored() {
    let full = full(Duration::ZERO, HOUR).await;
    full.refuses().await;
    full.refuses().await;
    assert_counted(&full.front.metrics, "overloaded", 2);
    full.passes_on().await;
    let said = full.first.await.unwrap().text().await.unwrap();
    assert_eq!(said, r#"{"error":"cannot store the callback now"}"#);
}

#[tokio::test]
async fn callback_that_waits_for_a_slot_keeps_no_task_out_of_a_lane() {
    let full = full(HOUR, HOUR).await;
    assert_eq!(full.front.room(), 1);
    let (headers, now) = (HeaderMap::new(), Timestamp::from_millis(0));
    let intake = Arc::clone(&full.front.intake);
    let mut waits = pin!(intake.take(Recorder::SparkRtc, &headers, BODY.into(), now));
    assert!(poll!(&mut waits).is_pending());
    assert_eq!(full.front.room(), 1);
}

#[tokio::test]
async fn sender_is_answered_in_time_while_its_callback_keeps_its_slot_to_the_end() {
    let mut full = full(Duration::ZERO, SOON).await;
    let answer = (&mut full.first).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_counted(&full.front.metrics, "overloaded", 1);
    full.refuses().await;
    assert_eq!(full.front.room(), 1);
    full.passes_on().await;
}
