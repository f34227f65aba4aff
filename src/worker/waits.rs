//! Lets tasks go on once a rules file has again what they wait for.
//!
//! Looked at when the service starts and when another rules file is put in force, thing by
//! thing, not task by task: what still is not there costs nothing until the next time.

use super::{InForce, Workers};
use crate::model::task::Lane;
use crate::model::wait::Outside;
use crate::store::{Store, Unavailable};

pub(super) async fn waits_loop(workers: Workers) {
    loop {
        let mut patience = workers.pauses.patience();
        while let Err(error) = workers.release_once().await {
            tracing::error!(%error, "tasks that waited cannot go on: the store cannot be used");
            patience.wait(&error).await;
        }
        drop(patience);
        workers.parts.lanes.replaced().await;
    }
}

impl Workers {
    /// Releases every task that waits for something that the file in force has.
    pub async fn release_once(&self) -> Result<(), Unavailable> {
        let (store, in_force) = (&*self.parts.store, (self.parts.in_force)());
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

/// Why what is waited for is not there; `None` when it is.
async fn lacking(
    on: &Outside,
    in_force: &InForce,
    store: &dyn Store,
) -> Result<Option<String>, Unavailable> {
    match on {
        Outside::Rule { revision, name } => {
            in_force.revisions.lacking(*revision, name, store).await
        }
        Outside::Lane(lane) => Ok(gone(lane, in_force)),
    }
}

/// Why nothing can be done in this lane; `None` when the file in force has it.
pub(super) fn gone(lane: &Lane, in_force: &InForce) -> Option<String> {
    let is_known = match lane {
        Lane::Bucket(name) => in_force.reach.buckets.contains_key(name),
        Lane::Destination(name) => in_force.reach.destinations.contains_key(name),
    };
    (!is_known).then(|| format!("{lane} is not in the rules file"))
}
