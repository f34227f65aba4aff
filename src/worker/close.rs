//! Brings a rename to a safe end when its task will not run it again.
//!
//! Before the commit point the copies are removed and the source stays the place; after
//! it the task only goes forward, be it cancelled.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::carry::message_of;
use super::ended::Ended;
use super::journal::Journal;
use super::run::{Dropped, Runner, Work};
use crate::action::Stopped;
use crate::action::rename::{self, Undo};
use crate::clock::Clock;
use crate::model::failure::{Failure, FailureKind};
use crate::model::transition::{Ran, Transition, settle};
use crate::rules::rule::Action;

impl Runner {
    /// What is decided, once the step can be left. A step that is past its commit point is
    /// not left: it is tried again.
    pub(super) async fn close(
        &self,
        work: &Work<'_>,
        settled: Transition,
        ended: Ended,
    ) -> Result<(Transition, Ended), Dropped> {
        let decided = if self.cancel.is_cancelled() {
            cancelled(&settled)
        } else {
            settled.clone()
        };
        let is_rename = matches!(work.step.action, Action::Rename(_));
        if !is_rename || !leaves_step(&decided) || ended.ran == Ran::Passed {
            return Ok((decided, ended));
        }
        let closed = match self.undo(work).await {
            Ok(Undo::Undone { kept }) if kept.is_empty() => decided,
            Ok(Undo::Undone { kept }) => {
                let places: Vec<String> = kept.iter().map(ToString::to_string).collect();
                told(
                    work,
                    decided,
                    &format!("copies are left: {}", places.join(", ")),
                )
            }
            Ok(Undo::GoesForward) if decided == Transition::Cancel => forward(settled),
            Ok(Undo::GoesForward) => decided,
            Err(Stopped::LeaseLost) => return Err(Dropped),
            Err(Stopped::Failed { failure, .. }) if decided == Transition::Cancel => {
                undo_again(work, &failure, &*self.parts.clock)
            }
            Err(Stopped::Failed { failure, .. }) => told(work, decided, &failure.reason),
            Err(Stopped::Unavailable(_) | Stopped::Interrupted) => Transition::HandBack,
        };
        Ok((closed, ended))
    }

    /// Removes the copies, unless the service's grace time ends first: the next start does.
    async fn undo(&self, work: &Work<'_>) -> Result<Undo, Stopped> {
        let unheard = CancellationToken::new();
        let mut journal = Journal {
            store: &*self.parts.store,
            claim: work.claim,
            committed: &work.committed,
            stop: &unheard,
        };
        let undo = rename::undo(work.reach, work.place(), &mut journal);
        let undo = AssertUnwindSafe(undo).catch_unwind();
        match self.interrupt.run_until_cancelled(undo).await {
            None => Err(Stopped::Interrupted),
            Some(Ok(undone)) => undone,
            Some(Err(panic)) => {
                let reason = format!("removing the copies crashed: {}", message_of(&*panic));
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
        Transition::RetryAfter { .. } | Transition::Wait { .. } | Transition::HandBack
    )
}

/// How a cancelled task goes on that is past its commit point. What stopped it was the
/// request to cancel, which stops it no more, or a failure, which is retried like any.
fn forward(settled: Transition) -> Transition {
    match settled {
        Transition::Cancel => Transition::HandBack,
        Transition::RetryAfter { .. } | Transition::Wait { .. } => settled,
        _ => Transition::Cancel,
    }
}

/// A cancelled task is not left while its copies can still be removed by another try.
fn undo_again(work: &Work<'_>, failure: &Failure, clock: &dyn Clock) -> Transition {
    let reason = work.revision.mask.apply(&failure.reason).into_owned();
    let failed = Ran::Failed(Failure {
        reason: reason.clone(),
        ..failure.clone()
    });
    match settle(work.standing(), failed, clock.now(), clock.jitter()) {
        again @ (Transition::RetryAfter { .. } | Transition::Wait { .. }) => again,
        _ => told(work, Transition::Cancel, &reason),
    }
}

/// Says what is left where: in the reason of a dead task, else in the log.
fn told(work: &Work<'_>, decided: Transition, left: &str) -> Transition {
    let left = work.revision.mask.apply(left);
    match decided {
        Transition::Bury { mut why } => {
            why.reason = format!("{}; {left}", why.reason);
            Transition::Bury { why }
        }
        other => {
            tracing::warn!(task_id = %work.claim.task().id, %left, "a rename was given up");
            other
        }
    }
}
