//! Why an attempt failed, in a form that is stored.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// For a person: names the thing, the value and the way out.
    pub reason: String,
    /// How long the other side asked us to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// The bucket that it came from, where a step may use two.
    #[serde(skip)]
    pub bucket: Option<String>,
}

impl Failure {
    /// A failure without `Retry-After`.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            retry_after: None,
            bucket: None,
        }
    }

    /// The same from this bucket, unless it is from another one.
    #[must_use]
    pub fn from_bucket(mut self, bucket: &str) -> Self {
        self.bucket.get_or_insert_with(|| bucket.to_owned());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.reason)
    }
}

/// A panic's message if it is a constant of the program. A message built at run time may contain a
/// secret and is replaced.
pub fn crash(panic: &(dyn Any + Send)) -> &'static str {
    let written = panic.downcast_ref::<&'static str>();
    written.map_or(
        "its words are not shown, as they may hold a secret; the log names the place",
        |text| *text,
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    Retry,
    /// No retry can succeed; a person must act.
    Final,
    /// Nothing in this lane can succeed until a person acts; further tries are useless or harmful.
    PauseLane,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $disposition:ident;)*) => {
        /// The closed list of reasons: the metric label, and whether to retry. Decided where the
        /// response is understood, never from text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum FailureKind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl FailureKind {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in rows, metrics and JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub const fn disposition(self) -> Disposition {
                match self { $(Self::$variant => Disposition::$disposition,)* }
            }
        }
    };
}

impl FailureKind {
    /// Whether the request may have taken effect, or may still do: there was no response, or one
    /// that does not say.
    pub const fn may_have_happened(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Timeout
                | Self::Unavailable
                | Self::Unknown
                | Self::Panic
                | Self::Storage
                | Self::Unwritable
        )
    }

    /// Whether the same question would get the same answer, as long as nobody acts.
    pub const fn is_an_answer(self) -> bool {
        matches!(self.disposition(), Disposition::Final)
    }
}

kinds! {
    /// No connection: name resolution, TCP or TLS failed.
    Unreachable = "unreachable", Retry;
    Timeout = "timeout", Retry;
    /// The other side cannot do it now: 5xx and the like.
    Unavailable = "unavailable", Retry;
    /// The other side asked to slow down.
    Throttled = "throttled", Retry;
    /// The other side refuses this one now and may take it later: its subject is unknown there yet,
    /// or in use.
    NotNow = "not_now", Retry;
    /// The response was lost, so the effect is unknown. The next try checks first.
    Unknown = "unknown", Retry;
    /// The source object does not exist yet, shortly after its event.
    NotThereYet = "not_there_yet", Retry;
    /// The source object changed while it was copied.
    SourceChanged = "source_changed", Retry;
    /// The step itself crashed.
    Panic = "panic", Retry;
    Storage = "storage", Retry;
    /// The other side refused permanently: 4xx, a redirect.
    Refused = "refused", Final;
    /// 410: the destination no longer wants requests.
    Gone = "gone", Final;
    /// The credentials or the account are refused.
    Credentials = "credentials", PauseLane;
    /// Nothing can be written there: the disk is full or read-only.
    Unwritable = "unwritable", PauseLane;
    /// The bucket itself is not there, so nothing is known of its objects: its disk is not mounted,
    /// or no bucket has its name.
    Away = "away", PauseLane;
    /// The credentials are valid but not allowed to do this.
    Denied = "denied", Final;
    /// The source object, or a part of its set, does not exist.
    Missing = "missing", Final;
    /// The target exists and is not ours.
    Conflict = "conflict", Final;
    /// Another rule of the same planning moved the recording.
    AlreadyMoved = "already_moved", Final;
    /// Cannot be done there: archived, unsupported, too large.
    Unsupported = "unsupported", Final;
    /// An invalid playlist, key, tag or URL.
    Invalid = "invalid", Final;
    /// Outside the configured buckets, prefixes or allowed addresses.
    Forbidden = "forbidden", Final;
    /// A template or expression failed for this event.
    Template = "template", Final;
    /// The process crashed during the step, until no tries were left.
    Crashed = "crashed", Final;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crash_is_told_in_words_of_the_program_only() {
        let value = "hidden";
        let made = std::panic::catch_unwind(|| panic!("no {value}")).unwrap_err();
        let written = std::panic::catch_unwind(|| panic!("no way")).unwrap_err();
        assert!(!crash(&*made).contains(value));
        assert_eq!(crash(&*written), "no way");
    }

    #[test]
    fn failure_reads_back_as_it_was_stored() {
        for &kind in FailureKind::ALL {
            let failure = Failure {
                retry_after: Some(Duration::from_secs(3)),
                ..Failure::new(kind, "r")
            };
            let stored = serde_json::to_string(&failure).unwrap();
            assert!(stored.contains(kind.name()));
            assert_eq!(serde_json::from_str::<Failure>(&stored).unwrap(), failure);
        }
    }
}
