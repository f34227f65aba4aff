//! Recorders' callbacks: from a request's headers and bytes to an event.
//!
//! What is a recorder's own is in its folder: the words of its bodies, how it signs, who may
//! call, and the answer that it expects. Everything else reads `model::event::Event`. Knows no
//! HTTP server and no store, and decides nothing about what follows from an event.

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

/// The first part of the path that callbacks are posted to; the recorder's name is the second.
pub const CALLBACKS: &str = "callbacks";

/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Who may call, by recorder.
#[derive(Debug, Clone)]
pub struct Callers {
    pub sparkrtc: sparkrtc::Callers,
}

/// Why a request is no event. The text is for the log and names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its signature is missing or wrong. The text has what the sender signed beside the body,
    /// so that an operator can distinguish a wrong key from an attack.
    #[error("{0}")]
    Signature(String),
    /// Its body is not a JSON object.
    #[error("{0}")]
    NotAnEvent(String),
    /// Its body is compressed, or in another charset than UTF-8.
    #[error("{0}")]
    Encoded(String),
}

/// A body that is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    #[error("body is not JSON: {reason}")]
    Malformed { reason: String },
    #[error("body is JSON but not an object")]
    NotAnObject,
}

/// The path that the recorder posts its callbacks to.
pub fn path(recorder: Recorder) -> String {
    format!("/{CALLBACKS}/{recorder}")
}

/// The body of the answer that tells the recorder that its callback is taken.
pub const fn success(recorder: Recorder) -> &'static str {
    match recorder {
        Recorder::SparkRtc => sparkrtc::SUCCESS,
    }
}

/// Checks that a callback comes from somebody who may call.
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

/// Reads a callback that came at `received`. A body that can be read is taken whatever its
/// headers say of it.
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

/// Turns a stored body back into its event. A body that cannot be read is an event
/// without fields: what was accepted once never fails later.
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

/// The body without its byte order mark, which is no JSON.
fn unmarked(body: Bytes) -> Bytes {
    if body.starts_with(BYTE_ORDER_MARK) {
        body.slice(BYTE_ORDER_MARK.len()..)
    } else {
        body
    }
}
