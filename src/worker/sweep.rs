//! Forgets history that has outlived its retention, in small steps.

use std::time::Duration;

use super::Workers;
use super::pause::STORE_PAUSE;
use crate::store::{Pruned, Unavailable};

/// Between two looks for history that has outlived its retention.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// The least rest after a step: callbacks' commits pass meanwhile.
const LEAST_REST: Duration = Duration::from_millis(10);

/// How long it rests after a step, in times of what that took: its part of the disk is a third,
/// however slow that is.
const REST: u32 = 2;

pub(super) async fn sweep_loop(workers: Workers) {
    let mut awaited_clock = false;
    loop {
        match sweep_once(&workers).await {
            Ok(awaits_clock) => {
                tell_of_clock(awaited_clock, awaits_clock);
                awaited_clock = awaits_clock;
                tokio::time::sleep(SWEEP_EVERY).await;
            }
            Err(_) => tokio::time::sleep(STORE_PAUSE).await,
        }
    }
}

/// Says when the clock begins to hold the sweep up, and when it does so no more.
fn tell_of_clock(before: bool, now: bool) {
    match (before, now) {
        (false, true) => tracing::warn!(
            "old history is not pruned past callbacks that came later than the clock says: it is more than 10 minutes behind; \
             set it right"
        ),
        (true, false) => tracing::info!("old history is pruned again: the clock is right"),
        (false, false) | (true, true) => {}
    }
}

/// What one sweep has removed; says so when it ends, also where the service stops meanwhile.
#[derive(Default)]
struct Swept(Pruned);

impl Swept {
    fn add(&mut self, pruned: Pruned) {
        self.0.bodies += pruned.bodies;
        self.0.tasks += pruned.tasks;
        self.0.events += pruned.events;
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        let Pruned {
            bodies,
            tasks,
            events,
            ..
        } = self.0;
        if bodies + tasks + events > 0 {
            tracing::info!(bodies, tasks, events, "pruned old history");
        }
    }
}

/// Removes all that is due; whether more may be due, and the clock has to be set right first.
async fn sweep_once(workers: &Workers) -> Result<bool, Unavailable> {
    let (keep, clock) = (workers.parts.retention, &workers.parts.clock);
    let mut swept = Swept::default();
    loop {
        let begun = clock.present();
        let pruned = workers.parts.store.prune(keep, begun).await?;
        swept.add(pruned);
        if !pruned.more {
            return Ok(pruned.awaits_clock);
        }
        let took = clock.moment().since(begun.moment);
        tokio::time::sleep(LEAST_REST.max(took.saturating_mul(REST))).await;
    }
}
