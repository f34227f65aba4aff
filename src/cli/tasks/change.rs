//! `aftertake tasks retry` and `aftertake tasks cancel`: what they do to named tasks, and
//! how it is told.

use serde::Serialize;

use super::Which;
use super::current::CurrentRules;
use super::tally::Tally;
use crate::cli::bulk;
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::Answer;
use crate::cli::store;
use crate::clock;
use crate::model::id::TaskId;
use crate::model::intervention::Mode;
use crate::model::task::TaskState;
use crate::store::Unavailable;
use crate::store::operator::{CancelOutcome, Ending, Operator, RetryOutcome, Under};

/// What is done to tasks.
pub(super) enum Act {
    /// On their own rules, or under others.
    Retry(Option<Box<CurrentRules>>),
    Cancel,
}

/// What became of one task.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    pub(super) id: TaskId,
    pub(super) changed: bool,
    /// Its state now; `null` when it is not in the store.
    state: Option<&'static str>,
    pub(super) told: String,
    /// It is in a state in which there is nothing to do, or is gone.
    #[serde(skip)]
    pub(super) is_settled: bool,
}

impl Act {
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::Cancel => "cancel",
        }
    }

    pub(super) const fn done(&self) -> &'static str {
        match self {
            Self::Retry(_) => "retried",
            Self::Cancel => "cancelled",
        }
    }

    /// The states that are meant unless one is named. What a person has cancelled is not
    /// retried with the rest, and what is dead is not dismissed with it.
    pub(super) const fn states(&self) -> &'static [&'static str] {
        match self {
            Self::Retry(_) => &["dead"],
            Self::Cancel => &["ready", "running"],
        }
    }

    /// Does it to these tasks in one transaction.
    pub(super) fn run(
        &self,
        operator: &mut dyn Operator,
        ids: &[TaskId],
        mode: Mode<'_>,
    ) -> Result<Vec<Change>, Unavailable> {
        let ids_of = ids.iter().copied();
        Ok(match self {
            Self::Retry(rules) => {
                let outcomes = retry(operator, ids, rules.as_deref(), mode)?;
                let changes = ids_of.zip(outcomes).map(|(id, one)| retried(id, one));
                changes.collect()
            }
            Self::Cancel => {
                let outcomes = operator.cancel(ids, mode, clock::now())?;
                let changes = ids_of.zip(outcomes).map(|(id, one)| cancelled(id, one));
                changes.collect()
            }
        })
    }
}

fn retry(
    operator: &mut dyn Operator,
    ids: &[TaskId],
    rules: Option<&CurrentRules>,
    mode: Mode<'_>,
) -> Result<Vec<RetryOutcome>, Unavailable> {
    let mut retry = |under: Option<&Under<'_>>| operator.retry(ids, under, mode, clock::now());
    match rules {
        None => retry(None),
        Some(rules) => rules.with(|under| retry(Some(under))),
    }
}

fn retried(id: TaskId, outcome: RetryOutcome) -> Change {
    match outcome {
        RetryOutcome::Requeued => changed(id, "ready", "is ready again"),
        RetryOutcome::DueNow => changed(id, "ready", "is due now"),
        RetryOutcome::Ending(ending) if ending.due_now => changed(id, "ready", &ends(ending)),
        RetryOutcome::Ending(ending) => settled(id, Some("ready"), ends(ending)),
        RetryOutcome::InState(state) => settled(id, Some(state), nothing_to_retry(state)),
        RetryOutcome::Forgotten => {
            let told = "is too old: --retention has removed its callback's body, and with it what to work on";
            unchanged(id, "cancelled", told.to_owned())
        }
        RetryOutcome::Refused(reason) => {
            unchanged(id, "dead", format!("cannot take these rules: {reason}"))
        }
        RetryOutcome::Unknown => unknown(id),
    }
}

fn ends(ending: Ending) -> String {
    let what = if ending.goes_forward {
        "was cancelled, and its move can only be completed"
    } else {
        "is given up, and what its move may have left is removed first"
    };
    let now = if ending.due_now {
        "; that is tried again now"
    } else {
        ""
    };
    let state = ending.state;
    format!(
        "{what}{now}. `aftertake tasks show` says what lies where, and why; once the task is {state}, retry it"
    )
}

fn nothing_to_retry(state: &str) -> String {
    if state == TaskState::NAMES[0] {
        "is ready already; `aftertake tasks show` says what it waits for".to_owned()
    } else {
        format!("is {state}; only tasks that are dead, cancelled or wait for a time can be retried")
    }
}

fn cancelled(id: TaskId, outcome: CancelOutcome) -> Change {
    match outcome {
        CancelOutcome::Cancelled => changed(id, "cancelled", "is cancelled"),
        CancelOutcome::Requested => {
            let told = "is half done; the service brings it to a safe end";
            changed(id, "running", told)
        }
        CancelOutcome::InState(state) => settled(id, Some(state), format!("is {state} already")),
        CancelOutcome::Unknown => unknown(id),
    }
}

fn changed(id: TaskId, state: &'static str, told: &str) -> Change {
    Change {
        changed: true,
        ..unchanged(id, state, told.to_owned())
    }
}

fn unchanged(id: TaskId, state: &'static str, told: String) -> Change {
    Change {
        is_settled: false,
        ..settled(id, Some(state), told)
    }
}

fn settled(id: TaskId, state: Option<&'static str>, told: String) -> Change {
    Change {
        id,
        changed: false,
        state,
        told,
        is_settled: true,
    }
}

fn unknown(id: TaskId) -> Change {
    let told = "is not in the store; `aftertake tasks list` shows those that are";
    settled(id, None, told.to_owned())
}

/// Changes the named tasks. What was done before the store failed is told, too.
pub(super) fn named(act: &Act, which: &Which) -> Result<Exit, Stop> {
    let mut operator = store::operator(&which.store.store)?;
    let by = which.bulk.by();
    let mode = which.bulk.mode(&by);
    let mut changes = Vec::new();
    let gone_through = bulk::in_steps(
        &bulk::unique(&which.ids),
        mode,
        |ids| act.run(&mut *operator, ids, mode),
        |_, few| changes.extend(few),
    );
    let failed = gone_through.err().map(|error| {
        let done = bulk::counted(changes.len(), "task");
        bulk::stopped(&done, "the same command goes on with the others", error)
    });
    if which.bulk.dry_run {
        let tally = dry_run(&*operator, act, &changes).map_err(store::unavailable)?;
        which.out.print(&tally)?;
        return failed.map_or(Ok(tally.exit()), Err);
    }
    let changes = Changes(changes);
    which.out.print(&changes)?;
    match failed.or_else(|| changes.refusal()) {
        Some(stop) => Err(stop),
        None => Ok(Exit::Fine),
    }
}

fn dry_run(operator: &dyn Operator, act: &Act, changes: &[Change]) -> Result<Tally, Unavailable> {
    let mut tally = Tally::of(act, Mode::DryRun);
    for change in changes {
        let task = operator.task(change.id)?;
        tally.add(task.map(|task| task.row).as_ref(), change);
    }
    Ok(tally)
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
