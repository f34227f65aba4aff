//! The notification formats through the real service, with a receiver that checks signatures
//! independently.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aftertake::action::Stopped;
use aftertake::action::notify::notify;
use aftertake::app::Service;
use aftertake::model::destination::{Destination, Format};
use aftertake::model::failure::FailureKind;
use aftertake::model::step::Notify;
use aftertake::model::time::Timestamp;
use aftertake::outbound::Guarded;
use aftertake::rules::file::{self, Lookup};
use aftertake::store::lists::{Page, TaskDetail, TaskFilter};
use aftertake::store::operator::Operator;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;
use url::Url;

use crate::outbound::destination;
use crate::service::arrival;
use crate::support::sink::{Received, Reply, Sink};
use crate::support::test_service::{PATIENT, TestService, settings};

const FEISHU: &str = r#"/bot {"msg_type":"text","sign":"/eYKrXQBzTjUZJ3s6NX16VxGbTwmK7AEs8/FnvC1CSw=","timestamp":"1599360473"}"#;
const DINGTALK: &str = r#"/bot?timestamp=1599360473123&sign=0eVlIU0GooHVuIBX6FZ86JNxxfy4qwhOlP5JU2uHmq4%3D {"msg_type":"text"}"#;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Runs the one task that these rules make of an event in room `class-7` until it has sent
/// `requests`. `SINK` in the rules is replaced by the sink's URL.
async fn run(sink: &Sink, rules: &str, requests: usize) -> (Vec<Received>, TaskDetail) {
    let test_service = TestService::new();
    let env: BTreeMap<&str, &str> = BTreeMap::new();
    let text = rules.replace("SINK", sink.url("").as_str().trim_end_matches('/'));
    let rules = file::parse("rules.yaml", &text, Path::new(""), &env)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut operator = test_service.database().create();
    let body = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"class-7"}"#;
    operator
        .record(&arrival(&rules, body), &rules.rules.text)
        .unwrap();

    let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(env);
    let service = Service::start(&settings(test_service.folder(), PATIENT), rules, lookup)
        .await
        .unwrap();
    let received = sink.received(requests).await;
    service.drain().await;
    let task = operator
        .tasks(&TaskFilter::default(), Page::newest(10))
        .unwrap()[0]
        .id;
    (received, operator.task(task).unwrap().unwrap())
}

/// HMAC-SHA256 in base64, from RFC 2104.
fn hmac(key: &str, text: &str) -> String {
    let pad = |with: u8| {
        let mut block = [with; 64];
        assert!(key.len() <= block.len(), "longer keys are hashed first");
        for (byte, key) in block.iter_mut().zip(key.bytes()) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text);
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    STANDARD.encode(outer.finalize())
}

fn query(received: &Received) -> BTreeMap<String, String> {
    let url: Url = format!("http://sink{}", received.target).parse().unwrap();
    url.query_pairs().into_owned().collect()
}

