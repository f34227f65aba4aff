//! A load generator: distinct callbacks over persistent connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aftertake::recorder::sparkrtc::signature;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// The result of a load.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) accepted: u64,
    pub(crate) elapsed: Duration,
    /// Sorted; one per callback.
    pub(crate) latencies: Vec<Duration>,
}

impl Taken {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Elapsed(Duration),
    Sent(u64),
}

/// Posts callbacks numbered from `next` over `connections` connections.
pub(crate) async fn drive(
    to: SocketAddr,
    connections: usize,
    next: &Arc<AtomicU64>,
    until: Until,
) -> Taken {
    let begun = Instant::now();
    let last = match until {
        Until::Sent(count) => next.load(Ordering::Relaxed) + count,
        Until::Elapsed(_) => u64::MAX,
    };
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let next = Arc::clone(next);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(to).await.expect("the service listens");
                stream.set_nodelay(true).expect("a TCP option");
                let mut latencies = Vec::new();
                let mut answer = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let over = matches!(until, Until::Elapsed(time) if begun.elapsed() >= time);
                    if over || number >= last {
                        return latencies;
                    }
                    let request = callback(number);
                    let sent = Instant::now();
                    exchange(&mut stream, &request, &mut answer).await;
                    latencies.push(sent.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a connection's task does not crash"));
    }
    let elapsed = begun.elapsed();
    latencies.sort_unstable();
    Taken {
        accepted: latencies.len() as u64,
        elapsed,
        latencies,
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pressed {
    /// Sorted; one per accepted callback.
    pub(crate) latencies: Vec<Duration>,
    /// Callbacks answered 503.
    pub(crate) refused: u64,
    /// The largest size of the WAL, in bytes.
    pub(crate) log: u64,
}

impl Pressed {
    pub(crate) fn add(&mut self, later: Self) {
        self.latencies.extend(later.latencies);
        self.latencies.sort_unstable();
        self.refused += later.refused;
        self.log = self.log.max(later.log);
    }

    /// The p99 latency in microseconds.
    pub(crate) fn slowest_of_hundred(&self) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let time = self.latencies.get(last * 99 / 100);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

/// Posts `rate` callbacks per second for `time`, each at its scheduled moment. Latency counts
/// from that moment, also when the connection was still busy with an earlier one.
#[expect(clippy::cast_precision_loss, reason = "moments of a load")]
pub(crate) async fn press(
    to: SocketAddr,
    connections: usize,
    rate: f64,
    time: Duration,
    next: &Arc<AtomicU64>,
) -> Pressed {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|first| {
            let next = Arc::clone(next);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(to).await.expect("the service listens");
                stream.set_nodelay(true).expect("a TCP option");
                let (mut pressed, mut answer) = (Pressed::default(), Vec::new());
                for turn in 0.. {
                    let moment = (first + turn * connections) as f64 / rate;
                    let due = begun + Duration::from_secs_f64(moment);
                    if due > begun + time {
                        break;
                    }
                    let request = callback(next.fetch_add(1, Ordering::Relaxed));
                    let is_late = Instant::now() > due;
                    tokio::time::sleep_until(due.into()).await;
                    let sent = if is_late { due } else { Instant::now() };
                    answered(&mut stream, &request, &mut answer).await;
                    if answer.starts_with(b"HTTP/1.1 503") {
                        pressed.refused += 1;
                    } else {
                        accepted(&answer);
                        pressed.latencies.push(sent.elapsed());
                    }
                }
                pressed
            })
        })
        .collect();
    let mut all = Pressed::default();
    for task in tasks {
        let one = task.await.expect("a connection's task does not crash");
        all.latencies.extend(one.latencies);
        all.refused += one.refused;
    }
    all.latencies.sort_unstable();
    all
}

