//! Ends a rename safely when its task will not run it again.
//!
//! Before the commit point the copies are removed and the source stays the recording's place. After
//! it the task only goes forward, even if cancelled.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::step::waits_for;
use super::task::{Dropped, Runner, TaskRun};
use crate::action::Stopped;
use crate::action::rename::{self, Undo};
use crate::model::failure::{Failure, FailureKind, crash};
use crate::model::moves::keys::TakenBy;
use crate::model::transition::{Budget, OnFailure, Ran, Transition, settle};

/// How a claim ends, and what its step has left behind.
pub(super) struct Closed {
    pub(super) transition: Transition,
    /// What is left behind and where, for a person.
    pub(super) leaves: Option<String>,
}

impl From<Transition> for Closed {
    fn from(transition: Transition) -> Self {
        Self {
            transition,
            leaves: None,
        }
    }
}

impl Runner {
    /// The final decision. A step past its commit point cannot be left: it is tried again, or waits
    /// for a person. If copies cannot be removed now, the claim ends and their removal is tried
    /// again.
    pub(super) async fn close(
        &self,
        work: &TaskRun<'_>,
        settled: Transition,
        ran: &Ran,
    ) -> Result<Closed, Dropped> {
        let decided = if self.cancel.is_cancelled() {
            cancelled(&settled)
        } else {
            settled.clone()
        };
        if !work.step.action.moves() || !leaves_step(&decided) || *ran == Ran::Passed {
            return Ok(decided.into());
        }
        Ok(match self.undo(work).await {
            Ok(Undo::Undone { left: None }) => decided.into(),
            // A person has decided, also if the move was tried once more.
            Ok(Undo::Undone { left: Some(left) }) if self.cancel.is_cancelled() => {
                with_what_is_left(work, Transition::Cancel, &left)
            }
            // Even if the step ignores failures: a person has to decide about the copies.
            Ok(Undo::Undone { left: Some(left) }) => {
                with_what_is_left(work, self.dead(work, decided, ran), &left)
            }
            Ok(Undo::GoesForward { left }) if decided == Transition::Cancel => Closed {
                transition: forward(settled),
                leaves: Some(work.revision.mask.apply(&left).into_owned()),
            },
            Ok(Undo::GoesForward { left }) => match self.dead(work, decided, ran) {
                dead @ Transition::Bury { .. } => to_complete(with_what_is_left(work, dead, &left)),
                other => other.into(),
            },
            Ok(Undo::Waits { taken, left }) => {
                let wait = match taken.by {
                    TakenBy::Late(until) => until.since(self.parts.clock.now()),
                    _ => Duration::ZERO,
                };
                let left = format!("{left}: {}", waits_for(&taken));
                self.undo_later(work, wait, (decided, ran), &left)
            }
            Err(Stopped::LeaseLost) => return Err(Dropped),
            Err(Stopped::Failed { failure, .. }) => {
                let wait = self.next_undo(work, *failure.clone());
                self.undo_later(work, wait, (decided, ran), &failure.reason)
            }
            Err(Stopped::Unavailable(reason)) => {
                tracing::error!(reason, "a rename was not undone: the store cannot be used");
                self.leave_alone(&reason).await;
                Transition::HandBack.into()
            }
            Err(Stopped::KeyTaken(taken)) => {
                let wait = work.rule.retry.longest;
                self.undo_later(work, wait, (decided, ran), &waits_for(&taken))
            }
            Err(Stopped::Interrupted) => Transition::HandBack.into(),
        })
    }

    /// When to try again to remove the copies. The task is not left before that succeeds, whatever
    /// its retry policy says.
    fn next_undo(&self, work: &TaskRun<'_>, failure: Failure) -> Duration {
        let (now, jitter) = (self.parts.clock.now(), self.parts.clock.jitter());
        match settle(work.budget(), Ran::Failed(failure), now, jitter) {
            Transition::RetryAfter { wait, .. } | Transition::Await { wait, .. } => wait,
            _ => work.rule.retry.longest,
        }
    }

