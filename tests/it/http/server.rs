//! Limits, slots for connections, and drain, independent of the routes.

use std::future::pending;
use std::sync::Arc;

use aftertake::http::server::{BodyLimits, Drained, Limits, Site, bind};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use warp::{Filter, Reply};

use super::{Listening, PATIENT, SOON, rest};

fn echo() -> Site {
    let routes = warp::body::bytes()
        .map(|body: Bytes| body.len().to_string().into_response())
        .boxed();
    Site::new(routes, |_| {})
}

fn post(length: usize, headers: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n{headers}\r\n").into_bytes()
}

#[tokio::test]
async fn client_that_writes_all_of_a_large_body_first_gets_to_read_the_refusal() {
    let listening = Listening::start(echo(), PATIENT).await;
    // More than the sockets' buffers hold: it can be written only if it is read.
    let mut request = post(50_000_000, "");
    request.resize(request.len() + 50_000_000, b'x');
    let answer = listening.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"error":"body too large: it may have 1000 bytes"}"#),
        "{answer}"
    );
}

#[tokio::test]
async fn endless_body_is_refused_and_its_connection_ended() {
    let limits = Limits {
        body: BodyLimits {
            dropped: 10_000,
            ..PATIENT.body
        },
        ..PATIENT
    };
    let listening = Listening::start(echo(), limits).await;
    let mut stream = listening.connect().await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let chunk = [b"2000\r\n".as_slice(), &[b'x'; 0x2000], b"\r\n"].concat();
    while stream.write_all(&chunk).await.is_ok() {}
}

#[tokio::test]
async fn client_that_expects_100_continue_need_not_send_a_large_body() {
    let listening = Listening::start(echo(), PATIENT).await;
    let answer = listening
        .exchange(&post(900_000, "expect: 100-continue\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn body_of_the_largest_size_is_taken() {
    let listening = Listening::start(echo(), PATIENT).await;
    let mut request = post(1000, "connection: close\r\n");
    request.resize(request.len() + 1000, b'x');
    let answer = listening.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n1000"), "{answer}");
}

#[tokio::test]
async fn body_that_does_not_come_is_answered_408() {
    let limits = Limits {
        body: BodyLimits {
            time: SOON,
            ..PATIENT.body
        },
        ..PATIENT
    };
    let listening = Listening::start(echo(), limits).await;
    let mut request = post(10, "");
    request.extend(b"12345");
    let answer = listening.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn connection_without_a_first_request_head_is_closed() {
    let limits = Limits {
        first_head: SOON,
        ..PATIENT
    };
    let listening = Listening::start(echo(), limits).await;
    assert_eq!(listening.exchange(b"").await, "");
    assert_eq!(listening.exchange(b"POST / HTTP/1.1\r\nhos").await, "");
}

#[tokio::test]
async fn idle_keep_alive_connection_is_closed() {
    let limits = Limits {
        next_head: SOON,
        ..PATIENT
    };
    let listening = Listening::start(echo(), limits).await;
    let answer = listening.exchange(&post(0, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn waiting_connections_keep_nobody_out() {
    let limits = Limits {
        connections: 3,
        ..PATIENT
    };
    let listening = Listening::start(echo(), limits).await;
    let mut waiting = Vec::new();
    for sent in [
        "",
        "POST / HT",
        "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n1",
    ] {
        for _ in 0..3 {
            let mut stream = listening.connect().await;
            stream.write_all(sent.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
    }
    let answer = listening.exchange(&post(0, "connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Routes that signal a request's arrival and answer it once released.
fn held() -> (Site, Arc<Notify>, Arc<Notify>) {
    let (come, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (coming, going) = (Arc::clone(&come), Arc::clone(&go));
    let routes = warp::any()
        .then(move || {
            let (come, go) = (Arc::clone(&coming), Arc::clone(&going));
            async move {
                come.notify_one();
                go.notified().await;
                "held".into_response()
            }
        })
        .boxed();
    (Site::new(routes, |_| {}), come, go)
}

#[tokio::test]
async fn oldest_connection_gives_way_only_after_it_is_answered() {
    let (site, come, go) = held();
    let limits = Limits {
        connections: 2,
        ..PATIENT
    };
    let listening = Listening::start(site, limits).await;
    let mut oldest = listening.connect().await;
    oldest.write_all(&post(0, "")).await.unwrap();
    come.notified().await;
    let mut newer = listening.connect().await;
    newer.write_all(&post(0, "")).await.unwrap();
    come.notified().await;
    go.notify_one();
    go.notify_one();
    let answer = rest(&mut oldest).await;
    assert!(answer.ends_with("held"), "{answer}");
}

#[tokio::test]
async fn request_that_has_begun_is_answered_when_the_listener_stops() {
    let (site, come, go) = held();
    let listening = Listening::start(site, PATIENT).await;
    let mut idle = listening.connect().await;
    let mut busy = listening.connect().await;
    busy.write_all(&post(0, "")).await.unwrap();
    come.notified().await;
    listening.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(listening.addr).await.is_err());
    go.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("held"), "{answer}");
    assert_eq!(listening.served.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn connection_that_does_not_end_is_cut_when_the_drain_is_over() {
    let routes = warp::any().then(pending::<warp::reply::Response>).boxed();
    let come = Arc::new(Notify::new());
    let coming = Arc::clone(&come);
    let routes = warp::any()
        .map(move || coming.notify_one())
        .untuple_one()
        .and(routes)
        .boxed();
    let limits = Limits {
        drain: SOON,
        ..PATIENT
    };
    let listening = Listening::start(Site::new(routes, |_| {}), limits).await;
    let mut stream = listening.connect().await;
    stream.write_all(&post(0, "")).await.unwrap();
    come.notified().await;
    listening.stop.cancel();
    assert_eq!(listening.served.await.unwrap(), Drained { cut: 1 });
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn address_in_use_is_refused_with_the_option_that_changes_it() {
    let taken = bind(([127, 0, 0, 1], 0).into(), "--listen").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let error = bind(addr, "--admin-listen").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "address in use: another program listens on {addr}; choose another with --admin-listen"
        ),
    );
}
