//! Thousands of idle connections, requests sent byte by byte, bodies without end: other callers
//! are still served.
//!
//! `AFTERTAKE_FLOOD_SECONDS` sets the duration.

use std::collections::BTreeSet;
use std::time::Duration;

use aftertake::clock::Stopwatch;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::load::{exchange, request};
use super::process::{KEPT, Usage, connections, let_go};
use super::torture::setting;
use crate::support::service_process::{ServiceProcess, serve};
use crate::support::sink::Sink;
use crate::support::test_service::{announcing, callback};
use crate::support::{folder_in_memory, in_time};

const IDLE: usize = 5_000;
/// Requests sent byte by byte.
const SLOW: u64 = 300;
const ENDLESS: usize = 20;
/// Callbacks of other callers that must be answered meanwhile.
const SERVED: usize = 50;
/// The most connections that both listeners hold together.
const HELD: usize = 512 + 64;

struct Idlers {
    idle: Vec<TcpStream>,
    /// Aborted when dropped.
    _busy: JoinSet<()>,
}

impl Idlers {
    async fn come(served: &ServiceProcess) -> Self {
        let mut idle = Vec::new();
        for _ in 0..connections(IDLE) {
            idle.push(TcpStream::connect(&served.public).await.unwrap());
        }
        let mut busy = JoinSet::new();
        for number in 0..SLOW {
            busy.spawn(dribble(served.public.clone(), number));
        }
        for _ in 0..ENDLESS {
            busy.spawn(pour(served.public.clone()));
        }
        Self { idle, _busy: busy }
    }
}

/// Sends a callback byte by byte and reconnects when closed. `number` staggers the callers.
async fn dribble(address: String, number: u64) {
    let pace = Duration::from_secs(1) + Duration::from_millis(number);
    let mut pace = tokio::time::interval(pace);
    loop {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let sent = request(&callback("slow.mp4"));
        for byte in sent.as_bytes() {
            pace.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    }
}

/// Sends a body without end and reconnects when closed.
async fn pour(address: String) {
    let chunk = [b"2000\r\n".as_slice(), &[b'x'; 0x2000], b"\r\n"].concat();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head =
            "POST /callbacks/sparkrtc HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut open = stream.write_all(head.as_bytes()).await.is_ok();
        while open {
            pace.tick().await;
            open = stream.write_all(&chunk).await.is_ok();
        }
    }
}

/// Posts callbacks one after the other, each on a new connection, for `time` and until enough
/// are answered. Returns the number answered and the most descriptors held meanwhile.
async fn served_meanwhile(served: &ServiceProcess, time: Duration) -> (usize, usize) {
    let begun = Stopwatch::start();
    let (mut answered, mut most) = (0, 0);
    while begun.elapsed() < time || answered < SERVED {
        if answered % SERVED == 0 {
            most = most.max(Usage::of(served).descriptors);
        }
        let body = callback(&format!("{answered}.mp4"));
        let mut stream = BufReader::new(TcpStream::connect(&served.public).await.unwrap());
        let status = in_time(exchange(&mut stream, &body)).await;
        assert_eq!(status.unwrap(), 200, "{body}");
        answered += 1;
    }
    (answered, most)
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the report of a long run")]
async fn idlers_keep_nobody_out_and_leave_nothing_behind() {
    let seconds = setting("AFTERTAKE_FLOOD_SECONDS").unwrap_or(0);
    let (folder, sink) = (folder_in_memory(), Sink::start([]).await);
    let rules = announcing(&sink, "{ notify: lms }");
    std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    let mut served = serve(folder.path());
    let rest = Usage::of(&served);

    let idlers = Idlers::come(&served).await;
    let (answered, most) = served_meanwhile(&served, Duration::from_secs(seconds)).await;
    println!(
        "{} idle, {SLOW} slow and {ENDLESS} endless: {answered} answered, at most {most} \
         descriptors; {}, {rest} before",
        idlers.idle.len(),
        Usage::of(&served),
    );
    assert!(
        most <= rest.descriptors + HELD + KEPT,
        "{most}, {rest} before"
    );

    drop(idlers);
    let_go(&served, rest).await;
    let announced = sink.received(answered).await;
    let ids: BTreeSet<_> = announced
        .iter()
        .map(|one| one.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), answered);
    served.stop();
}
