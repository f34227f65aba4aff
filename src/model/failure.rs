//! Why an attempt did not succeed, as data that outlives the process.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// For a person: names the thing, the value and what to do.
    pub reason: String,
    /// How long the other side asked us to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure without a wish of the other side.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            retry_after: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.reason)
    }
}

/// The message of a crash, if it can be shown. A message that is part of the program is shown. One
/// that was made at run time may hold a secret, and is replaced.
pub fn crash(panic: &(dyn Any + Send)) -> &'static str {
    let written = panic.downcast_ref::<&'static str>();
    written.map_or(
        "its words are not shown, as they may hold a secret; the log names the place",
        |text| *text,
    )
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Another try may succeed.
    Retry,
    /// No further try can succeed; a person has to act.
    Final,
    /// Nothing of this lane can succeed until a person acts; trying on is of no use, or makes it
    /// worse.
    PauseLane,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $disposition:ident;)*) => {
        /// The closed list of reasons: the metric label, and whether to retry.
        /// Decided where the other side's answer is understood, never from text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum FailureKind {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl FailureKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind's one spelling in rows, metrics and JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What follows from a failure of this kind.
            pub const fn disposition(self) -> Disposition {
                match self { $(Self::$variant => Disposition::$disposition,)* }
            }
        }
    };
}

impl FailureKind {
    /// Whether what was asked for may have happened, or happen yet, all the same: no answer
    /// came, or one that says nothing of it.
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
}

kinds! {
    /// The other side could not be reached: name, connection or TLS.
    Unreachable = "unreachable", Retry;
    /// No answer within the time allowed.
    Timeout = "timeout", Retry;
    /// The other side answered that it cannot now: 5xx and the like.
    Unavailable = "unavailable", Retry;
    /// The other side asked to slow down.
    Throttled = "throttled", Retry;
    /// The other side refuses this one for now, and may take it later: what it is about is not
    /// known there yet, or in use.
    NotNow = "not_now", Retry;
    /// The effect is unknown: the answer was lost. The next try looks first.
    Unknown = "unknown", Retry;
    /// The source object does not exist yet, shortly after its event.
    NotThereYet = "not_there_yet", Retry;
    /// The source object changed while it was copied.
    SourceChanged = "source_changed", Retry;
    /// The step itself crashed.
    Panic = "panic", Retry;
    /// Our own disk or store refused.
    Storage = "storage", Retry;
    /// The other side refused for good: 4xx, a redirect.
    Refused = "refused", Final;
    /// 410: the destination wants nothing any more.
    Gone = "gone", Final;
    /// The credentials or the account are refused.
    Credentials = "credentials", PauseLane;
    /// Nothing can be written there: the disk is full or read-only.
    Unwritable = "unwritable", PauseLane;
    /// The credentials are fine and may not do this.
    Denied = "denied", Final;
    /// The source object, or a part of its set, does not exist.
    Missing = "missing", Final;
    /// The target exists and is not ours.
    Conflict = "conflict", Final;
    /// Another rule of the same planning moved the recording.
    AlreadyMoved = "already_moved", Final;
    /// What was asked for cannot be done there: archived, unsupported, too large.
    Unsupported = "unsupported", Final;
    /// A playlist, a key, a tag or a URL that is not acceptable.
    Invalid = "invalid", Final;
    /// Outside the configured buckets, prefixes or allowed addresses.
    Forbidden = "forbidden", Final;
    /// A template or expression failed for this event.
    Template = "template", Final;
    /// The process ended while the step ran, as often as tries were allowed.
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
