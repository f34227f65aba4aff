//! The client for destinations, with a real receiver.

use std::time::Duration;

use aftertake::model::destination::{Breaker, Destination, Format, TlsFiles};
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::outbound::{ANSWER_LIMIT, Answer, Guarded, NoAnswer, Outbound, Request};
use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

use crate::support::sink::{Reply, Sink};

/// A destination at `url`, which may be on this machine.
pub(crate) fn destination(url: &Url) -> Destination {
    Destination {
        name: "lms".into(),
        url: url.clone(),
        secrets: Vec::new(),
        timeout: Duration::from_secs(30),
        concurrency: 16,
        rate: None,
        allow_private: true,
        headers: Vec::new(),
        format: Format::Aftertake,
        text: None,
        breaker: Breaker::default(),
        success: Vec::new(),
        retry: Vec::new(),
        refused: Vec::new(),
        tls: TlsFiles::default(),
        proxy: None,
    }
}

fn request(url: &Url) -> Request {
    Request {
        method: Method::POST,
        url: url.clone(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_secs(30),
    }
}

async fn send(destination: &Destination) -> Result<Answer, Failure> {
    let request = request(&destination.url);
    let sent = Guarded::new().send(destination, request).await;
    sent.map_err(|none| none.failure)
}

#[tokio::test]
async fn request_arrives_as_it_is_and_its_answer_comes_back() {
    let reply = Reply::status(418).header("x-answer", "a").body("teapot");
    let sink = Sink::start([reply]).await;
    let url = sink.url("/hooks?room=1%202");
    let mut request = request(&url);
    request.method = Method::PUT;
    request.headers.insert("x-question", "q".parse().unwrap());
    request.body = Bytes::from("会议\0 raw");
    let answer = Guarded::new()
        .send(&destination(&url), request)
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (418, &b"teapot"[..])
    );
    assert_eq!(answer.headers["x-answer"], "a");

    let received = &sink.received(1).await[0];
    assert_eq!(received.method, Method::PUT);
    assert_eq!(received.target, "/hooks?room=1%202");
    assert_eq!(received.header("x-question"), "q");
    assert_eq!(received.body, "会议\0 raw");
}

/// Lets `time` pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn connection_is_used_again_unless_nothing_was_sent_on_it_for_half_a_minute() {
    let sink = Sink::start([]).await;
    let (outbound, destination) = (Guarded::new(), destination(&sink.url("/")));
    for (later, connections) in [(0, 1), (29, 1), (31, 2)] {
        pass(Duration::from_secs(later)).await;
        let request = request(&destination.url);
        outbound.send(&destination, request).await.unwrap();
        assert_eq!(sink.connections(), connections, "{later} s later");
    }
}

#[tokio::test]
async fn redirect_is_an_answer_and_is_not_followed() {
    let target = Sink::start([]).await;
    let sink = Sink::start([Reply::redirect(target.url("/").as_str())]).await;
    let answer = send(&destination(&sink.url("/"))).await.unwrap();
    assert_eq!(answer.status.as_u16(), 302);
    assert_eq!((sink.requests().len(), target.connections()), (1, 0));
}

#[tokio::test]
async fn answer_without_end_is_read_to_the_limit() {
    let sink = Sink::start([Reply::Endless]).await;
    let answer = send(&destination(&sink.url("/"))).await.unwrap();
    assert_eq!(answer.body.len(), ANSWER_LIMIT);
}

#[tokio::test]
async fn requests_share_one_connection() {
    let sink = Sink::start([
        Reply::status(200).body("x"),
        Reply::status(500),
        Reply::status(204),
    ])
    .await;
    let guarded = Guarded::new();
    let destination = destination(&sink.url("/"));
    for _ in 0..4 {
        let sent = guarded.send(&destination, request(&destination.url)).await;
        assert!(sent.is_ok());
    }
    assert_eq!((sink.requests().len(), sink.connections()), (4, 1));
}

