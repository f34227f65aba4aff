//! Removes history that is older than its retention, in small steps.

use std::time::Duration;

use super::Workers;
use super::store_outage::STORE_PAUSE;
use crate::store::{Pruned, Unavailable};

const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// Minimum rest after a step, for the commits of callbacks.
const LEAST_REST: Duration = Duration::from_millis(10);

/// Rest after a step, as a multiple of its duration: sweeping takes at most a third of the disk's
/// time.
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

/// Logs when a wrong clock begins to block the sweep, and when it ends.
fn tell_of_clock(before: bool, now: bool) {
    match (before, now) {
        (false, true) => tracing::warn!(
            "pruning stopped at callbacks from the future: the clock is more than 10 minutes behind; set it right"
        ),
        (true, false) => tracing::info!("old history is pruned again: the clock is right"),
        (false, false) | (true, true) => {}
    }
}

/// What one sweep has removed; logged at its end, even if the service stops meanwhile.
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

/// Removes everything due; answers whether a wrong clock blocks the rest.
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
