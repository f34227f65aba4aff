//! What a test lets go wrong at the server, and when.

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

    /// Strikes the first request that is so.
    pub(crate) fn strike_first(
        &self,
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.state().faults.push(Planned::new(wanted, fault));
    }

    /// Strikes the request that is so after `passes` others that are.
    pub(crate) fn strike_after(
        &self,
        passes: usize,
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        let planned = Planned::new(wanted, fault).after(passes);
        self.state().faults.push(planned);
    }

    /// Strikes every request that is so.
    pub(crate) fn strike_every(
        &self,
        wanted: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.state().faults.push(Planned::always(wanted, fault));
    }

    /// No more faults.
    pub(crate) fn calm(&self) {
        self.state().faults.clear();
    }

    /// Has every copy, whole or of a part, take as long as `time` says. It reads its source
    /// when it begins, is there at its end, and goes on when its client is gone.
    pub(crate) fn slow_copies(&self, time: impl Fn(&Recorded) -> Duration + Send + Sync + 'static) {
        self.state().copy_time = Some(std::sync::Arc::new(time));
    }

    /// Has every request that is carried out take as long as `time` says before it is.
    pub(crate) fn slow_answers(
        &self,
        time: impl Fn(&Recorded) -> Duration + Send + Sync + 'static,
    ) {
        self.state().answer_time = Some(std::sync::Arc::new(time));
    }

    /// Has requests no effect any more once they came so long ago.
    pub(crate) fn forget_after(&self, lifetime: Duration) {
        self.state().lifetime = lifetime;
    }

    /// Signals every request that comes.
    pub(crate) fn arrivals(&self) -> watch::Receiver<()> {
        self.state().arrived.subscribe()
    }

    /// Waits until so many requests were accepted that are to be carried out late.
    pub(crate) async fn set_aside(&self, count: usize) {
        let mut arrived = self.state().arrived.subscribe();
        let enough = arrived.wait_for(|()| self.state().late.len() >= count);
        in_time(enough).await.unwrap();
    }

    /// Carries out what was set aside, in the order of arrival. Answers the requests.
    pub(crate) fn release_late(&self) -> Vec<Recorded> {
        let mut state = self.state();
        let late = std::mem::take(&mut state.late);
        let mut released = Vec::new();
        for (request, effect) in late {
            // One that can no longer be carried out has no effect, and nobody hears of it.
            let _ = state.change(&request, effect);
            released.push(request);
        }
        released
    }
}
