//! Reports the ends of steps to lanes, and the states of lanes to the store.
//!
//! A lane's state is stored before the task that changed it: if the process dies in between, the
//! lane is paused and the task is tried again, not the other way round. A lock keeps memory and
//! store in agreement.

use super::Workers;
use super::lane::Permit;
use super::outcome::Ended;
use super::target::Target;
use super::task::{Dropped, Runner};
use crate::model::breaker::{End, LaneChange, LaneState, Sign};
use crate::model::moment::Present;
use crate::model::task::{Lane, Task};
use crate::store::Unavailable;

impl Workers {
    /// Adopts the lane states in the store: at the start, and when another process has written.
    pub async fn adopt_lanes(&self) -> Result<(), Unavailable> {
        let (lanes, metrics) = (&self.parts.lanes, &self.parts.metrics);
        let _turn = lanes.turn().await;
        let states = self.parts.store.lane_states().await?;
        let paused =
            |(lane, state): &(Lane, LaneState)| Some((lane.clone(), state.paused.clone()?));
        let paused: Vec<_> = states.iter().filter_map(paused).collect();
        lanes.adopt(states, self.parts.clock.present());
        metrics.lanes(&lanes.states());
        lanes.waker().wake();
        // Only now, when the lanes obey them.
        if !paused.is_empty() {
            self.parts.store.acknowledge_pauses(paused).await?;
        }
        Ok(())
    }

    /// Stores the new probe times of lanes after the clock was set.
    pub(super) async fn set_clock_of_lanes(&self, now: Present) -> Result<(), Unavailable> {
        let lanes = &self.parts.lanes;
        let _turn = lanes.turn().await;
        for (lane, change) in lanes.set_clock(now) {
            self.parts.store.change_lane(lane, change).await?;
        }
        Ok(())
    }
}

impl Runner {
    pub(super) async fn report(
        &self,
        task: &Task,
        permit: &Permit,
        target: Option<Target>,
        ended: &Ended,
    ) -> Result<(), Dropped> {
        let clock = &self.parts.clock;
        let (own, other) = match &target {
            Some(target) => target.signs(ended),
            None => (ended.sign(), Sign::Nothing),
        };
        let tries = task.tries;
        let end = End { sign: own, tries };
        let hear = || permit.record(end, clock.present(), clock.jitter());
        self.hear_of(&task.lane, end, hear).await?;
        let Some(Target { lane, admission }) = target else {
            return Ok(());
        };
        let end = End { sign: other, tries };
        let hear = || admission.record(end, clock.present(), clock.jitter());
        self.hear_of(&lane, end, hear).await
    }

    async fn hear_of(
        &self,
        lane: &Lane,
        end: End<'_>,
        hear: impl FnOnce() -> Option<LaneChange>,
    ) -> Result<(), Dropped> {
        if end.sign == Sign::Nothing {
            return Ok(());
        }
        let lanes = &self.parts.lanes;
        let _turn = lanes.turn().await;
        let Some(change) = hear() else {
            return Ok(());
        };
        log(lane, &change);
        let mut outage = self.outages.outage();
        let store = &self.parts.store;
        while let Err(cause) = store.change_lane(lane.clone(), change.clone()).await {
            self.pause(&mut outage, &cause).await?;
        }
        if let Some(state) = lanes.state(lane) {
            self.parts.metrics.lane(lane, &state);
        }
        lanes.waker().wake();
        Ok(())
    }
}

fn log(lane: &Lane, change: &LaneChange) {
    match change {
        LaneChange::Opened(open) => {
            let (why, probe_at) = (&open.why, open.probe_at);
            tracing::warn!(%lane, why, %probe_at, "breaker opened: nothing is sent until the next probe");
        }
        LaneChange::Closed => tracing::info!(%lane, "breaker closed"),
        LaneChange::Paused(pause) => {
            tracing::error!(%lane, why = pause.why, "paused until a person resumes it");
        }
    }
}
