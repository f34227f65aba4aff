//! Corrects waits after the system's clock was set.
//!
//! A stored task waits no longer than was decided, by the clock as it is now. The correction also
//! runs at every start, because the clock may have been set while nothing ran.

use std::time::Duration;

use super::Workers;
use crate::model::moment::Present;
use crate::store::Unavailable;

/// How long a write may still be on its way to the store with a due time from before the clock was
/// set.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

pub(super) async fn clock_loop(workers: Workers) {
    let clock = &workers.parts.clock;
    let mut known = clock.present();
    loop {
        workers.judge_anew().await;
        let set_soon = tokio::time::timeout(ON_ITS_WAY, clock.set_since(known));
        let present = match set_soon.await {
            Ok(present) => present,
            Err(_elapsed) => {
                workers.judge_anew().await;
                clock.set_since(known).await
            }
        };
        // Also when it was set forward: more tasks may be due than the claiming loop expects.
        workers.parts.lanes.waker().wake();
        let (by_ms, now) = (present.set_by(known), present.time);
        tracing::warn!(by_ms, %now, "the system's clock was set");
        known = present;
    }
}

impl Workers {
    /// Corrects all waits, waiting for the store as long as necessary.
    async fn judge_anew(&self) {
        let mut outage = self.outages.outage();
        while let Err(error) = self.set_clock(self.parts.clock.present()).await {
            outage.wait(&error).await;
        }
    }

    async fn set_clock(&self, now: Present) -> Result<(), Unavailable> {
        let tasks = self.parts.store.correct_due(now).await?;
        if tasks > 0 {
            tracing::warn!(
                tasks,
                "the clock was ahead: corrected the due times of tasks"
            );
        }
        self.set_clock_of_lanes(now).await?;
        if tasks > 0 {
            self.parts.lanes.waker().wake();
        }
        Ok(())
    }
}