    fn undo_later(
        &self,
        work: &TaskRun<'_>,
        wait: Duration,
        end: (Transition, &Ran),
        left: &str,
    ) -> Closed {
        let left = work.revision.mask.apply(left).into_owned();
        let given_up = match end {
            _ if self.cancel.is_cancelled() => None,
            (Transition::Bury { why, .. }, _) => Some(why),
            (_, Ran::Failed(why) | Ran::GivenUp(why)) => Some(why.clone()),
            _ => None,
        };
        tracing::warn!(task_id = %work.claim.task().id, %left, again_in_ms = wait.as_millis(), "a rename is given up, but its copies cannot be removed yet");
        Closed {
            transition: Transition::Undo { wait, given_up },
            leaves: Some(left),
        }
    }

    /// The end of a task whose recording is past its commit point, or that leaves copies. It is
    /// dead even if the step ignores failures: old and new objects are there until it is tried
    /// again.
    fn dead(&self, work: &TaskRun<'_>, decided: Transition, ran: &Ran) -> Transition {
        let goes_on = matches!(decided, Transition::Advance(_) | Transition::Finish);
        if !goes_on || !matches!(ran, Ran::Failed(_) | Ran::GivenUp(_)) {
            return decided;
        }
        let budget = Budget {
            on_failure: OnFailure::Stop,
            ..work.budget()
        };
        let (now, jitter) = (self.parts.clock.now(), self.parts.clock.jitter());
        settle(budget, ran.clone(), now, jitter)
    }

    /// Removes the copies. If the grace time ends first, the next process does.
    async fn undo(&self, work: &TaskRun<'_>) -> Result<Undo, Stopped> {
        let unheard = CancellationToken::new();
        let gained = AtomicBool::new(false);
        let mut journal = Journal {
            store: &*self.parts.store,
            claim: work.claim,
            clock: &*self.parts.clock,
            committed: &work.committed,
            gained: &gained,
            stop: &unheard,
        };
        // Boxed: few tasks need this much memory.
        let undo = Box::pin(rename::undo(&work.in_force.reach, &mut journal));
        let undo = AssertUnwindSafe(undo).catch_unwind();
        match self.interrupt.run_until_cancelled(undo).await {
            None => Err(Stopped::Interrupted),
            Some(Ok(undone)) => undone,
            Some(Err(panic)) => {
                let reason = format!("removing the copies crashed: {}", crash(&*panic));
                Err(Failure::new(FailureKind::Panic, reason).into())
            }
        }
    }
}

/// A cancelled task takes no further step.
fn cancelled(settled: &Transition) -> Transition {
    match settled {
        Transition::Finish | Transition::Bury { .. } => settled.clone(),
        _ => Transition::Cancel,
    }
}

fn leaves_step(decided: &Transition) -> bool {
    !matches!(
        decided,
        Transition::RetryAfter { .. }
            | Transition::Await { .. }
            | Transition::Wait { .. }
            | Transition::Undo { .. }
            | Transition::HandBack
    )
}

/// How a cancelled task past its commit point continues: if only the request to cancel stopped it,
/// at once; after a failure, as after any failure.
fn forward(settled: Transition) -> Transition {
    match settled {
        Transition::Cancel => Transition::HandBack,
        Transition::RetryAfter { .. } | Transition::Await { .. } | Transition::Wait { .. } => {
            settled
        }
        _ => Transition::Cancel,
    }
}

/// Reports what is left where: in the reason of a dead task, and in the log.
fn with_what_is_left(work: &TaskRun<'_>, decided: Transition, left: &str) -> Closed {
    let left = work.revision.mask.apply(left).into_owned();
    tracing::warn!(task_id = %work.claim.task().id, %left, "a rename was given up");
    let transition = match decided {
        Transition::Bury { mut why, notice } => {
            if !why.reason.contains(&left) {
                why.reason = format!("{}; {left}", why.reason);
            }
            Transition::Bury { why, notice }
        }
        other => other,
    };
    Closed {
        transition,
        leaves: Some(left),
    }
}

fn to_complete(mut closed: Closed) -> Closed {
    if let Transition::Bury { why, .. } = &mut closed.transition {
        why.reason.push_str("; retry the task to complete the move");
    }
    closed
}
