//! A disk under SQLite whose commits a test can hold and release one by one.

use std::sync::{Arc, Condvar, Mutex};

use aftertake::store::sqlite::AroundCommit;

use super::TOO_LONG;

#[derive(Default)]
pub(crate) struct Disk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_held: bool,
    /// Commits that may pass although the disk is held.
    free: usize,
    /// Operations in the largest commit.
    largest: usize,
}

impl Disk {
    /// The hook to open a store with.
    pub(crate) fn around(self: &Arc<Self>) -> AroundCommit {
        let disk = Arc::clone(self);
        Arc::new(move |operations, commit| {
            disk.pass(operations);
            commit();
        })
    }

    /// Waits while commits are held, up to a limit: a test that fails must end.
    fn pass(&self, operations: usize) {
        let mut state = self.state.lock().unwrap();
        state.largest = state.largest.max(operations);
        let waits = |state: &mut State| state.is_held && state.free == 0;
        let waited = self.changed.wait_timeout_while(state, TOO_LONG, waits);
        let (mut state, _) = waited.unwrap();
        state.free = state.free.saturating_sub(1);
    }

    pub(crate) fn hold(&self) {
        self.set(|state| state.is_held = true);
    }

    /// Lets this many commits pass, the waiting one included.
    pub(crate) fn let_go(&self, commits: usize) {
        self.set(|state| state.free += commits);
    }

    pub(crate) fn release(&self) {
        self.set(|state| state.is_held = false);
    }

    pub(crate) fn largest(&self) -> usize {
        self.state.lock().unwrap().largest
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}
