//! Who waits for the store to come back, and why nothing is claimed meanwhile.
//!
//! Nothing is claimed while anybody waits: the effect of a step whose end cannot be
//! stored would be had again by the next process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long to leave a store alone that could not answer.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Whether workers wait for the store.
#[derive(Debug, Clone, Default)]
pub struct Paused {
    waiting: usize,
    /// Why nothing is claimed for the time being; `None` while all is well.
    pub why: Option<String>,
}

/// Counts those who wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Pauses(Arc<watch::Sender<Paused>>);

/// One who may have to wait. Whoever drops it waits no longer.
pub(super) struct Patience {
    pauses: Pauses,
    waits: bool,
}

impl Pauses {
    pub(super) fn subscribe(&self) -> watch::Receiver<Paused> {
        self.0.subscribe()
    }

    /// Waits until nobody waits for the store.
    pub(super) async fn over(&self) {
        // The sender is alive as long as we are, so there is an end to wait for.
        let _ = self
            .subscribe()
            .wait_for(|paused| paused.waiting == 0)
            .await;
    }

    pub(super) fn patience(&self) -> Patience {
        Patience {
            pauses: self.clone(),
            waits: false,
        }
    }
}

impl Patience {
    /// Leaves the store alone for a while.
    pub(super) async fn wait(&mut self, cause: &impl fmt::Display) {
        let begins = !std::mem::replace(&mut self.waits, true);
        self.pauses.0.send_modify(|paused| {
            paused.waiting += usize::from(begins);
            paused.why = Some(cause.to_string());
        });
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if self.waits {
            self.pauses.0.send_modify(|paused| {
                paused.waiting -= 1;
                if paused.waiting == 0 {
                    paused.why = None;
                }
            });
        }
    }
}
