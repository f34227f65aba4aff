//! Makes one operation of a run fail, chosen by number or name.
//!
//! Every operation of the store and of the journal asks [`Faults`]. Its effect runs on a
//! separate task and completes even if the run that asked for it is dropped, as a server goes
//! on when its client dies. [`Faults::quiet`] waits for all effects.

use std::future::{Future, pending};
use std::sync::Mutex;

use aftertake::model::failure::{Failure, FailureKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::in_time;

#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// It fails without an effect.
    Fails,
    /// It takes effect, and the response is lost.
    AnswerIsLost,
    /// The process dies before the effect.
    DiesBefore,
    /// The process dies after the effect.
    DiesAfter,
    /// Our credentials are refused; no effect.
    Locks,
    /// It panics without an effect; the caller goes on.
    Panics,
}

impl How {
    /// The failures after which a run must be resumed.
    pub(crate) const ALL: [Self; 4] = [
        Self::Fails,
        Self::AnswerIsLost,
        Self::DiesBefore,
        Self::DiesAfter,
    ];
}

type Check = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// The operation with this number, from 0.
    Number(usize),
    /// The first operation of this name.
    First(&'static str),
}

#[derive(Default)]
pub(crate) struct Faults {
    fault: Mutex<Option<(Which, How)>>,
    /// An operation to hold before its effect.
    hold: Mutex<Option<Which>>,
    held: Notify,
    release: Notify,
    /// Operation names, in starting order.
    log: Mutex<Vec<&'static str>>,
    check: Mutex<Option<Check>>,
    dead: Mutex<CancellationToken>,
    effects: TaskTracker,
}

impl Faults {
    /// Makes one operation fail from now on.
    pub(crate) fn break_at(&self, which: Which, how: How) {
        self.log.lock().unwrap().clear();
        *self.fault.lock().unwrap() = Some((which, how));
        *self.dead.lock().unwrap() = CancellationToken::new();
    }

    pub(crate) fn mend(&self) {
        self.log.lock().unwrap().clear();
        *self.fault.lock().unwrap() = None;
        *self.dead.lock().unwrap() = CancellationToken::new();
    }

    /// Holds the first operation of this name before its effect.
    pub(crate) fn hold(&self, name: &'static str) {
        self.log.lock().unwrap().clear();
        *self.hold.lock().unwrap() = Some(Which::First(name));
    }

    pub(crate) async fn held(&self) {
        in_time(self.held.notified()).await;
    }

    pub(crate) fn release(&self) {
        *self.hold.lock().unwrap() = None;
        self.release.notify_one();
    }

    /// Calls `check` with the operation's name after each effect.
    pub(crate) fn check_after_each(&self, check: impl Fn(&str) + Send + Sync + 'static) {
        *self.check.lock().unwrap() = Some(Box::new(check));
    }

    pub(crate) fn log(&self) -> Vec<&'static str> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn died(&self) {
        let dead = self.dead.lock().unwrap().clone();
        dead.cancelled().await;
    }

    pub(crate) async fn quiet(&self) {
        self.effects.close();
        self.effects.wait().await;
        self.effects.reopen();
    }

    /// Carries out one operation, unless it is the one to fail.
    pub(crate) async fn pass<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        name: &'static str,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (how, held) = self.begin(name);
        if held {
            self.held.notify_one();
            self.release.notified().await;
        }
        match how {
            Some(How::Fails) => {
                return Err(Failure::new(FailureKind::Unavailable, "broken by the test"));
            }
            Some(How::Locks) => {
                return Err(Failure::new(FailureKind::Credentials, "locked by the test"));
            }
            Some(How::DiesBefore) => self.die().await,
            Some(How::Panics) => panic!("broken by the test"),
            _ => {}
        }
        let gate = std::sync::Arc::clone(self);
        let result = self.effects.spawn(async move {
            let result = effect.await;
            if let Some(check) = &*gate.check.lock().unwrap() {
                check(name);
            }
            result
        });
        let result = result.await.expect("the check after an effect holds");
        match how {
            Some(How::AnswerIsLost) => Err(Failure::new(
                FailureKind::Unknown,
                "answer lost by the test",
            )),
            Some(How::DiesAfter) => self.die().await,
            _ => Ok(result),
        }
    }

    /// How the operation fails, if at all, and whether it is held.
    fn begin(&self, name: &'static str) -> (Option<How>, bool) {
        let mut log = self.log.lock().unwrap();
        log.push(name);
        let is = |which: Which| match which {
            Which::Number(number) => number + 1 == log.len(),
            Which::First(one) => one == name && !log[..log.len() - 1].contains(&name),
        };
        let fault = *self.fault.lock().unwrap();
        let how = fault.filter(|(which, _)| is(*which)).map(|(_, how)| how);
        (how, self.hold.lock().unwrap().is_some_and(is))
    }

    async fn die<T>(&self) -> T {
        self.dead.lock().unwrap().cancel();
        pending().await
    }
}
