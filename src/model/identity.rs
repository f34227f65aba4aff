//! When two callbacks announce the same thing.
//!
//! A callback about an object that was complete at some time has one id for ever. Others, such as
//! the end of a job, may say the same about something new: they are repeats only if they arrive
//! within ten minutes. Headers never count, because a callback that is signed again is not new.

use std::time::Duration;

use super::event::{Event, EventType, Fields};
use super::id::EventId;
use super::time::Timestamp;

/// An event without its own date is a repeat within this time.
pub const REPEATED_WITHIN: Duration = Duration::from_mins(10);

/// [`REPEATED_WITHIN`] in seconds: the length of an id's time window.
const WINDOW: u32 = 600;

/// The id of an event, from its fields, its `body`, and the time it was received.
pub fn id_of(fields: &Fields, body: &[u8], received: Timestamp) -> EventId {
    if is_dated(fields) {
        dated(fields)
    } else {
        undated(fields, body, received)
    }
}

/// Other ids under which the store may have the event that this one repeats: those of the time
/// windows before and after. `None` if the event's id does not depend on a window.
///
/// A window has at most one event of a meaning, as all that arrive in it are less than ten minutes
/// apart. Check what is found with [`is_repeat`].
pub fn neighbours(event: &Event) -> Option<[EventId; 2]> {
    let window = i64::from(WINDOW);
    (!is_dated(&event.fields)).then(|| [event.id.shifted(-window), event.id.shifted(window)])
}

/// Whether two events with the same meaning are one. Also if the clock was set back in between.
pub fn is_repeat(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) <= REPEATED_WITHIN
}

/// Whether the fields identify one content of one object. HLS merge mode completes the same object
/// again and again, so without an end time its size or duration is needed.
fn is_dated(fields: &Fields) -> bool {
    let measured = fields.size.is_some() || fields.duration.is_some();
    let timed = fields.end_time.is_some() || (fields.start_time.is_some() && measured);
    timed && fields.object.is_some()
}

fn dated(fields: &Fields) -> EventId {
    let (start, end) = (seconds(fields.start_time), seconds(fields.end_time));
    let meaning = [
        fields.event_type.name().as_bytes(),
        bytes(fields.app.as_ref()),
        bytes(fields.bucket.as_ref()),
        bytes(fields.object.as_ref()),
        &start,
        &end,
    ];
    if fields.end_time.is_some() {
        return EventId::derive(fields.end_time, &meaning);
    }
    let (size, length) = (number(fields.size), number(fields.duration));
    let measure: [&[u8]; 2] = [&size, &length];
    EventId::derive(fields.start_time, &[&meaning[..], &measure].concat())
}

/// Derived from all fields and the time window, and from the body if the fields say too little.
fn undated(fields: &Fields, body: &[u8], received: Timestamp) -> EventId {
    let entries = fields.entries();
    let texts: Vec<_> = entries
        .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
        .collect();
    let mut meaning: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    meaning.push(if is_understood(fields) { &[] } else { body });
    EventId::derive(Some(window_of(received)), &meaning)
}

fn is_understood(fields: &Fields) -> bool {
    let names = [&fields.job, &fields.room, &fields.stream, &fields.object];
    !matches!(fields.event_type, EventType::Other(_)) && names.iter().any(|name| name.is_some())
}

fn window_of(received: Timestamp) -> Timestamp {
    let into = received.millis().rem_euclid(i64::from(WINDOW) * 1000);
    Timestamp::from_millis(received.millis().saturating_sub(into))
}

fn bytes(text: Option<&String>) -> &[u8] {
    text.map_or(&[], String::as_bytes)
}

fn seconds(time: Option<Timestamp>) -> Vec<u8> {
    time.map_or_else(Vec::new, |time| time.seconds().to_be_bytes().to_vec())
}

fn number(number: Option<u64>) -> Vec<u8> {
    number.map_or_else(Vec::new, |number| number.to_be_bytes().to_vec())
}