#[tokio::test]
async fn private_address_is_refused_before_anything_is_sent() {
    let sink = Sink::start([]).await;
    let port = sink.port();
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1 (loopback)"),
        ("0x7f.1", "127.0.0.1 (loopback)"),
        ("localhost", "127.0.0.1 (loopback)"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1 (loopback)"),
    ] {
        let url: Url = format!("http://{host}:{port}/secret?token=hidden")
            .parse()
            .unwrap();
        let destination = Destination {
            allow_private: false,
            ..destination(&url)
        };
        let failure = send(&destination).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden);
        let shown = url.origin().ascii_serialization();
        assert_eq!(
            failure.reason,
            format!(
                "destination lms at {shown} leads to {address}, which is refused unless the destination says allow_private: true"
            ),
        );
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn connection_that_one_destination_may_have_is_not_lent_to_another() {
    let sink = Sink::start([]).await;
    let guarded = Guarded::new();
    let url: Url = format!("http://localhost:{}/", sink.port())
        .parse()
        .unwrap();
    let allowed = destination(&url);
    let refused = Destination {
        allow_private: false,
        ..allowed.clone()
    };
    assert!(guarded.send(&allowed, request(&url)).await.is_ok());
    let refused = guarded.send(&refused, request(&url)).await.unwrap_err();
    let failure = refused.failure;
    assert_eq!(failure.kind, FailureKind::Forbidden);
}

#[tokio::test]
async fn request_cannot_leave_its_destination() {
    let sink = Sink::start([]).await;
    let destination = destination(&"https://lms.example.com/hooks".parse().unwrap());
    let refused = Guarded::new()
        .send(&destination, request(&sink.url("/")))
        .await
        .unwrap_err();
    assert!(refused.unsent);
    let failure = refused.failure;
    assert_eq!(failure.kind, FailureKind::Forbidden);
    assert_eq!(
        failure.reason,
        format!(
            "destination lms at http://127.0.0.1:{} is not where the destination is configured, https://lms.example.com",
            sink.port()
        ),
    );
    assert_eq!(sink.connections(), 0);
}

async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn missing_response_is_a_failure_with_kind_and_reason() {
    let sink = Sink::start([]).await;
    let (open, closed) = (sink.port(), closed_port().await);
    for (url, reply, kind, part) in [
        (
            format!("http://127.0.0.1:{closed}/x?token=hidden"),
            None,
            FailureKind::Unreachable,
            format!(
                "destination lms at http://127.0.0.1:{closed}: cannot connect: tcp connect error: Connection refused"
            ),
        ),
        (
            "http://nowhere.invalid/x?token=hidden".to_owned(),
            None,
            FailureKind::Unreachable,
            "destination lms at http://nowhere.invalid: cannot connect: dns error: ".to_owned(),
        ),
        (
            format!("http://127.0.0.1:{open}/x?token=hidden"),
            Some(Reply::Reset),
            FailureKind::Unknown,
            format!(
                "destination lms at http://127.0.0.1:{open}: sent, but no answer could be read: "
            ),
        ),
        (
            format!("http://127.0.0.1:{open}/x?token=hidden"),
            Some(Reply::CutShort),
            FailureKind::Unknown,
            format!(
                "destination lms at http://127.0.0.1:{open}: sent, but no answer could be read: unexpected EOF"
            ),
        ),
        (
            format!("http://127.0.0.1:{open}/x?token=hidden"),
            Some(Reply::Hang),
            FailureKind::Timeout,
            format!("destination lms at http://127.0.0.1:{open}: no complete answer within 500ms"),
        ),
        (
            format!("https://127.0.0.1:{open}/x?token=hidden"),
            None,
            FailureKind::Unreachable,
            format!("destination lms at https://127.0.0.1:{open}: cannot connect: "),
        ),
    ] {
        if let Some(reply) = reply {
            sink.then(reply);
        }
        let destination = destination(&url.parse().unwrap());
        let request = Request {
            timeout: Duration::from_millis(500),
            ..request(&destination.url)
        };
        let NoAnswer { failure, unsent } = Guarded::new()
            .send(&destination, request)
            .await
            .unwrap_err();
        assert_eq!(unsent, kind == FailureKind::Unreachable, "{failure}");
        assert_eq!(failure.kind, kind, "{}", failure.reason);
        assert!(failure.reason.starts_with(&part), "{}", failure.reason);
        assert!(!failure.reason.contains("hidden"), "{}", failure.reason);
    }
}

#[tokio::test]
async fn proxy_of_the_destination_is_used() {
    let proxy = Sink::start([Reply::status(200).body("from the proxy")]).await;
    let url: Url = "http://lms.invalid/hooks".parse().unwrap();
    let destination = Destination {
        // The proxy itself may be private: the operator configured it.
        allow_private: false,
        proxy: Some(proxy.url("/")),
        ..destination(&url)
    };
    let answer = send(&destination).await.unwrap();
    assert_eq!(answer.body, "from the proxy");
    assert_eq!(
        proxy.received(1).await[0].target,
        "http://lms.invalid/hooks"
    );
}

#[tokio::test]
async fn proxy_is_not_asked_for_a_private_address_but_looks_names_up_itself() {
    let proxy = Sink::start([Reply::status(200)]).await;
    let sent = async |url: &str| {
        let url: Url = url.parse().unwrap();
        send(&Destination {
            allow_private: false,
            proxy: Some(proxy.url("/")),
            ..destination(&url)
        })
        .await
    };
    let failure = sent("http://10.0.0.1/hooks").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Forbidden);
    assert!(sent("http://localhost/hooks").await.is_ok());
    let asked = proxy.received(1).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "http://localhost/hooks");
}

