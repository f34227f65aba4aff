//! Ends the service when one of its essential parts ends.
//!
//! If a listener, a loop or a task's worker crashed and the process went on, it would look alive
//! and do no work, or leave a claim that nobody holds. Code that starts a part has it watched. `app`
//! waits for the first end, and exits with a code that makes the service manager restart it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Watches the parts of one service. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Supervisor(Arc<watch::Sender<Option<Ended>>>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} {how}")]
pub struct Ended {
    pub part: &'static str,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The log names the place.
    Crashed,
    /// It returned, but should not have.
    Returned,
    Failed(String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crashed => f.write_str("has crashed"),
            Self::Returned => f.write_str("has ended"),
            Self::Failed(reason) => write!(f, "has failed: {reason}"),
        }
    }
}

impl Supervisor {
    /// Runs `work`, which may return but must not panic. `None` if it panicked.
    pub async fn watch<T>(&self, part: &'static str, work: impl Future<Output = T>) -> Option<T> {
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        if ended.is_err() {
            self.ended(part, How::Crashed);
        }
        ended.ok()
    }

    pub async fn keep<T>(
        &self,
        part: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let ended = self.watch(part, work).await;
        if ended.is_some() && !stop.is_cancelled() {
            self.ended(part, How::Returned);
        }
        ended
    }

    /// Runs `work` until `stop` is cancelled; it must not return before.
    pub async fn keep_until(
        &self,
        part: &'static str,
        stop: &CancellationToken,
        work: impl Future<Output = ()>,
    ) {
        self.keep(part, stop, stop.run_until_cancelled(work)).await;
    }

    /// Reports that a part has ended. Only the first counts.
    pub fn ended(&self, part: &'static str, how: How) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(Ended { part, how });
            }
            is_first
        });
    }

    pub async fn first(&self) -> Ended {
        let mut seen = self.0.subscribe();
        loop {
            if let Some(ended) = seen.borrow_and_update().clone() {
                return ended;
            }
            if seen.changed().await.is_err() {
                // Unreachable: `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn seen(supervisor: &Supervisor) -> Option<Ended> {
        supervisor.first().now_or_never()
    }

    #[tokio::test]
    async fn crash_and_end_before_the_stop_are_noticed_and_the_first_counts() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::default();
        let others = supervisor.clone();
        assert_eq!(others.watch("a task", ready(7)).await, Some(7));
        assert_eq!(seen(&supervisor), None);
        others.keep("the loop", &stop, ready(())).await;
        let crash = async { panic!("planted") };
        assert_eq!(others.watch::<()>("a task", crash).await, None);
        let first = Ended {
            part: "the loop",
            how: How::Returned,
        };
        assert_eq!(seen(&supervisor), Some(first));
        assert_eq!(seen(&supervisor).unwrap().to_string(), "the loop has ended");
    }

    #[tokio::test]
    async fn crash_of_a_kept_part_is_noticed_also_after_the_stop() {
        let stop = CancellationToken::new();
        stop.cancel();
        let supervisor = Supervisor::default();
        supervisor.keep("the loop", &stop, ready(())).await;
        supervisor.keep_until("the loop", &stop, pending()).await;
        assert_eq!(seen(&supervisor), None);
        let crash = async { panic!("planted") };
        let kept: Option<()> = supervisor.keep("the loop", &stop, crash).await;
        assert_eq!(kept, None);
        let crashed = Ended {
            part: "the loop",
            how: How::Crashed,
        };
        assert_eq!(seen(&supervisor), Some(crashed));
    }
}
