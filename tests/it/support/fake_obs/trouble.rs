//! Faults that a test injects, and when they strike.

use std::time::Duration;

use tokio::sync::watch;

use super::fault::{Fault, Planned};
use super::request::Recorded;
use super::{FakeObs, in_time};

impl FakeObs {
    /// Strikes the request `offset` requests from now; 0 is the next one.
    pub(crate) fn strike(&self, offset: usize, fault: Fault) {
        let mut state = self.state();
        let number = state.requests.len() + offset;
        state
            .faults
            .push(Planned::new(move |request| request.number == number, fault));
    }

    /// Strikes the first matching request.
    pub(crate) fn strike_first(
        &self,
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.state().faults.push(Planned::new(wanted, fault));
    }

    /// Strikes the matching request after `passes` others.
    pub(crate) fn strike_after(
        &self,
        passes: usize,
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        let planned = Planned::new(wanted, fault).after(passes);
        self.state().faults.push(planned);
    }

    /// Strikes every matching request.
    pub(crate) fn strike_every(
        &self,
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.state().faults.push(Planned::always(wanted, fault));
    }

    pub(crate) fn calm(&self) {
        self.state().faults.clear();
    }

    /// Makes every copy, of an object or a part, take `time`. It reads its source at the
    /// beginning, takes effect at the end, and goes on when its client is gone.
    pub(crate) fn slow_copies(&self, time: impl Fn(&Recorded) -> Duration + Send + Sync + 'static) {
        self.state().copy_time = Some(std::sync::Arc::new(time));
    }

    /// Delays every request by `time` before it is carried out.
    pub(crate) fn slow_answers(
        &self,
        time: impl Fn(&Recorded) -> Duration + Send + Sync + 'static,
    ) {
        self.state().answer_time = Some(std::sync::Arc::new(time));
    }

    /// A request that arrived longer ago than this no longer takes effect.
    pub(crate) fn forget_after(&self, lifetime: Duration) {
        self.state().lifetime = lifetime;
    }

    /// Signals the arrival of every request.
    pub(crate) fn arrivals(&self) -> watch::Receiver<()> {
        self.state().arrived.subscribe()
    }

    /// Waits until this many requests were set aside.
    pub(crate) async fn set_aside(&self, count: usize) {
        let mut arrived = self.state().arrived.subscribe();
        let enough = arrived.wait_for(|()| self.state().late.len() >= count);
        in_time(enough).await.unwrap();
    }

    /// Carries out the requests that were set aside, in order of arrival, and returns them.
    pub(crate) fn release_late(&self) -> Vec<Recorded> {
        let mut state = self.state();
        let late = std::mem::take(&mut state.late);
        let mut released = Vec::new();
        for (request, effect) in late {
            // A request that has expired has no effect, and its client is gone.
            let _ = state.change(&request, effect);
            released.push(request);
        }
        released
    }
}
