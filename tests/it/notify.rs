//! The notify action: its requests, and how it handles responses.

use std::time::Duration;

use aftertake::action::notify::notify;
use aftertake::action::{Done, Stopped};
use aftertake::clock;
use aftertake::model::attempt::Exchange;
use aftertake::model::destination::{Destination, Format};
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::step::Notify;
use aftertake::outbound::Guarded;
use bytes::Bytes;
use http::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;
use url::Url;

use crate::outbound::destination;
use crate::support::sink::{Reply, Sink};

const BODY: &str = r#"{"type":"recording.completed","data":{"room_id":"会议 01"}}"#;

fn step(url: &Url) -> Notify {
    Notify {
        destination: "lms".into(),
        method: Method::POST,
        url: url.clone(),
        is_of_event: false,
        headers: Vec::new(),
        content_type: "application/json".into(),
        format: Format::Aftertake,
        body: Bytes::from_static(BODY.as_bytes()),
        webhook_id: "msg_1_0".into(),
        timeout: None,
    }
}

async fn run(destination: &Destination, step: &Notify) -> Result<Done, Stopped> {
    notify(&Guarded::new(), destination, step, clock::now()).await
}

fn failed(result: Result<Done, Stopped>) -> (Failure, Exchange) {
    match result {
        Err(Stopped::Failed {
            failure,
            exchange: Some(exchange),
        }) => (*failure, *exchange),
        other => panic!("expected a failure with its exchange, got {other:?}"),
    }
}

#[tokio::test]
async fn every_secret_signs_exactly_the_bytes_that_arrive() {
    let sink = Sink::start([]).await;
    let url = sink.url("/hooks");
    let (base64, raw) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a raw secret");
    let destination = Destination {
        secrets: vec![base64.into(), raw.into()],
        ..destination(&url)
    };
    run(&destination, &step(&url)).await.unwrap();

    let received = &sink.received(1).await[0];
    assert_eq!(received.body, BODY);
    for webhook in [
        Webhook::new(base64).unwrap(),
        Webhook::from_bytes(raw.into()).unwrap(),
    ] {
        webhook.verify(&received.body, &received.headers).unwrap();
    }
    let stranger = Webhook::from_bytes(b"another".to_vec()).unwrap();
    assert!(stranger.verify(&received.body, &received.headers).is_err());
}

