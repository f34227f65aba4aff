//! Forgets history that has outlived its retention, in small steps.

use std::time::Duration;

use super::Workers;
use super::pause::STORE_PAUSE;
use crate::store::{Pruned, Unavailable};

/// Between two looks for history that has outlived its retention.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

pub(super) async fn sweep_loop(workers: Workers) {
    loop {
        match sweep_once(&workers).await {
            // Small steps with pauses: pruning must not hold the writer from callbacks.
            Ok(pruned) if pruned.more => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(_) => tokio::time::sleep(SWEEP_EVERY).await,
            Err(_) => tokio::time::sleep(STORE_PAUSE).await,
        }
    }
}

async fn sweep_once(workers: &Workers) -> Result<Pruned, Unavailable> {
    let pruned = workers
        .parts
        .store
        .prune(workers.parts.retention, workers.parts.clock.present())
        .await?;
    if pruned.bodies + pruned.tasks + pruned.events > 0 {
        tracing::info!(
            bodies = pruned.bodies,
            tasks = pruned.tasks,
            events = pruned.events,
            "pruned old history"
        );
    }
    Ok(pruned)
}