/// Posts `count` callbacks one after another, one per `every`; returns when each was sent and
/// when it got its 200.
pub(crate) async fn pace(to: SocketAddr, count: u64, every: Duration) -> Vec<(Instant, Instant)> {
    let mut stream = TcpStream::connect(to).await.expect("the service listens");
    stream.set_nodelay(true).expect("a TCP option");
    let mut ticks = tokio::time::interval(every);
    let (mut answer, mut times) = (Vec::new(), Vec::new());
    for number in 0..count {
        let request = callback(number);
        ticks.tick().await;
        let sent = Instant::now();
        exchange(&mut stream, &request, &mut answer).await;
        times.push((sent, Instant::now()));
    }
    times
}

/// One request; its response must be a 200.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    answered(stream, request, answer).await;
    accepted(answer);
}

fn accepted(answer: &[u8]) {
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(answer)
    );
}

async fn answered(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    stream
        .write_all(request)
        .await
        .expect("the service takes requests");
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.expect("the service answers");
        assert!(
            read > 0,
            "the service closed the connection: {}",
            String::from_utf8_lossy(answer)
        );
        if complete(answer) {
            return;
        }
    }
}

fn complete(answer: &[u8]) -> bool {
    let text = std::str::from_utf8(answer).unwrap_or_default();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(str::trim)
                .map(str::to_owned)
        })
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    body.len() >= length
}

/// The signed request of callback `number`: a body of about 870 bytes with times that advance
/// like real ones.
pub(crate) fn callback(number: u64) -> Vec<u8> {
    signed(number, &body(number))
}

fn signed(number: u64, body: &str) -> Vec<u8> {
    let (rand, timestamp) = (format!("{number:016x}"), "1772413200");
    let signature = signature::sign(&SecretString::from(KEY), &rand, timestamp, body.as_bytes());
    format!(
        "POST /callbacks/sparkrtc HTTP/1.1\r\nHost: aftertake\r\nContent-Type: application/json\r\n\
         X-Rtc-Rand: {rand}\r\nX-Rtc-Timestamp: {timestamp}\r\nX-Rtc-Signature: {signature}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len(),
    )
    .into_bytes()
}

/// Posts a callback that reports the playlist `key` of `bucket` as complete.
pub(crate) async fn announce(to: SocketAddr, bucket: &str, key: &str) {
    let body = serde_json::json!({
        "event_type": "RECORD_FILE_COMPLETE",
        "record_format": "HLS",
        "obs_bucket": bucket,
        "obs_object": key,
        "end_time": "2026-03-02T01:01:02Z",
        "room_id": "class-7",
    });
    let mut stream = TcpStream::connect(to).await.expect("the service listens");
    exchange(&mut stream, &signed(0, &body.to_string()), &mut Vec::new()).await;
}

/// Identifies callback `number` in its body and in the delivered request.
fn stream(number: u64) -> String {
    format!("stream{number:09}")
}

pub(crate) fn body(number: u64) -> String {
    let start = chrono::DateTime::from_timestamp((1_772_413_200 + number / 50).cast_signed(), 0)
        .expect("a near time");
    let end = start + chrono::Duration::seconds(61);
    let time = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let key = format!(
        "Record/5fcdf5651a0b1c6f835d0d4a.SparkRTC.myhuaweicloud.com/live/continuous_record/mp4/{0}_{1}/{0}_{1}.mp4",
        stream(number),
        start.format("%Y-%m-%d-%H-%M-%S"),
    );
    serde_json::json!({
        "event_type": "RECORD_FILE_COMPLETE",
        "stream_name": stream(number),
        "record_format": "MP4",
        "download_url": format!("https://abc-rtc-bucket2.obs.cn-north-4.myhuaweicloud.com/{key}"),
        "file_size": 26_254_952,
        "record_duration": 61,
        "start_time": time(start),
        "end_time": time(end),
        "width": 1280,
        "height": 720,
        "obs_location": "http://obs.cn-north-4.myhuaweicloud.com",
        "obs_bucket": "abc-rtc-bucket2",
        "obs_object": key,
        "app_id": "5fcdf5651a0b1c6f835d0d4a",
        "job_id": "608196a2fa1c4d20a515147f32ef463b",
        "room_id": format!("class-{}", number % 100),
    })
    .to_string()
}