#[test]
fn proxy_of_the_environment_is_not_used() {
    // In a child process: the environment of this one is shared by all tests.
    let test = "outbound::request_arrives_as_it_is_and_its_answer_comes_back";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .envs(["http_proxy", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")))
        .envs(["no_proxy", "NO_PROXY"].map(|name| (name, "")))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("1 passed"), "{printed}");
}

#[tokio::test]
async fn tls_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, wrong) = (
        folder.path().join("absent.pem"),
        folder.path().join("wrong.pem"),
    );
    std::fs::write(&wrong, "not PEM").unwrap();
    let url: Url = "https://127.0.0.1:1/".parse().unwrap();
    for (tls, part) in [
        (
            TlsFiles {
                ca: Some(absent.clone()),
                client: None,
            },
            format!("{}: No such file", absent.display()),
        ),
        (
            TlsFiles {
                ca: Some(wrong.clone()),
                client: None,
            },
            format!("{}: no PEM certificate in it", wrong.display()),
        ),
        (
            TlsFiles {
                ca: None,
                client: Some((wrong.clone(), absent.clone())),
            },
            format!("{}: No such file", absent.display()),
        ),
        (
            TlsFiles {
                ca: None,
                client: Some((wrong.clone(), wrong.clone())),
            },
            format!("{0} and {0}: ", wrong.display()),
        ),
    ] {
        let destination = Destination {
            tls,
            ..destination(&url)
        };
        let failure = send(&destination).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Storage);
        let expected = format!("destination lms at https://127.0.0.1:1: {part}");
        assert!(failure.reason.starts_with(&expected), "{}", failure.reason);
    }
}

#[test]
fn printed_request_shows_neither_path_nor_headers_nor_body() {
    let url: Url = "https://user:hidden@lms.example.com/hidden?hidden"
        .parse()
        .unwrap();
    let mut request = request(&url);
    request
        .headers
        .insert("authorization", "hidden".parse().unwrap());
    request.body = Bytes::from_static(b"hidden");
    let printed = format!("{request:?}");
    assert!(printed.contains("https://lms.example.com"), "{printed}");
    assert!(!printed.contains("hidden"), "{printed}");
}
