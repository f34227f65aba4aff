//! When a lane is left alone: for growing times after failures in a row, and until a person
//! acts where nothing can succeed before.
//!
//! Pure: time and chance are arguments. What has to outlive the process is [`LaneState`];
//! the count of failures in a row is not, as a lane that still fails is soon found out.
//! A process measures its waits by moments, which nobody sets; the stored time of the next
//! probe is for people and for the next process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::destination::Breaker;
use super::failure::{Disposition, Failure, FailureKind};
use super::moment::{Moment, Present};
use super::retry::{Jitter, JitterMode, RetryPolicy};
use super::time::Timestamp;

/// Before the first probe after failures in a row.
const FIRST: Duration = Duration::from_secs(1);

/// Before the first probe of a lane whose credentials are refused: a vendor locks a key out
/// that keeps on trying.
const FIRST_LOCKED: Duration = Duration::from_secs(30);

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
    /// It answered, be it with a refusal that concerns this task alone.
    Well,
    /// It does not do its work; other tasks would fare no better.
    Ailing(&'a Failure),
    /// It refuses whoever we are until somebody puts that right; trying on makes it worse.
    Locked(&'a Failure),
    /// It wants nothing any more.
    Gone(&'a Failure),
}

/// Whom an open lane lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Free,
    /// The one request that finds out whether the lane is well again.
    Probe,
}

/// Nothing passes before this moment; `None` when something has to happen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shut(pub Option<Moment>);

/// A lane's breaker and pause.
#[derive(Debug)]
pub struct Circuit {
    breaker: Breaker,
    /// In a row, of all tasks of the lane together.
    failures: u32,
    probing: bool,
    /// Before this moment an open lane lets nobody through.
    probe_from: Moment,
    state: LaneState,
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
            Kind::Refused
            | Kind::Denied
            | Kind::Missing
            | Kind::NotThereYet
            | Kind::SourceChanged
            | Kind::Conflict => Self::Well,
            _ => Self::Nothing,
        }
    }
}

impl Circuit {
    /// A closed one.
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            failures: 0,
            probing: false,
            probe_from: Moment::default(),
            state: LaneState::default(),
        }
    }

    /// Judges from now on by `breaker`.
    pub fn configure(&mut self, breaker: Breaker) {
        self.breaker = breaker;
    }

    pub fn state(&self) -> &LaneState {
        &self.state
    }

    /// Takes over how the lane stands in the store. A probe that is under way stays the
    /// only one.
    pub fn adopt(&mut self, state: LaneState, now: Present) {
        if state != self.state {
            self.failures = 0;
            let remaining = state.open.as_ref().map(|open| open.remaining(now.time));
            self.probe_from = now.moment.plus(remaining.unwrap_or_default());
            self.state = state;
        }
    }

    /// Lets one step pass. After a probe, [`Circuit::probe_ended`] must be called.
    pub fn admit(&mut self, now: Moment) -> Result<Pass, Shut> {
        match (&self.state.paused, &self.state.open) {
            (Some(_), _) => Err(Shut(None)),
            (None, None) => Ok(Pass::Free),
            (None, Some(_)) if self.probing => Err(Shut(None)),
            (None, Some(_)) if self.waits(now) => Err(Shut(Some(self.probe_from))),
            (None, Some(_)) => {
                self.probing = true;
                Ok(Pass::Probe)
            }
        }
    }

    /// A wait that is longer than any is one of an earlier rules file.
    fn waits(&self, now: Moment) -> bool {
        self.probe_from > now && self.probe_from.since(now) <= self.breaker.longest
    }

    /// The wall clock was set: tells anew when the next probe is due by it.
    pub fn set_clock(&mut self, now: Present) -> Option<LaneChange> {
        let open = self.state.open.as_mut()?;
        open.probe_at = now.time.plus(self.probe_from.since(now.moment));
        Some(LaneChange::Opened(open.clone()))
    }

    /// The probe came to an end, however it did.
    pub fn probe_ended(&mut self) {
        self.probing = false;
    }

    /// Learns from a step that ended; what changes has to be stored. A step that was under
    /// way when the breaker opened can close it, but does not make it wait for longer.
    pub fn hear(
        &mut self,
        sign: Sign<'_>,
        pass: Pass,
        now: Present,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        let change = match sign {
            Sign::Nothing => return None,
            Sign::Well => {
                self.failures = 0;
                self.state.open.as_ref().map(|_| LaneChange::Closed)
            }
            Sign::Gone(why) => self.state.paused.is_none().then(|| {
                LaneChange::Paused(Pause {
                    since: now.time,
                    why: why.reason.clone(),
                })
            }),
            Sign::Ailing(why) => {
                self.failures = self.failures.saturating_add(1);
                let opens = self.failures >= self.breaker.failures;
                self.open(opens, pass, why, FIRST, now, jitter)
            }
            Sign::Locked(why) => self.open(true, pass, why, FIRST_LOCKED, now, jitter),
        }?;
        self.state.apply(change.clone());
        Some(change)
    }

    fn open(
        &mut self,
        opens: bool,
        pass: Pass,
        why: &Failure,
        first: Duration,
        now: Present,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        let (since, waits) = match &self.state.open {
            None if opens => (now.time, 1),
            Some(open) if pass == Pass::Probe => (open.since, open.waits.saturating_add(1)),
            _ => return None,
        };
        let wait = self.wait(waits, first, why.retry_after, jitter);
        self.probe_from = now.moment.plus(wait);
        Some(LaneChange::Opened(Opening {
            since,
            why: why.to_string(),
            waits,
            probe_at: now.time.plus(wait),
            wait,
        }))
    }

    /// Doubles with each wait, at least a half of it whatever chance says; what the other
    /// side asked for counts up to the longest wait.
    fn wait(
        &self,
        waits: u32,
        first: Duration,
        asked: Option<Duration>,
        jitter: Jitter,
    ) -> Duration {
        let longest = self.breaker.longest;
        let growing = RetryPolicy {
            first,
            factor: 2.0,
            longest,
            jitter: JitterMode::Equal,
            ..RetryPolicy::default()
        };
        let asked = asked.unwrap_or_default().min(longest);
        growing.delay(waits, jitter).max(asked)
    }
}

#[cfg(test)]
mod tests;
