//! Receivers that misbehave, each a destination of one running service: each failure has a clear
//! reason, and nothing else is affected.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aftertake::app::Service;
use aftertake::model::attempt::Outcome;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::outbound::{ANSWER_LIMIT, Guarded, Outbound, Request};
use aftertake::rules::file::{self, Lookup, RulesFile};
use aftertake::store::lists::{Page, TaskFilter};
use aftertake::store::operator::Operator;
use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::outbound::destination;
use crate::service::arrival;
use crate::support::raw::Raw;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, TestService, settings};
use crate::tls;

/// More than any machine's socket buffers hold, and less than a hundredth of what the receiver
/// sends.
const BUFFERED: u64 = 64 << 20;

const KILOBYTES: &str = match str::from_utf8(&[b'x'; 64 << 10]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

/// A rule per destination: one try, then a notification to the sink.
fn rules(destinations: &[(&str, String)], sink: &Sink) -> RulesFile {
    let mut text = format!(
        "retry: {{ tries: 1 }}\ndestinations:\n  sink: {{ url: '{}', allow_private: true }}\n",
        sink.url("/")
    );
    for (name, settings) in destinations {
        let line = format!("  {name}: {{ {settings}, allow_private: true, timeout: 2s }}\n");
        text.push_str(&line);
    }
    text.push_str("rules:\n");
    for (name, _) in destinations {
        let line = format!(
            "  - {{ name: {name}, steps: [{{ id: bad, on_failure: continue, notify: {name} }}, {{ notify: sink }}] }}\n"
        );
        text.push_str(&line);
    }
    let env: BTreeMap<&str, &str> = BTreeMap::new();
    file::parse("rules.yaml", &text, Path::new(""), &env).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs the rules on one event; returns why the first step of each failed.
async fn failures(destinations: &[(&str, String)]) -> BTreeMap<String, Failure> {
    let sink = Sink::start([]).await;
    let rules = rules(destinations, &sink);
    let test_service = TestService::new();
    let mut operator = test_service.database().create();
    let body = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"class-7"}"#;
    operator
        .record(&arrival(&rules, body), &rules.rules.text)
        .unwrap();
    let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(BTreeMap::<&str, &str>::new());
    let service = Service::start(&settings(test_service.folder(), PATIENT), rules, lookup)
        .await
        .unwrap();
    sink.received(destinations.len()).await;
    service.drain().await;
    let mut failures = BTreeMap::new();
    for task in operator
        .tasks(&TaskFilter::default(), Page::newest(100))
        .unwrap()
    {
        assert_eq!(task.state, "done", "{task:?}");
        let attempts = operator.task(task.id).unwrap().unwrap().attempts;
        let Outcome::Failed(failure) = &attempts[0].outcome else {
            panic!("{}: {:?}", task.rule, attempts[0]);
        };
        failures.insert(task.rule, failure.clone());
    }
    failures
}

#[tokio::test]
async fn hostile_receiver_gets_a_clear_reason_and_nothing_else_is_touched() {
    use FailureKind::{Refused, Timeout, Unknown, Unreachable};
    let metadata = Sink::start([Reply::redirect("http://169.254.169.254/latest/meta-data/")]).await;
    let mut destinations = vec![
        ("metadata", format!("url: '{}'", metadata.url("/"))),
        (
            "other_host",
            format!(
                "url: 'https://127.0.0.1:{}/', ca: '{}'",
                tls::start().await,
                tls::file("ca.pem").display()
            ),
        ),
    ];
    let mut raw = Vec::new();
    for (name, first, rest) in RAW {
        let receiver = Raw::start(first, rest).await;
        destinations.push((name, format!("url: '{}'", receiver.url())));
        raw.push(receiver);
    }
    let failures = failures(&destinations).await;
    for (name, kind, part) in [
        (
            "metadata",
            Refused,
            "answered 302 Found to http://169.254.169.254; redirects are never followed",
        ),
        ("other_host", Unreachable, "certificate not valid for name"),
        (
            "silent",
            Unknown,
            "no answer could be read: connection closed before message completed",
        ),
        (
            "garbage",
            Unknown,
            "no answer could be read: invalid HTTP version parsed",
        ),
        (
            "banner",
            Unknown,
            "no answer could be read: invalid HTTP version parsed",
        ),
        (
            "length",
            Unknown,
            "no answer could be read: invalid content-length parsed",
        ),
        (
            "lengths",
            Unknown,
            "no answer could be read: invalid content-length parsed",
        ),
        (
            "headers",
            Unknown,
            "no answer could be read: message head is too large",
        ),
        (
            "header",
            Unknown,
            "no answer could be read: message head is too large",
        ),
        ("trickle", Timeout, "no complete answer within 2s"),
    ] {
        let failure = &failures[name];
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.reason.contains(part), "{failure}");
    }
    assert_eq!(failures.len(), destinations.len());
}

/// Invalid responses: the first bytes, and bytes repeated without end.
const RAW: [(&str, &str, &str); 8] = [
    ("silent", "", ""),
    ("garbage", "\u{1}\u{2}\u{3} garbage\r\n\r\n", ""),
    ("banner", "SSH-2.0-OpenSSH_9.6\r\n", ""),
    (
        "length",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "",
    ),
    (
        "lengths",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "",
    ),
    ("headers", "HTTP/1.1 200 OK\r\n", "x-more: of the same\r\n"),
    ("header", "HTTP/1.1 200 OK\r\nx-long: ", KILOBYTES),
    ("trickle", "", "HTTP/1.1 100 Continue\r\n\r\n"),
];

#[tokio::test]
async fn response_of_ten_gigabytes_is_dropped_after_its_first_kilobytes() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let huge = Raw::start(head, KILOBYTES).await;
        let url = huge.url().parse().unwrap();
        let request = Request {
            method: Method::POST,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(30),
        };
        let guarded = Guarded::new();
        let answer = guarded.send(&destination(&request.url), request).await;
        assert_eq!(answer.unwrap().body.len(), ANSWER_LIMIT);
        let written = huge.written().await;
        assert!(written < BUFFERED, "{written} bytes were taken");
    }
}
