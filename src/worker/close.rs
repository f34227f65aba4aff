//! Brings a rename to a safe end when its task will not run it again.
//!
//! Before the commit point the copies are removed and the source stays the place; after
//! it the task only goes forward.

use tokio_util::sync::CancellationToken;

use super::ended::Ended;
use super::journal::Journal;
use super::run::{Dropped, Runner, Work};
use crate::action::Stopped;
use crate::action::rename::{self, Undo};
use crate::clock;
use crate::model::failure::{Failure, FailureKind};
use crate::model::transition::{Ran, Transition, settle};
use crate::rules::rule::Action;

impl Runner {
    /// What is decided, once the step can be left. A step that is past its commit point is
    /// not left: it is tried again.
    pub(super) async fn close(
        &self,
        work: &Work<'_>,
        decided: Transition,
        ended: Ended,
    ) -> Result<(Transition, Ended), Dropped> {
        let decided = if self.cancel.is_cancelled() {
            cancelled(decided)
        } else {
            decided
        };
        let is_rename = matches!(work.step.action, Action::Rename(_));
        if !is_rename || !leaves_step(&decided) || ended.ran == Ran::Passed {
            return Ok((decided, ended));
        }
        let unheard = CancellationToken::new();
        let mut journal = Journal {
            store: &*self.parts.store,
            claim: work.claim,
            stop: &unheard,
        };
        match rename::undo(&self.parts.reach, work.place(), &mut journal).await {
            Ok(Undo::Undone { kept }) if kept.is_empty() => Ok((decided, ended)),
            Ok(Undo::Undone { kept }) => {
                let places: Vec<String> = kept.iter().map(ToString::to_string).collect();
                Ok((
                    told(decided, &format!("copies are left: {}", places.join(", "))),
                    ended,
                ))
            }
            Ok(Undo::GoesForward) if decided == Transition::Cancel => {
                let why = Failure::new(
                    FailureKind::Unavailable,
                    "cancelled after the recording was moved: the old objects are removed first",
                );
                Ok((again(work, why), ended))
            }
            Ok(Undo::GoesForward) => Ok((decided, ended)),
            Err(Stopped::LeaseLost) => Err(Dropped),
            Err(Stopped::Failed { failure, .. }) => Ok((told(decided, &failure.reason), ended)),
            Err(Stopped::Unavailable(_) | Stopped::Interrupted) => {
                Ok((Transition::HandBack, ended))
            }
        }
    }
}

fn again(work: &Work<'_>, why: Failure) -> Transition {
    settle(
        work.standing(),
        Ran::Failed(why),
        clock::now(),
        clock::jitter(),
    )
}

/// A cancelled task takes no further step.
fn cancelled(decided: Transition) -> Transition {
    match decided {
        Transition::Finish | Transition::Bury { .. } => decided,
        _ => Transition::Cancel,
    }
}

fn leaves_step(decided: &Transition) -> bool {
    !matches!(
        decided,
        Transition::RetryAt { .. } | Transition::Wait { .. } | Transition::HandBack
    )
}

/// Says in the reason of a dead task what is left where.
fn told(decided: Transition, left: &str) -> Transition {
    match decided {
        Transition::Bury { mut why } => {
            why.reason = format!("{}; {left}", why.reason);
            Transition::Bury { why }
        }
        other => other,
    }
}
