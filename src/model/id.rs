//! Ids derived from meaning, so that the same thing announced twice has the same id.
//!
//! Both kinds have 16 bytes and begin with four bytes of the recording's time, so rows arrive
//! nearly in key order: a random unique key halved SQLite's insert rate at a million rows. A task's
//! id begins with the first eight bytes of its event's, so a task is found through its event
//! without an index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::time::Timestamp;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    text: String,
    expected: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // As one number: byte by byte, formatting ids took a twentieth of a task's time.
                write!(f, "{}{:032x}", $prefix, u128::from_be_bytes(self.0))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(parse_hex)
                    .map(Self)
                    .ok_or_else(|| InvalidId { text: text.to_owned(), expected: $expected })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}

id!(
    /// Names an event. Two callbacks with one meaning have one id.
    EventId, "evt_", "an event id (evt_ and 32 hexadecimal digits)"
);
id!(
    /// Names a task: one event under one rule, in one generation.
    TaskId, "task_", "a task id (task_ and 32 hexadecimal digits)"
);

/// Bytes that the ids of a task and its event share.
const SHARED: usize = 8;

impl EventId {
    /// Derives the id from the event's time and the parts of its meaning. Each part is hashed with
    /// its length, so different lists of parts never collide.
    pub fn derive(time: Option<Timestamp>, parts: &[&[u8]]) -> Self {
        let seconds = time.map_or(0, Timestamp::seconds);
        Self(derived(four_bytes(seconds), parts))
    }

    /// The id of the same meaning, `seconds` later or earlier.
    #[must_use]
    pub fn shifted(self, seconds: i64) -> Self {
        let mut bytes = self.0;
        let [a, b, c, d, ..] = bytes;
        let time = i64::from(u32::from_be_bytes([a, b, c, d]));
        bytes[..4].copy_from_slice(&four_bytes(time.saturating_add(seconds)));
        Self(bytes)
    }
}

impl TaskId {
    /// The id of the task of `event` under `rule`. Generation 0 is the first planning; each full
    /// replay adds one.
    pub fn derive(event: EventId, rule: &str, generation: u32) -> Self {
        let mut bytes = derived(
            [0; 4],
            &[event.as_bytes(), rule.as_bytes(), &generation.to_be_bytes()],
        );
        bytes[..SHARED].copy_from_slice(&event.0[..SHARED]);
        Self(bytes)
    }

    /// The range of ids (2⁶⁴) that contains the task's event.
    pub fn events(self) -> (EventId, EventId) {
        let with = |rest| {
            let mut bytes = [rest; 16];
            bytes[..SHARED].copy_from_slice(&self.0[..SHARED]);
            EventId(bytes)
        };
        (with(0), with(u8::MAX))
    }

    /// The `webhook-id` of the request of step number `step`: the same for every try, so that a
    /// receiver can detect a repetition.
    pub fn webhook_id(self, step: u16) -> String {
        format!(
            "msg_{}_{step}",
            self.to_string().trim_start_matches("task_")
        )
    }
}

/// The last four bytes. They repeat after 136 years.
fn four_bytes(seconds: i64) -> [u8; 4] {
    let [.., a, b, c, d] = seconds.to_be_bytes();
    [a, b, c, d]
}

fn derived(prefix: [u8; 4], parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&prefix);
    bytes[4..].copy_from_slice(&digest[..12]);
    bytes
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn ids_grow_with_time_whatever_the_parts_are() {
        assert!(EventId::derive(Some(at(1)), &[b"z"]) < EventId::derive(Some(at(2)), &[b"a"]));
    }

    #[test]
    fn id_is_shifted_to_that_of_the_same_meaning_at_another_time() {
        let id = |seconds| EventId::derive(Some(at(seconds)), &[b"x"]);
        for (from, by, to) in [(600, 600, 1200), (600, -600, 0), (0, -1, -1)] {
            assert_eq!(id(from).shifted(by), id(to));
        }
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_id() {
        assert_ne!(
            EventId::derive(None, &[b"ab", b"c"]),
            EventId::derive(None, &[b"a", b"bc"])
        );
    }

    #[test]
    fn id_parses_as_it_prints_and_refuses_the_other_kind() {
        let event = EventId::derive(Some(at(1)), &[b"x"]);
        assert_eq!(event.to_string().parse(), Ok(event));
        assert_eq!(
            event.to_string().parse::<TaskId>().unwrap_err().to_string(),
            format!("\"{event}\" is not a task id (task_ and 32 hexadecimal digits)"),
        );
        assert!(
            "evt_+1000000000000000000000000000000"
                .parse::<EventId>()
                .is_err()
        );
    }

    #[test]
    fn each_rule_and_generation_has_its_own_task() {
        let event = EventId::derive(None, &[b"x"]);
        let ids = [("a", 0), ("b", 0), ("a", 1)].map(|(rule, n)| TaskId::derive(event, rule, n));
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        assert_ne!(ids[0].webhook_id(0), ids[0].webhook_id(1));
        let (first, last) = ids[0].events();
        assert!(first <= event && event <= last && first < last);
    }
}
