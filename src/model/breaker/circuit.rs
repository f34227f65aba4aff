//! A lane's breaker and pause: whom it lets through, and what it learns from them.

use std::time::Duration;

use super::evidence::{Evidence, Says};
use super::{End, LaneChange, LaneState, Opening, Pass, Pause, Shut, Sign, Whom};
use crate::model::destination::Breaker;
use crate::model::failure::Failure;
use crate::model::moment::{Moment, Present};
use crate::model::retry::{Jitter, JitterMode, RetryPolicy};

/// Before the first probe after failures in a row.
const FIRST: Duration = Duration::from_secs(1);

/// Before the first probe of a lane that waits for a person: a vendor locks a key out that keeps
/// on trying, and a full disk is not soon empty.
const FIRST_LOCKED: Duration = Duration::from_secs(30);

/// Probes in a row that are of the task with the most tries. Later ones take turns: it may be
/// that task that is refused, and not the lane that is down.
const SAME_TASK: u32 = 3;

/// A lane's breaker and pause.
#[derive(Debug)]
pub struct Circuit {
    breaker: Breaker,
    evidence: Evidence,
    probing: bool,
    /// Before this moment an open lane lets nobody through.
    probe_from: Moment,
    state: LaneState,
}

impl Circuit {
    /// A closed one.
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            evidence: Evidence::default(),
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
            self.evidence.overruled();
            let remaining = state.open.as_ref().map(|open| open.remaining(now.time));
            self.probe_from = now.moment.plus(remaining.unwrap_or_default());
            self.state = state;
        }
    }

    /// Lets one step pass that the store is asked for. [`Circuit::ended`] must be called with
    /// its pass.
    pub fn admit(&mut self, now: Moment) -> Result<Pass, Shut> {
        let probe = match (&self.state.paused, &self.state.open) {
            (Some(_), _) => return Err(Shut::ForNow),
            (None, None) if !self.evidence.has_room() => return Err(Shut::Full),
            (None, None) => None,
            (None, Some(_)) if self.probing => return Err(Shut::ForNow),
            (None, Some(_)) if self.waits(now) => return Err(Shut::Until(self.probe_from)),
            (None, Some(open)) => Some(whom(open)),
        };
        self.probing |= probe.is_some();
        let age = self.evidence.begins();
        Ok(Pass { age, probe })
    }

    /// [`Circuit::admit`] for a step that has not waited its turn in the store: not while those
    /// that have are let through one by one.
    pub fn admit_newcomer(&mut self, now: Moment) -> Result<Pass, Shut> {
        if self.state.open.is_some() || self.evidence.recovers() {
            return Err(Shut::ForNow);
        }
        self.admit(now)
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

    /// The step came to an end, however it did, or was never begun.
    pub fn ended(&mut self, pass: Pass) {
        self.evidence.ended(pass.age);
        self.probing &= pass.probe.is_none();
    }

    /// Learns from a step that ended; what changes has to be stored. A step that was under
    /// way when the breaker opened can close it, but does not make it wait for longer.
    pub fn hear(
        &mut self,
        end: End<'_>,
        pass: Pass,
        now: Present,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        let change = match end.sign {
            Sign::Nothing => None,
            Sign::Well => self.well(Some(end.tries)),
            Sign::Answered => self.well(None),
            Sign::Gone(why) => self.gone(why, now),
            Sign::Ailing(why) => {
                let says = self
                    .evidence
                    .failed(pass.age, end.tries, self.breaker.failures);
                self.open(says == Says::Enough, pass, why, FIRST, now, jitter)
            }
            Sign::Locked(why) => {
                self.evidence.outage();
                self.open(true, pass, why, FIRST_LOCKED, now, jitter)
            }
        }?;
        self.state.apply(change.clone());
        Some(change)
    }

    fn well(&mut self, tries: Option<u32>) -> Option<LaneChange> {
        self.evidence.well(tries);
        self.state.open.as_ref()?;
        self.evidence.well_again();
        Some(LaneChange::Closed)
    }

    fn gone(&self, why: &Failure, now: Present) -> Option<LaneChange> {
        let pause = Pause {
            since: now.time,
            why: why.reason.clone(),
        };
        self.state
            .paused
            .is_none()
            .then_some(LaneChange::Paused(pause))
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
            Some(open) if pass.probe.is_some() => (open.since, open.waits.saturating_add(1)),
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

/// Whose request the next probe of an open lane is.
fn whom(open: &Opening) -> Whom {
    if open.waits <= SAME_TASK || open.waits % 2 == 1 {
        Whom::MostTried
    } else {
        Whom::DueLongest
    }
}
