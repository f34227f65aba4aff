//! Wakes the claiming loop.
//!
//! A task made due always wakes it; a released permit only if the loop could use it, so that a
//! service with room in its lanes is not woken needlessly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Waker {
    notify: Notify,
    /// Whether the loop could use a released permit: some lane had more due tasks than room.
    hungry: AtomicBool,
}

/// Wakes the loop when a permit is released.
#[derive(Debug)]
pub(super) struct WakeOnDrop {
    pub(super) waker: Arc<Waker>,
    /// Whether a probe began. While one runs, nobody knows when the lane opens, so its end wakes
    /// the loop, hungry or not.
    pub(super) probe: bool,
    /// Whether nobody can have missed the released permit.
    pub(super) silent: bool,
}

impl Waker {
    /// Makes the loop claim again.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits to be woken; returns at once if that happened since the last call.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Sets whether released permits wake the loop.
    pub fn set_hungry(&self, hungry: bool) {
        self.hungry.store(hungry, Ordering::SeqCst);
    }
}

impl WakeOnDrop {
    pub(super) fn new(waker: &Arc<Waker>) -> Self {
        Self {
            waker: Arc::clone(waker),
            probe: false,
            silent: false,
        }
    }
}

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        let wakes = self.probe || self.waker.hungry.load(Ordering::SeqCst);
        if wakes && !self.silent {
            self.waker.wake();
        }
    }
}