#[tokio::test]
async fn headers_of_the_step_come_before_those_of_the_destination_and_never_before_the_signature() {
    let sink = Sink::start([]).await;
    let url = sink.url("/hooks");
    let destination = Destination {
        headers: vec![
            ("X-Team".into(), "media".into()),
            ("X-Room".into(), "from the destination".into()),
            ("webhook-signature".into(), "v1,forged".into()),
        ],
        ..destination(&url)
    };
    let step = Notify {
        headers: vec![
            ("x-room".into(), "会议".into()),
            ("webhook-id".into(), "forged".into()),
        ],
        ..step(&url)
    };
    let now = clock::now();
    notify(&Guarded::new(), &destination, &step, now)
        .await
        .unwrap();

    let received = &sink.received(1).await[0];
    assert_eq!(received.header("x-team"), "media");
    assert_eq!(received.headers["x-room"].as_bytes(), "会议".as_bytes());
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("content-length"), BODY.len().to_string());
    assert_eq!(
        received.header("user-agent"),
        concat!("aftertake/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(received.header("webhook-id"), "msg_1_0");
    assert_eq!(
        received.header("webhook-timestamp"),
        now.seconds().to_string()
    );
    assert!(!received.headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn success_leaves_outputs_and_a_digest_of_what_was_sent() {
    let reply = Reply::status(201)
        .header("x-request-id", "req-1")
        .body(r#"{"ticket": 7}"#);
    let sink = Sink::start([reply]).await;
    let url = sink.url("/hooks?token=secret");
    let done = run(&destination(&url), &step(&url)).await.unwrap();
    let expected = json!({"status": 201, "body": {"ticket": 7}});
    assert_eq!(serde_json::Value::Object(done.output), expected);
    assert_eq!(
        done.exchange,
        Some(Exchange {
            method: "POST".into(),
            url: url.to_string(),
            status: Some(201),
            request_id: Some("req-1".into()),
            unsent: false,
            sent_length: BODY.len() as u64,
            sent_digest: format!("{:x}", Bytes::copy_from_slice(&Sha256::digest(BODY))),
            sent: None,
            answer: None,
        }),
    );
}

#[tokio::test]
async fn refusal_records_what_was_sent_and_the_whole_response() {
    let long = "议".repeat(5000);
    let sink = Sink::start([Reply::status(422).body(format!("x{long}"))]).await;
    let url = sink.url("/hooks");
    let step = Notify {
        body: Bytes::from(format!("xx{long}")),
        ..step(&url)
    };
    let (failure, exchange) = failed(run(&destination(&url), &step).await);
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.reason,
        "destination lms answered 422 Unprocessable Entity"
    );
    assert_eq!(exchange.status, Some(422));
    assert_eq!(exchange.sent_length, 15_002);
    assert_eq!(exchange.sent, Some(format!("xx{long}")));
    assert_eq!(exchange.answer, Some(format!("x{long}")));
}

#[tokio::test]
async fn refused_connection_says_that_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    drop(listener);
    let url = url.parse().unwrap();
    let (failure, exchange) = failed(run(&destination(&url), &step(&url)).await);
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(exchange.unsent, "{exchange:?}");
    assert_eq!(exchange.sent.as_deref(), Some(BODY));

    let sink = Sink::start([Reply::Reset]).await;
    let url = sink.url("/hooks");
    let (_, exchange) = failed(run(&destination(&url), &step(&url)).await);
    assert!(!exchange.unsent, "{exchange:?}");
}

#[tokio::test]
async fn retry_after_is_part_of_the_failure() {
    let sink = Sink::start([Reply::status(429).header("retry-after", "120")]).await;
    let url = sink.url("/hooks");
    let (failure, _) = failed(run(&destination(&url), &step(&url)).await);
    assert_eq!(failure.kind, FailureKind::Throttled);
    assert_eq!(failure.retry_after, Some(Duration::from_mins(2)));
}

#[tokio::test]
async fn redirect_is_final_and_names_where_it_leads() {
    let sink = Sink::start([Reply::redirect(
        "https://new.example.com/hooks?token=hidden",
    )])
    .await;
    let url = sink.url("/hooks");
    let (failure, _) = failed(run(&destination(&url), &step(&url)).await);
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(
        failure.reason,
        "destination lms answered 302 Found to https://new.example.com; redirects are never followed: set its url to where it leads",
    );
}

#[tokio::test]
async fn timeout_of_the_step_comes_before_that_of_the_destination() {
    let sink = Sink::start([Reply::Hang]).await;
    let url = sink.url("/hooks");
    let step = Notify {
        timeout: Some(Duration::from_millis(200)),
        ..step(&url)
    };
    let (failure, exchange) = failed(run(&destination(&url), &step).await);
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(
        failure.reason.ends_with("no complete answer within 200ms"),
        "{failure}"
    );
    assert_eq!((exchange.status, exchange.answer), (None, None));
    assert_eq!(exchange.sent.as_deref(), Some(BODY));
}

#[tokio::test]
async fn slow_answer_within_the_time_is_success() {
    let sink = Sink::start([Reply::status(200).body("late").held()]).await;
    let url = sink.url("/hooks");
    let (destination, step) = (destination(&url), step(&url));
    let (done, ()) = tokio::join!(run(&destination, &step), async {
        sink.received(1).await;
        sink.release(1);
    });
    assert_eq!(done.unwrap().output["body"], "late");
}

#[tokio::test]
async fn header_from_an_event_cannot_start_another_header() {
    let sink = Sink::start([]).await;
    let url = sink.url("/hooks");
    let step = Notify {
        headers: vec![("x-room".into(), "a\r\nx-forged: b".into())],
        ..step(&url)
    };
    let stopped = run(&destination(&url), &step).await.unwrap_err();
    let expected = Failure::new(
        FailureKind::Invalid,
        "value of header x-room holds a control character",
    );
    assert_eq!(stopped, Stopped::from(expected));
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn secret_that_is_not_base64_is_not_shown() {
    let url: Url = "https://lms.example.com/".parse().unwrap();
    let destination = Destination {
        secrets: vec!["whsec_***hidden***".into()],
        ..destination(&url)
    };
    let stopped = run(&destination, &step(&url)).await.unwrap_err();
    let expected = Failure::new(
        FailureKind::Invalid,
        "destination lms: a secret that begins with whsec_ has to go on in base64",
    );
    assert_eq!(stopped, Stopped::from(expected));
}
