//! A lane's breaker and pause: which steps pass, and what their results change.

use std::time::Duration;

use super::evidence::{Evidence, Says};
use super::{End, LaneChange, LaneState, Opening, Pass, Pause, Shut, Sign, Whom};
use crate::model::destination::Breaker;
use crate::model::failure::Failure;
use crate::model::moment::{Moment, Present};
use crate::model::retry::{Jitter, JitterMode, RetryPolicy};

/// Wait before the first probe after failures in a row.
const FIRST: Duration = Duration::from_secs(1);

/// Wait before the first probe of a lane that needs a person: a vendor locks a key that keeps
/// trying, and a full disk stays full for a while.
const FIRST_LOCKED: Duration = Duration::from_secs(30);

/// The first probes use the task with the most tries. Later ones alternate, because that task
/// itself may be refused while the lane is fine.
const SAME_TASK: u32 = 3;

#[derive(Debug)]
pub struct Circuit {
    breaker: Breaker,
    evidence: Evidence,
    probing: bool,
    /// An open lane lets nothing through before this moment.
    probe_from: Moment,
    state: LaneState,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            evidence: Evidence::default(),
            probing: false,
            probe_from: Moment::default(),
            state: LaneState::default(),
        }
    }

    /// Applies new limits.
    pub fn configure(&mut self, breaker: Breaker) {
        self.breaker = breaker;
    }

    pub fn state(&self) -> &LaneState {
        &self.state
    }

    /// Takes the lane's state from the store. A running probe remains the only one.
    pub fn adopt(&mut self, state: LaneState, now: Present) {
        if state != self.state {
            self.evidence.overruled();
            let remaining = state.open.as_ref().map(|open| open.remaining(now.time));
            self.probe_from = now.moment.plus(remaining.unwrap_or_default());
            self.state = state;
        }
    }

    /// Lets one claimed step pass. Afterwards, call [`Circuit::ended`] with its pass.
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

    /// [`Circuit::admit`] for a step that was not queued. Refused while the lane recovers: queued
    /// steps come first.
    pub fn admit_newcomer(&mut self, now: Moment) -> Result<Pass, Shut> {
        if self.state.open.is_some() || self.evidence.recovers() {
            return Err(Shut::ForNow);
        }
        self.admit(now)
    }

    /// A wait beyond the longest one comes from an earlier rules file, and is over.
    fn waits(&self, now: Moment) -> bool {
        self.probe_from > now && self.probe_from.since(now) <= self.breaker.longest
    }

    /// The wall clock was set: computes the next probe's time again.
    pub fn set_clock(&mut self, now: Present) -> Option<LaneChange> {
        let open = self.state.open.as_mut()?;
        open.probe_at = now.time.plus(self.probe_from.since(now.moment));
        Some(LaneChange::Opened(open.clone()))
    }

    /// The step ended in any way, or never began.
    pub fn ended(&mut self, pass: Pass) {
        self.evidence.ended(pass.age);
        self.probing &= pass.probe.is_none();
    }

    /// Learns from a finished step. The returned change must be stored. A step that was already
    /// running when the breaker opened can close it, but not extend its wait.
    pub fn record(
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

    /// Doubles each time, with at least half of it fixed. The other side's `Retry-After` counts up
    /// to the longest wait.
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

/// Which task makes the next probe of an open lane.
fn whom(open: &Opening) -> Whom {
    if open.waits <= SAME_TASK || open.waits % 2 == 1 {
        Whom::MostTried
    } else {
        Whom::DueLongest
    }
}
