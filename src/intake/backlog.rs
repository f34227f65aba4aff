//! How many callbacks are on their way into the store, and how long a sender waits.
//!
//! When callbacks come faster than the disk takes them, the wait must not move into memory:
//! those that find no slot in time are asked to come again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The limits of a backlog.
#[derive(Debug, Clone, Copy)]
pub struct BacklogLimits {
    /// Callbacks in the store's queue, those that are being committed included.
    pub slots: usize,
    /// How long a callback waits for a slot. One that finds none is not stored.
    pub slot_within: Duration,
    /// How long a sender waits from then on for the commit.
    pub stored_within: Duration,
}

impl BacklogLimits {
    /// The service's. A quarter of what the store commits at once: writes of the workers never
    /// wait for more callbacks than these, so deliveries go on in any flood.
    pub const SERVICE: Self = Self {
        slots: 256,
        slot_within: Duration::from_secs(2),
        stored_within: Duration::from_secs(5),
    };
}

/// The callbacks on their way into the store.
#[derive(Debug, Clone)]
pub struct Backlog {
    slots: Arc<Semaphore>,
    limits: BacklogLimits,
}

/// A slot in the backlog; dropped, it is free again.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Backlog {
    /// An empty one.
    pub fn new(limits: BacklogLimits) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(limits.slots)),
            limits,
        }
    }

    /// A slot, unless none comes free in time.
    pub(super) async fn slot(&self) -> Option<Slot> {
        let free = Arc::clone(&self.slots).acquire_owned();
        let permit = timeout(self.limits.slot_within, free).await.ok()?;
        permit.ok().map(|permit| Slot { _permit: permit })
    }

    pub(super) const fn stored_within(&self) -> Duration {
        self.limits.stored_within
    }
}
