//! How many callbacks are on their way into the store, and how long a sender waits.
//!
//! When callbacks come faster than the disk takes them, the wait must not move into memory:
//! those that find no place in time are asked to come again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// What the callback listener puts up with.
#[derive(Debug, Clone, Copy)]
pub struct CrowdLimits {
    /// Callbacks in the store's queue, those that are being committed included.
    pub places: usize,
    /// How long a callback waits for a place. One that finds none is not stored.
    pub place_within: Duration,
    /// How long a sender waits from then on for the commit.
    pub stored_within: Duration,
}

impl CrowdLimits {
    /// The callback listener's. A quarter of what the store commits at once: writes of the
    /// workers never wait for more callbacks than these, so deliveries go on in any flood.
    pub const PUBLIC: Self = Self {
        places: 256,
        place_within: Duration::from_secs(2),
        stored_within: Duration::from_secs(5),
    };
}

/// The callbacks on their way into the store.
#[derive(Debug, Clone)]
pub struct Crowd {
    places: Arc<Semaphore>,
    limits: CrowdLimits,
}

/// A place in the crowd. Whoever drops it makes room for another.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(limits: CrowdLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.places)),
            limits,
        }
    }

    /// A place, unless none comes free in time.
    pub(super) async fn place(&self) -> Option<Place> {
        let free = Arc::clone(&self.places).acquire_owned();
        let place = timeout(self.limits.place_within, free).await.ok()?;
        place.ok().map(|permit| Place { _permit: permit })
    }

    pub(super) const fn stored_within(&self) -> Duration {
        self.limits.stored_within
    }
}
