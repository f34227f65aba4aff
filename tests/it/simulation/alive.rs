//! Whether a process is alive. Everything that it does to the outside passes here.
//!
//! A dead process stops: whatever it awaits never completes. A lingering process sends nothing
//! new, but earlier requests may still be answered, and it still writes to the store that the
//! next process serves: that is what claims protect against.

use std::future::pending;
use std::sync::Mutex;

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Alive,
    Lingers,
    Dead,
}

pub(super) struct Alive {
    state: Mutex<(State, Option<Crash>)>,
    crashed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Crash {
    /// Points to pass before the crash.
    after: u64,
    into: State,
}

impl Alive {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new((State::Alive, None)),
            crashed: Notify::new(),
        }
    }

    /// Crashes after this many points; a point is before or after an effect.
    pub(super) fn crash_after(&self, points: u64, into: State) {
        let after = points;
        self.state.lock().unwrap().1 = Some(Crash { after, into });
    }

    pub(super) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    pub(super) fn crash_no_more(&self) {
        self.state.lock().unwrap().1 = None;
    }

    pub(super) fn end(&self) {
        *self.state.lock().unwrap() = (State::Dead, None);
    }

    /// Before something new is requested.
    pub(super) async fn begins(&self) {
        if self.pass() != State::Alive {
            pending::<()>().await;
        }
    }

    /// Before and after a store call, and when a response arrives.
    pub(super) async fn goes_on(&self) {
        if self.pass() == State::Dead {
            pending::<()>().await;
        }
    }

    fn pass(&self) -> State {
        let (state, crash) = &mut *self.state.lock().unwrap();
        if let Some(Crash { after, into }) = crash {
            if *after == 0 {
                *state = *into;
                *crash = None;
                self.crashed.notify_one();
            } else {
                *after -= 1;
            }
        }
        *state
    }
}
