//! Decides by rate, breaker and pause whether a step may enter a lane.
//!
//! Combines `model::rate` and `model::breaker`. Dropping an unused [`Admission`] returns its part
//! of the rate, so a claim that finds nothing costs nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::breaker::{Circuit, End, LaneChange, LaneState, Pass, Shut, Whom};
use crate::model::destination::{Breaker, Rate};
use crate::model::moment::{Moment, Present};
use crate::model::rate::Limiter;
use crate::model::retry::Jitter;

#[derive(Debug)]
pub(super) struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: Option<Rate>,
    limiter: Option<Limiter>,
    circuit: Circuit,
}

/// The right to begin one step. Dropping it allows the next probe and, if the step did not begin,
/// returns its request to the rate.
#[derive(Debug)]
pub(in crate::worker) struct Admission {
    gate: Arc<Throttle>,
    pass: Pass,
    begun: bool,
}

impl Throttle {
    pub(super) fn new(rate: Option<Rate>, breaker: Breaker) -> Self {
        Self {
            state: Mutex::new(State {
                rate,
                limiter: rate.map(Limiter::new),
                circuit: Circuit::new(breaker),
            }),
        }
    }

    /// Admits a step that is claimed from the store.
    pub(super) fn admit(self: &Arc<Self>, now: Moment) -> Result<Admission, Shut> {
        self.let_in(now, Circuit::admit)
    }

    /// Admits a step that has not waited in the store.
    pub(super) fn admit_newcomer(self: &Arc<Self>, now: Moment) -> Result<Admission, Shut> {
        self.let_in(now, Circuit::admit_newcomer)
    }

    fn let_in(
        self: &Arc<Self>,
        now: Moment,
        admit: fn(&mut Circuit, Moment) -> Result<Pass, Shut>,
    ) -> Result<Admission, Shut> {
        let mut state = self.state();
        let pass = admit(&mut state.circuit, now)?;
        if let Some(Err(next)) = state.limiter.as_mut().map(|limiter| limiter.take(now)) {
            state.circuit.ended(pass);
            return Err(Shut::Until(next));
        }
        Ok(Admission {
            gate: Arc::clone(self),
            pass,
            begun: false,
        })
    }

    pub(super) fn configure(&self, rate: Option<Rate>, breaker: Breaker) {
        let mut state = self.state();
        if state.rate != rate {
            state.rate = rate;
            state.limiter = rate.map(Limiter::new);
        }
        state.circuit.configure(breaker);
    }

    pub(super) fn adopt(&self, lane: LaneState, now: Present) {
        self.state().circuit.adopt(lane, now);
    }

    pub(super) fn set_clock(&self, now: Present) -> Option<LaneChange> {
        self.state().circuit.set_clock(now)
    }

    pub(super) fn lane_state(&self) -> LaneState {
        self.state().circuit.state().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    /// The step begins: its request counts.
    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// If the admission is a probe, which task it is for.
    pub(super) fn probe(&self) -> Option<Whom> {
        self.pass.probe
    }

    /// Updates the breaker with the end of the admitted step.
    pub(in crate::worker) fn record(
        &self,
        end: End<'_>,
        now: Present,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        let mut state = self.gate.state();
        state.circuit.record(end, self.pass, now, jitter)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.circuit.ended(self.pass);
        if let Some(limiter) = state.limiter.as_mut().filter(|_| !self.begun) {
            limiter.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::breaker::Sign;
    use crate::model::failure::{Failure, FailureKind};
    use crate::model::time::Timestamp;

    const NOW: Moment = Moment::after(Duration::from_secs(5));

    fn gate(requests: u32) -> Arc<Throttle> {
        let per = Duration::from_secs(1);
        let longest = Duration::from_millis(1);
        let failures = 1;
        Arc::new(Throttle::new(
            Some(Rate { requests, per }),
            Breaker { failures, longest },
        ))
    }

    #[test]
    fn admission_that_is_not_used_leaves_its_place_in_the_rate_to_another() {
        let gate = gate(1);
        drop(gate.admit(NOW).unwrap());
        let mut begun = gate.admit(NOW).unwrap();
        begun.begin();
        drop(begun);
        let next = NOW.plus(Duration::from_secs(1));
        assert_eq!(gate.admit(NOW).unwrap_err(), Shut::Until(next));
        assert!(gate.admit(next).is_ok());
    }

    #[test]
    fn probe_that_the_rate_refuses_can_be_made_later() {
        let gate = gate(1);
        let mut first = gate.admit(NOW).unwrap();
        first.begin();
        let why = Failure::new(FailureKind::Timeout, "r");
        let now = Present {
            time: Timestamp::from_millis(1_772_413_200_000),
            moment: NOW,
        };
        let (sign, tries) = (Sign::of(&why), 1);
        let change = first.record(End { sign, tries }, now, Jitter::MOST);
        assert!(change.is_some());
        let next = NOW.plus(Duration::from_secs(1));
        assert_eq!(
            gate.admit(NOW.plus(Duration::from_millis(1))).unwrap_err(),
            Shut::Until(next)
        );
        assert!(gate.admit(next).unwrap().probe().is_some());
        assert!(gate.admit(next).unwrap().probe().is_some());
    }
}
