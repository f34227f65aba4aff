//! `aftertake tasks retry` and `aftertake tasks cancel`.

use serde::Serialize;

use super::Which;
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::Answer;
use crate::cli::store;
use crate::clock;
use crate::model::id::TaskId;
use crate::store::Unavailable;
use crate::store::sqlite::{CancelOutcome, Desk, RetryOutcome};

/// What became of one task.
#[derive(Debug, Serialize)]
struct Change {
    id: TaskId,
    changed: bool,
    /// Its state now; `null` when it is not in the store.
    state: Option<&'static str>,
    told: String,
}

pub(super) fn retry(which: &Which) -> Result<Exit, Stop> {
    each(which, |desk, id| {
        Ok(match desk.retry(id, clock::now())? {
            RetryOutcome::Requeued => changed(id, "ready", "is ready again"),
            RetryOutcome::InState(state) => {
                let told = format!("is {state}; only dead and cancelled tasks can be retried");
                unchanged(id, Some(state), told)
            }
            RetryOutcome::Forgotten => {
                let told = "is too old: --retention has removed its callback's body, and with it what to work on";
                unchanged(id, Some("cancelled"), told.to_owned())
            }
            RetryOutcome::Unknown => unknown(id),
        })
    })
}

pub(super) fn cancel(which: &Which) -> Result<Exit, Stop> {
    each(which, |desk, id| {
        Ok(match desk.cancel(id, clock::now())? {
            CancelOutcome::Cancelled => changed(id, "cancelled", "is cancelled"),
            CancelOutcome::Requested => {
                let told = "is half done; the service brings it to a safe end";
                changed(id, "running", told)
            }
            CancelOutcome::InState(state) => {
                unchanged(id, Some(state), format!("is {state} already"))
            }
            CancelOutcome::Unknown => unknown(id),
        })
    })
}

fn changed(id: TaskId, state: &'static str, told: &str) -> Change {
    Change {
        id,
        changed: true,
        state: Some(state),
        told: told.to_owned(),
    }
}

fn unchanged(id: TaskId, state: Option<&'static str>, told: String) -> Change {
    Change {
        id,
        changed: false,
        state,
        told,
    }
}

fn unknown(id: TaskId) -> Change {
    let told = "is not in the store; `aftertake tasks list` shows those that are";
    unchanged(id, None, told.to_owned())
}

/// Changes one task after the other. What was done before the store failed is told, too.
fn each(
    which: &Which,
    act: impl Fn(&mut Desk, TaskId) -> Result<Change, Unavailable>,
) -> Result<Exit, Stop> {
    let mut desk = store::desk(&which.store.store)?;
    let mut changes = Vec::new();
    let mut failed = None;
    for &id in &which.ids {
        match act(&mut desk, id) {
            Ok(change) => changes.push(change),
            Err(error) => {
                failed = Some(store::unavailable(error));
                break;
            }
        }
    }
    let changes = Changes(changes);
    which.out.print(&changes)?;
    match failed.or_else(|| changes.refusal()) {
        Some(stop) => Err(stop),
        None => Ok(Exit::Fine),
    }
}

#[derive(Debug, Serialize)]
struct Changes(Vec<Change>);

impl Changes {
    /// One message for all tasks that could not be changed.
    fn refusal(&self) -> Option<Stop> {
        let refused = self.0.iter().filter(|change| !change.changed);
        let told: Vec<String> = refused.map(Change::line).collect();
        (!told.is_empty()).then(|| Stop::say(Exit::Failed, told.join("\n")))
    }
}

impl Change {
    fn line(&self) -> String {
        format!("{} {}", self.id, self.told)
    }
}

/// Those that could not be changed are told as an error.
impl Answer for Changes {
    fn text(&self, _: Option<usize>) -> String {
        let changed = self.0.iter().filter(|change| change.changed);
        changed.map(|change| change.line() + "\n").collect()
    }
}
