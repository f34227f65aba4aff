//! A disk whose commits a test holds and lets go, one by one.

use std::sync::{Arc, Condvar, Mutex};

use aftertake::store::sqlite::AroundCommit;

use super::TOO_LONG;

/// The disk.
#[derive(Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_held: bool,
    /// Commits that are let go all the same.
    free: usize,
    /// Operations in the largest commit.
    largest: usize,
}

impl Disk {
    /// What a store is opened with.
    pub(crate) fn around(self: &Arc<Self>) -> AroundCommit {
        let disk = Arc::clone(self);
        Arc::new(move |operations, commit| {
            disk.pass(operations);
            commit();
        })
    }

    /// Waits while commits are held. Not for ever: a test that fails must end.
    fn pass(&self, operations: usize) {
        let mut state = self.state.lock().unwrap();
        state.largest = state.largest.max(operations);
        let waits = |state: &mut State| state.is_held && state.free == 0;
        let waited = self.changed.wait_timeout_while(state, TOO_LONG, waits);
        let (mut state, _) = waited.unwrap();
        state.free = state.free.saturating_sub(1);
    }

    /// Holds all commits from now on.
    pub(crate) fn hold(&self) {
        self.set(|state| state.is_held = true);
    }

    /// Lets this many commits go, the one that waits included.
    pub(crate) fn let_go(&self, commits: usize) {
        self.set(|state| state.free += commits);
    }

    /// Holds no commit any more.
    pub(crate) fn release(&self) {
        self.set(|state| state.is_held = false);
    }

    /// Operations in the largest commit until now.
    pub(crate) fn largest(&self) -> usize {
        self.state.lock().unwrap().largest
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}
