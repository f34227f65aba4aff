//! Waits for the store while it is unavailable.
//!
//! Nothing is claimed meanwhile: if we cannot store that a step finished, the next process will
//! repeat it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Pause between two tries of an unavailable store.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Default)]
pub struct StoreOutage {
    waiting: usize,
    /// Why nothing is claimed at present; `None` while the store works.
    pub why: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Outages(Arc<watch::Sender<StoreOutage>>);

/// Somebody who may have to wait for the store; dropping it ends the wait.
pub(super) struct Outage {
    outages: Outages,
    waits: bool,
}

impl Outages {
    pub(super) fn subscribe(&self) -> watch::Receiver<StoreOutage> {
        self.0.subscribe()
    }

    pub(super) async fn over(&self) {
        // We hold the sender, so this cannot fail.
        let _ = self
            .subscribe()
            .wait_for(|paused| paused.waiting == 0)
            .await;
    }

    pub(super) fn outage(&self) -> Outage {
        Outage {
            outages: self.clone(),
            waits: false,
        }
    }
}

impl Outage {
    pub(super) async fn wait(&mut self, cause: &impl fmt::Display) {
        let begins = !std::mem::replace(&mut self.waits, true);
        self.outages.0.send_modify(|paused| {
            paused.waiting += usize::from(begins);
            paused.why = Some(cause.to_string());
        });
        tokio::time::sleep(STORE_PAUSE).await;
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if self.waits {
            self.outages.0.send_modify(|paused| {
                paused.waiting -= 1;
                if paused.waiting == 0 {
                    paused.why = None;
                }
            });
        }
    }
}
