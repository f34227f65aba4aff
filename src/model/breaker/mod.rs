//! Circuit breaker of a lane: opens for growing times after failures in a row, and until a person
//! acts if nothing can succeed before.
//!
//! Pure: time and chance are arguments. [`LaneState`] survives a restart; the failure count does
//! not, because a lane that still fails is soon detected again. A process measures its waits in
//! moments, which cannot be set; the stored time of the next probe is for people and for the next
//! process.

mod circuit;
mod evidence;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::circuit::Circuit;
use self::evidence::Age;
use super::failure::{Disposition, Failure, FailureKind};
use super::moment::Moment;
use super::time::Timestamp;

/// A lane's stored state. The default lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Until a person resumes the lane.
    pub paused: Option<Pause>,
    /// The breaker is open: only probes pass.
    pub open: Option<Opening>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// When it opened. Failed probes do not change it.
    pub since: Timestamp,
    pub why: String,
    /// Number of waits so far, including the present one.
    pub waits: u32,
    /// When the next probe may run.
    pub probe_at: Timestamp,
    /// The wait until `probe_at` when it was decided. If `probe_at` is further away, a clock that
    /// was ahead wrote it.
    #[serde(default = "unknown_wait")]
    pub wait: Duration,
}

/// A change of a lane's state that must be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneChange {
    Opened(Opening),
    Closed,
    Paused(Pause),
}

/// What a finished step says about its bucket or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign<'a> {
    /// Nothing: it got no request, or the error is ours.
    Nothing,
    /// It did its work.
    Well,
    /// It refused this task only.
    Answered,
    /// It does not work; other tasks would fail too.
    Ailing(&'a Failure),
    /// It rejects our credentials or every write until someone fixes that.
    Locked(&'a Failure),
    /// It answered 410 Gone.
    Gone(&'a Failure),
}

/// A finished step of a lane.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub sign: Sign<'a>,
    /// Tries of the step so far, including this one.
    pub tries: u32,
}

/// Permission for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    age: Age,
    /// Set if this request is a probe: which task should make it.
    pub probe: Option<Whom>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whom {
    /// The task that has been due the longest.
    #[default]
    DueLongest,
    /// The due task with the most tries: if others needed two or three, it succeeds next.
    MostTried,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    Until(Moment),
    /// As much is running as the recovering lane may take.
    Full,
    /// Until a probe ends or a person acts.
    ForNow,
}

/// Older versions stored no wait. The longest wait limits these.
const fn unknown_wait() -> Duration {
    Duration::MAX
}

impl Opening {
    /// Time left until the probe by the wall clock, never more than [`Self::wait`].
    fn remaining(&self, now: Timestamp) -> Duration {
        self.probe_at.since(now).min(self.wait)
    }
}

impl LaneState {
    pub const NAMES: [&'static str; 4] = ["closed", "open", "probing", "paused"];

    /// The name in metrics, JSON and tables. An open lane whose probe is due is "probing".
    pub fn name(&self, now: Timestamp) -> &'static str {
        match (&self.paused, &self.open) {
            (Some(_), _) => "paused",
            (None, Some(open)) if open.probe_at <= now => "probing",
            (None, Some(_)) => "open",
            (None, None) => "closed",
        }
    }

    pub fn apply(&mut self, change: LaneChange) {
        match change {
            LaneChange::Opened(opening) => self.open = Some(opening),
            LaneChange::Closed => self.open = None,
            LaneChange::Paused(pause) => self.paused = Some(pause),
        }
    }
}

impl<'a> Sign<'a> {
    pub fn of(failure: &'a Failure) -> Self {
        use FailureKind as Kind;
        match failure.kind {
            Kind::Gone => Self::Gone(failure),
            kind if kind.disposition() == Disposition::PauseLane => Self::Locked(failure),
            Kind::Unreachable
            | Kind::Timeout
            | Kind::Unavailable
            | Kind::Throttled
            | Kind::Unknown => Self::Ailing(failure),
            Kind::NotNow
            | Kind::Refused
            | Kind::Denied
            | Kind::Missing
            | Kind::NotThereYet
            | Kind::SourceChanged
            | Kind::Conflict => Self::Answered,
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
