//! When two callbacks announce the same thing.
//!
//! An object that was complete at some time is complete at that time once, so such a callback
//! has one id for ever. Any other, such as the end of a job, may say the same of something
//! new. Of those a repeat is one that says the same within ten minutes. Headers never count:
//! a callback that is signed anew announces nothing new.

use std::time::Duration;

use super::event::{Event, EventType, Fields};
use super::id::EventId;
use super::time::Timestamp;

/// The time within which an event without a date of its own is a repeat.
pub const REPEATED_WITHIN: Duration = Duration::from_mins(10);

/// The same in whole seconds: how far apart the windows of such events begin.
const WINDOW: u32 = 600;

/// The id of the event with these fields, read from `body`, which came at `received`.
pub fn id_of(fields: &Fields, body: &[u8], received: Timestamp) -> EventId {
    if is_dated(fields) {
        dated(fields)
    } else {
        undated(fields, body, received)
    }
}

/// Where else a store may have the event that this one repeats: under the ids of the windows
/// before and after its own. `None` for an event whose id is all there is to know.
///
/// One window has one event of a meaning, as all that come in it are less than ten minutes
/// apart. What is found counts only if [`is_repeat`] says so.
pub fn neighbours(event: &Event) -> Option<[EventId; 2]> {
    let window = i64::from(WINDOW);
    (!is_dated(&event.fields)).then(|| [event.id.shifted(-window), event.id.shifted(window)])
}

/// Whether one of two events that mean the same repeats the other. A clock that was set back
/// does not tell them apart.
pub fn is_repeat(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) <= REPEATED_WITHIN
}

/// Whether the fields say which content of which object they are about. HLS merge mode
/// completes one object again and again: without the end, its size or length has to tell.
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

/// Everything that the fields say, and the window in which they came. Where they say too
/// little to tell one thing from another, the body has to.
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