fn body(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test]
async fn every_chat_gets_its_message_signed_in_its_way() {
    let sink = Sink::start([
        Reply::status(200).body("ok"),
        Reply::status(200).body(r#"{"StatusCode":0,"code":0,"data":{},"msg":"success"}"#),
        Reply::status(200).body(r#"{"errcode":0,"errmsg":"ok"}"#),
        Reply::status(200).body(r#"{"errcode":0,"errmsg":"ok"}"#),
    ])
    .await;
    let rules = r#"
destinations:
  slack: { url: SINK/slack, allow_private: true, format: slack, text: "{{ room_id }} & co" }
  feishu: { url: SINK/feishu, allow_private: true, format: feishu, secret: of-feishu, text: "录制 {{ room_id }}" }
  dingtalk: { url: "SINK/dingtalk?access_token=t", allow_private: true, format: dingtalk, secret: SECof+dingtalk/=, text: "{{ rule }}" }
  wecom: { url: "SINK/wecom?key=k", allow_private: true, format: wecom, text: unused }
rules:
  - name: tell
    steps:
      - { id: a, notify: slack }
      - { id: b, notify: feishu }
      - { id: c, notify: dingtalk }
      - { id: d, notify: { destination: wecom, text: "{{ steps.c.body.errmsg }}" } }
"#;
    let (received, detail) = run(&sink, rules, 4).await;
    assert_eq!(detail.row.state, "done");
    let [slack, feishu, dingtalk, wecom] = &received[..] else {
        panic!("{received:?}");
    };
    assert_eq!(slack.target, "/slack");
    assert_eq!(body(slack), json!({"text": "class-7 & co"}));

    let seconds = feishu.header("webhook-timestamp");
    assert_eq!(feishu.target, "/feishu");
    assert_eq!(
        body(feishu),
        json!({
            "msg_type": "text", "content": {"text": "录制 class-7"}, "timestamp": seconds,
            "sign": hmac(&format!("{seconds}\nof-feishu"), ""),
        })
    );

    let asked = query(dingtalk);
    let millis = &asked["timestamp"];
    assert_eq!(
        millis[..millis.len() - 3],
        *dingtalk.header("webhook-timestamp")
    );
    let secret = "SECof+dingtalk/=";
    assert_eq!(asked["sign"], hmac(secret, &format!("{millis}\n{secret}")));
    assert_eq!((asked.len(), &*asked["access_token"]), (3, "t"));
    let said = json!({"msgtype": "text", "text": {"content": "tell"}});
    assert_eq!(body(dingtalk), said);

    assert_eq!(wecom.target, "/wecom?key=k");
    assert_eq!(
        body(wecom),
        json!({"msgtype": "text", "text": {"content": "ok"}})
    );
    for (number, request) in received.iter().enumerate() {
        let id = request.header("webhook-id");
        assert!(id.ends_with(&format!("_{number}")), "{id}");
        assert!(!request.headers.contains_key("webhook-signature"));
        assert_eq!(
            request.header("content-type"),
            "application/json; charset=utf-8"
        );
    }
}

#[tokio::test]
async fn cloud_event_is_the_same_for_every_try_and_signed_whole() {
    let sink = Sink::start([Reply::status(503)]).await;
    let rules = format!(
        "
destinations: {{ bus: {{ url: SINK/events, allow_private: true, format: cloudevents, secret: {SECRET} }} }}
retry: {{ first: 1ms, jitter: none }}
rules: [{{ name: tell, steps: [{{ notify: bus }}, {{ id: again, notify: bus }}] }}]
"
    );
    let (received, detail) = run(&sink, &rules, 3).await;
    assert_eq!(detail.row.state, "done");
    for request in &received {
        assert_eq!(
            request.header("content-type"),
            "application/cloudevents+json"
        );
        let webhook = Webhook::new(SECRET).unwrap();
        webhook.verify(&request.body, &request.headers).unwrap();
        let event = body(request);
        assert_eq!(event["id"], request.header("webhook-id"));
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "recording.completed");
        assert_eq!(event["data"]["room_id"], "class-7");
    }
    assert_eq!(received[0].body, received[1].body);
    assert_ne!(body(&received[1])["id"], body(&received[2])["id"]);
}

#[tokio::test]
async fn message_that_a_chat_refuses_with_200_is_a_failure() {
    let refused = r#"{"errcode":310000,"errmsg":"sign not match"}"#;
    let busy = r#"{"errcode":-1,"errmsg":"busy"}"#;
    let sink = Sink::start([busy, refused].map(|body| Reply::status(200).body(body))).await;
    let rules = r#"
destinations: { chat: { url: SINK/send, allow_private: true, format: dingtalk, text: "{{ room_id }}" } }
retry: { first: 1ms, jitter: none }
rules: [{ name: tell, steps: [{ notify: chat }] }]
"#;
    let (_, detail) = run(&sink, rules, 2).await;
    assert_eq!(detail.row.state, "dead");
    let failure = detail.row.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.reason,
        "destination chat answered 200 OK with errcode 310000 (sign not match)"
    );
}

fn step(url: &Url, format: Format) -> Notify {
    Notify {
        destination: "lms".into(),
        method: Method::POST,
        url: url.clone(),
        is_of_event: false,
        headers: Vec::new(),
        content_type: "application/json".into(),
        format,
        body: Bytes::from_static(br#"{"msg_type":"text"}"#),
        webhook_id: "msg_1_0".into(),
        timeout: None,
    }
}

/// The failure of a step that notifies a chat at `now`; `None` if it succeeds.
async fn stopped(
    destination: &Destination,
    step: &Notify,
    now: i64,
) -> Option<(FailureKind, Option<Duration>)> {
    let now = Timestamp::from_millis(now);
    match notify(&Guarded::new(), destination, step, now).await {
        Ok(_) => None,
        Err(Stopped::Failed { failure, .. }) => Some((failure.kind, failure.retry_after)),
        Err(other) => panic!("{other:?}"),
    }
}

/// Signatures at known times with known secrets, made with the sample program of each vendor's
/// documentation.
#[tokio::test]
async fn signature_is_that_of_the_vendors_sample() {
    let sink = Sink::start([]).await;
    let secret = "this is secret";
    for (format, reply, expected) in [
        (Format::Feishu, r#"{"code":0}"#, FEISHU),
        (Format::DingTalk, r#"{"errcode":0}"#, DINGTALK),
    ] {
        sink.then(Reply::status(200).body(reply));
        let url = sink.url("/bot");
        let destination = Destination {
            secrets: vec![secret.into()],
            ..destination(&url)
        };
        assert_eq!(
            stopped(&destination, &step(&url, format), 1_599_360_473_123).await,
            None
        );
        let received = sink.requests().pop().unwrap();
        let sent = format!("{} {}", received.target, body(&received));
        assert_eq!(sent, expected);
    }
}

#[tokio::test]
async fn answer_of_a_chat_says_whether_to_try_again() {
    use FailureKind::{Refused, Throttled, Unavailable, Unknown};
    let sink = Sink::start([]).await;
    let url = sink.url("/bot");
    let ten_minutes = Some(Duration::from_mins(10));
    let ok = Reply::status(200);
    for (format, reply, expected) in [
        (Format::Slack, ok.clone().body("ok"), None),
        (
            Format::Slack,
            Reply::status(404).body("channel_not_found"),
            Some((Refused, None)),
        ),
        (
            Format::Feishu,
            ok.clone().body(r#"{"code":11232}"#),
            Some((Throttled, None)),
        ),
        (
            Format::Feishu,
            Reply::status(400)
                .header("retry-after", "52")
                .body(r#"{"code":99991400}"#),
            Some((Throttled, Some(Duration::from_secs(52)))),
        ),
        (
            Format::DingTalk,
            ok.clone().body(r#"{"errcode":130101}"#),
            Some((Throttled, ten_minutes)),
        ),
        (
            Format::DingTalk,
            ok.clone()
                .header("retry-after", "1")
                .body(r#"{"errcode":130101}"#),
            Some((Throttled, Some(Duration::from_secs(1)))),
        ),
        (
            Format::WeCom,
            ok.clone().body(r#"{"errcode":93000}"#),
            Some((Refused, None)),
        ),
        (Format::WeCom, Reply::status(502), Some((Unavailable, None))),
        (
            Format::WeCom,
            ok.clone().body("<html>"),
            Some((Unknown, None)),
        ),
        // The destination's own list takes precedence.
        (Format::WeCom, Reply::status(202).body("<html>"), None),
    ] {
        sink.then(reply.clone());
        let destination = Destination {
            success: vec![202],
            ..destination(&url)
        };
        let found = stopped(&destination, &step(&url, format), 0).await;
        assert_eq!(found, expected, "{format:?} {reply:?}");
    }
}

#[tokio::test]
async fn signed_message_to_feishu_has_to_be_an_object() {
    let sink = Sink::start([]).await;
    let url = sink.url("/bot");
    let destination = Destination {
        secrets: vec!["s".into()],
        ..destination(&url)
    };
    let step = Notify {
        body: Bytes::from_static(b"a text"),
        ..step(&url, Format::Feishu)
    };
    let found = stopped(&destination, &step, 0).await;
    assert_eq!(found, Some((FailureKind::Invalid, None)));
    assert_eq!(sink.connections(), 0);
}
