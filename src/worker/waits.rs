//! Releases tasks once the rules file has what they wait for.
//!
//! Checked at the start and after a reload, for each thing rather than for each task: what is still
//! missing costs nothing until the next check.

use super::Workers;
use crate::in_force::Snapshot;
use crate::model::wait::Outside;
use crate::store::{Store, Unavailable};

pub(super) async fn waits_loop(workers: Workers) {
    loop {
        let mut outage = workers.outages.outage();
        while let Err(error) = workers.release_once().await {
            tracing::error!(%error, "tasks that waited cannot go on: the store cannot be used");
            outage.wait(&error).await;
        }
        drop(outage);
        workers.parts.lanes.replaced().await;
    }
}

impl Workers {
    /// Releases every task that waits for something that the file in force has.
    pub async fn release_once(&self) -> Result<(), Unavailable> {
        let (store, in_force) = (&*self.parts.store, self.parts.in_force.get());
        for on in store.waits().await? {
            match lacking(&on, &in_force, store).await? {
                Some(why) => tracing::warn!(%on, why, "tasks wait"),
                None => self.release(&on).await?,
            }
        }
        Ok(())
    }

    async fn release(&self, on: &Outside) -> Result<(), Unavailable> {
        loop {
            let now = self.parts.clock.now();
            let more = self.parts.store.release(on.clone(), now).await?;
            self.parts.lanes.waker().wake();
            if !more {
                return Ok(());
            }
        }
    }
}

/// Why the thing is missing; `None` when it is there.
async fn lacking(
    on: &Outside,
    in_force: &Snapshot,
    store: &dyn Store,
) -> Result<Option<String>, Unavailable> {
    match on {
        Outside::Rule { revision, name } => {
            in_force.revisions.lacking(*revision, name, store).await
        }
        Outside::Lane(lane) => Ok(in_force.lacks(lane)),
    }
}
