//! The demo's callbacks, and a client that posts them.

use std::io;
use std::net::SocketAddr;

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::model::recorder::Recorder;
use crate::recorder;
use crate::recorder::sparkrtc::signature;

pub(super) const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(super) struct Callback {
    pub(super) about: &'static str,
    body: Value,
}

pub(super) struct Posted {
    /// The status code and its reason phrase.
    pub(super) status: String,
}

/// An MP4, an HLS recording, the first again, one that no rule matches, and one whose destination
/// first fails.
pub(super) fn callbacks() -> Vec<Callback> {
    let class = complete(
        "class-7",
        "MP4",
        "Record/mp4/class-7_2026-03-02-01-00-11.mp4",
    );
    let set = "Record/hls/class-8_2026-03-02-03-00-11/class-8_2026-03-02-03-00-11.m3u8";
    let support = complete(
        "support-12",
        "MP4",
        "Record/mp4/support-12_2026-03-02-02-00-11.mp4",
    );
    let started = json!({ "event_type": "RECORD_NEW_FILE_START", "room_id": "class-9", "record_format": "MP4" });
    vec![
        Callback {
            about: "class-7: an MP4 is complete",
            body: class.clone(),
        },
        Callback {
            about: "class-8: an HLS recording is complete",
            body: complete("class-8", "HLS", set),
        },
        Callback {
            about: "class-7: the same again, a duplicate",
            body: class,
        },
        Callback {
            about: "class-9: a file was begun, which no rule matches",
            body: started,
        },
        Callback {
            about: "support-12: an MP4; its receiver says no twice",
            body: support,
        },
    ]
}

fn complete(room: &str, format: &str, key: &str) -> Value {
    json!({
        "event_type": "RECORD_FILE_COMPLETE", "app_id": "5fcdf5651a0b1c6f835d0d4a", "room_id": room,
        "job_id": "608196a2fa1c4d20a515147f32ef463b", "stream_name": room, "record_format": format,
        "record_duration": 61, "width": 1280, "height": 720,
        "start_time": "2026-03-02T01:00:01Z", "end_time": "2026-03-02T01:01:02Z",
        "obs_location": "http://obs.cn-north-4.myhuaweicloud.com", "obs_bucket": "demo-recordings", "obs_object": key,
    })
}

/// Posts the callback as the recorder does: one request with three signature headers.
pub(super) async fn post(to: SocketAddr, callback: &Callback) -> io::Result<Posted> {
    let body = callback.body.to_string();
    let (rand, timestamp) = ("8f14e45fceea167a", "1772413262");
    let signature = signature::sign(&SecretString::from(KEY), rand, timestamp, body.as_bytes());
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         X-Rtc-Rand: {rand}\r\nX-Rtc-Timestamp: {timestamp}\r\nX-Rtc-Signature: {signature}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        recorder::path(Recorder::SparkRtc),
        body.len(),
    );
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.lines().next().unwrap_or_default();
    Ok(Posted {
        status: status.trim_start_matches("HTTP/1.1 ").to_owned(),
    })
}
