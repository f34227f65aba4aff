//! Whether a process lives: everything that it does to the outside passes here.
//!
//! A dead one goes on nowhere: whatever it awaits never comes. One that lingers asks for
//! nothing new, but what it asked for before may still be answered, and it still writes to
//! the store that the next process serves: what the fence is for.

use std::future::pending;
use std::sync::Mutex;

use tokio::sync::Notify;

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Alive,
    Lingers,
    Dead,
}

/// The pulse of one process.
pub(super) struct Pulse {
    state: Mutex<(State, Option<Crash>)>,
    crashed: Notify,
}

/// A crash to come.
#[derive(Debug, Clone, Copy)]
struct Crash {
    /// Points to pass until then.
    after: u64,
    into: State,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new((State::Alive, None)),
            crashed: Notify::new(),
        }
    }

    /// Crashes after so many points: before or after the effect of something.
    pub(super) fn crash_after(&self, points: u64, into: State) {
        let after = points;
        self.state.lock().unwrap().1 = Some(Crash { after, into });
    }

    /// Waits for that crash.
    pub(super) async fn crashed(&self) {
        self.crashed.notified().await;
    }

    /// Does not crash, unless it has.
    pub(super) fn crash_no_more(&self) {
        self.state.lock().unwrap().1 = None;
    }

    /// Ends in good order.
    pub(super) fn end(&self) {
        *self.state.lock().unwrap() = (State::Dead, None);
    }

    /// Before something new is asked for.
    pub(super) async fn begins(&self) {
        if self.pass() != State::Alive {
            pending::<()>().await;
        }
    }

    /// Before and after a call of the store, and when an answer comes.
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
