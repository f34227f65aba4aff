//! When a lane is left alone: for growing times after failures in a row, and until a person
//! acts where nothing can succeed before.
//!
//! Pure: time and chance are arguments. What has to outlive the process is [`LaneState`];
//! the count of failures in a row is not, as a lane that still fails is soon found out.
//! A process measures its waits by moments, which nobody sets; the stored time of the next
//! probe is for people and for the next process.

mod circuit;
mod evidence;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::circuit::Circuit;
use self::evidence::Age;
use super::failure::{Disposition, Failure, FailureKind};
use super::moment::Moment;
use super::time::Timestamp;

/// How a lane stands, as it is stored. The default lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Only a person ends this.
    pub paused: Option<Pause>,
    /// The breaker is open: nothing passes but probes.
    pub open: Option<Opening>,
}

/// Nothing passes until a person resumes the lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub since: Timestamp,
    pub why: String,
}

/// An open breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// When it opened; failed probes do not change it.
    pub since: Timestamp,
    /// The last failure.
    pub why: String,
    /// Times that it had to wait, the present one included.
    pub waits: u32,
    /// When one request may find out whether the lane is well again.
    pub probe_at: Timestamp,
    /// How long that was away when it was decided. A probe that is further away was put off by
    /// a clock that was ahead.
    #[serde(default = "unknown_wait")]
    pub wait: Duration,
}

/// A change of a lane's state, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneChange {
    Opened(Opening),
    Closed,
    Paused(Pause),
}

/// What the end of a step says of the bucket or destination that it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign<'a> {
    /// Nothing: it was not asked, or the fault is our own.
    Nothing,
    /// It did what it was asked for.
    Well,
    /// It answered with a refusal that concerns this task alone.
    Answered,
    /// It does not do its work; other tasks would fare no better.
    Ailing(&'a Failure),
    /// It refuses our credentials or every write, until a person mends that.
    Locked(&'a Failure),
    /// It wants nothing any more.
    Gone(&'a Failure),
}

/// A step that ended in a lane.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub sign: Sign<'a>,
    /// Tries of the step that its task has spent, this one included.
    pub tries: u32,
}

/// Leave to make one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    age: Age,
    /// Whose request it is to be, if it is to find out whether the lane is well again.
    pub probe: Option<Whom>,
}

/// Whose request is made first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whom {
    /// That of the task that is due longest.
    #[default]
    DueLongest,
    /// That of the due task that has had the most tries: where others needed a second or third
    /// one, it is the next to succeed.
    MostTried,
}

/// Why nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// Nothing does before this moment.
    Until(Moment),
    /// As much is under way as the lane may take while it recovers.
    Full,
    /// Something has to happen first: a probe has to end, a person to act.
    ForNow,
}

/// Openings were stored without their waits once: the longest wait bounds those.
const fn unknown_wait() -> Duration {
    Duration::MAX
}

impl Opening {
    /// How long the probe is still away by a clock that says `now`: never longer than it was.
    fn remaining(&self, now: Timestamp) -> Duration {
        self.probe_at.since(now).min(self.wait)
    }
}

impl LaneState {
    /// Every name.
    pub const NAMES: [&'static str; 4] = ["closed", "open", "probing", "paused"];

    /// The state's one spelling in metrics, JSON and tables. From the time of its probe on,
    /// an open lane is probing.
    pub fn name(&self, now: Timestamp) -> &'static str {
        match (&self.paused, &self.open) {
            (Some(_), _) => "paused",
            (None, Some(open)) if open.probe_at <= now => "probing",
            (None, Some(_)) => "open",
            (None, None) => "closed",
        }
    }

    /// The state after a change.
    pub fn apply(&mut self, change: LaneChange) {
        match change {
            LaneChange::Opened(opening) => self.open = Some(opening),
            LaneChange::Closed => self.open = None,
            LaneChange::Paused(pause) => self.paused = Some(pause),
        }
    }
}

impl<'a> Sign<'a> {
    /// What a failure says of the lane.
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
