//! Limits how many callbacks wait for the store, and for how long.
//!
//! When callbacks arrive faster than the disk stores them, they must not pile up in memory: a
//! callback that gets no slot in time is refused, and the sender has to repeat it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

#[derive(Debug, Clone, Copy)]
pub struct BacklogLimits {
    /// Callbacks in the store's queue, including those being committed.
    pub slots: usize,
    /// How long a callback waits for a slot. Without one it is not stored.
    pub slot_within: Duration,
    /// How long a sender with a slot waits for the commit.
    pub stored_within: Duration,
}

impl BacklogLimits {
    /// The service's limits. The slots are a quarter of a commit's batch: a worker's write never
    /// waits for more callbacks than that, so tasks run in any flood.
    pub const SERVICE: Self = Self {
        slots: 256,
        slot_within: Duration::from_secs(2),
        stored_within: Duration::from_secs(5),
    };
}

#[derive(Debug, Clone)]
pub struct Backlog {
    slots: Arc<Semaphore>,
    limits: BacklogLimits,
}

/// A slot in the backlog. Dropping it releases it.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Backlog {
    pub fn new(limits: BacklogLimits) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(limits.slots)),
            limits,
        }
    }

    pub(super) async fn slot(&self) -> Option<Slot> {
        let free = Arc::clone(&self.slots).acquire_owned();
        let permit = timeout(self.limits.slot_within, free).await.ok()?;
        permit.ok().map(|permit| Slot { _permit: permit })
    }

    pub(super) const fn stored_within(&self) -> Duration {
        self.limits.stored_within
    }
}
