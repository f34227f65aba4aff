//! Wakes the claiming loop.
//!
//! Whoever makes a task due wakes it always; whoever frees a permit only when the loop could
//! use it: a service whose lanes have room is not woken for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Told by whoever makes a task due or a permit free.
#[derive(Debug, Default)]
pub struct Waker {
    notify: Notify,
    /// Whether a freed permit could be used: some lane had more due tasks than room.
    hungry: AtomicBool,
}

/// Tells the waker of a freed permit.
#[derive(Debug)]
pub(super) struct WakeOnDrop {
    pub(super) waker: Arc<Waker>,
    /// Whether a probe was begun. While it is under way nobody can say when the lane lets
    /// something through again, so its end wakes the loop, hungry or not.
    pub(super) probe: bool,
    /// Whether nobody can have missed what is freed.
    pub(super) silent: bool,
}

impl Waker {
    /// Lets the claiming loop look for due tasks.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits to be woken; returns at once when that happened since the last call.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Says whether freed permits should wake the loop.
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
