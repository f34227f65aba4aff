//! Recorders' callbacks: from request headers and body to an event.
//!
//! Each recorder has a folder with its field names, signature, callers and response. Everything
//! else uses `model::event::Event`. Knows no HTTP server, store or rules.

mod encoding;
mod lenient;
pub mod sparkrtc;

use bytes::Bytes;
use http::HeaderMap;

use crate::model::event::{Event, EventType, Fields};
use crate::model::id::EventId;
use crate::model::identity;
use crate::model::recorder::Recorder;
use crate::model::time::Timestamp;

/// First part of the path of callbacks; the second is the recorder's name.
pub const CALLBACKS: &str = "callbacks";

/// Some editors write it before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[derive(Debug, Clone)]
pub struct Callers {
    pub sparkrtc: sparkrtc::Callers,
}

/// Why a request is not an event. The text is for the log and contains no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature is missing or wrong. The text has the signed headers, so that the operator can
    /// distinguish a wrong key from an attack.
    #[error("{0}")]
    Signature(String),
    #[error("{0}")]
    NotAnEvent(String),
    #[error("{0}")]
    Encoded(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    #[error("body is not JSON: {reason}")]
    Malformed { reason: String },
    #[error("body is JSON but not an object")]
    NotAnObject,
}

pub fn path(recorder: Recorder) -> String {
    format!("/{CALLBACKS}/{recorder}")
}

/// The response body that tells the recorder that its callback was accepted.
pub const fn success(recorder: Recorder) -> &'static str {
    match recorder {
        Recorder::SparkRtc => sparkrtc::SUCCESS,
    }
}

pub fn verify(
    recorder: Recorder,
    callers: &Callers,
    headers: &HeaderMap,
    body: &[u8],
    received: Timestamp,
) -> Result<(), Refusal> {
    let verified = match recorder {
        Recorder::SparkRtc => sparkrtc::verify(&callers.sparkrtc, headers, body, received),
    };
    verified.map_err(|reason| {
        let encoding = encoding::of(headers, body);
        let encoding = encoding.map_or_else(String::new, |encoding| format!("; {encoding}"));
        Refusal::Signature(format!("{reason}{encoding}"))
    })
}

/// Parses a callback that arrived at `received`. A readable body is accepted, whatever its headers
/// say.
pub fn parse(
    recorder: Recorder,
    headers: &HeaderMap,
    body: Bytes,
    received: Timestamp,
) -> Result<Event, Refusal> {
    let body = unmarked(body);
    let fields = fields(recorder, &body).map_err(|error| match encoding::of(headers, &body) {
        Some(encoding) => Refusal::Encoded(encoding.to_string()),
        None => Refusal::NotAnEvent(error.to_string()),
    })?;
    Ok(Event {
        id: identity::id_of(&fields, &body, received),
        recorder,
        received,
        body,
        fields,
    })
}

/// Turns a stored body back into its event. An unreadable body becomes an event without fields:
/// what was accepted once never fails later.
pub fn decode(recorder: Recorder, id: EventId, received: Timestamp, body: Bytes) -> Event {
    let no_fields = || Fields::new(EventType::from_name(""));
    Event {
        id,
        recorder,
        received,
        fields: fields(recorder, &body).unwrap_or_else(|_| no_fields()),
        body,
    }
}

fn fields(recorder: Recorder, body: &[u8]) -> Result<Fields, NotAnEvent> {
    match recorder {
        Recorder::SparkRtc => sparkrtc::fields(body),
    }
}

/// The body without its byte order mark, which JSON does not allow.
fn unmarked(body: Bytes) -> Bytes {
    if body.starts_with(BYTE_ORDER_MARK) {
        body.slice(BYTE_ORDER_MARK.len()..)
    } else {
        body
    }
}
