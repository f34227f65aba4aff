//! Retries and cancels tasks, by id or by filter.

use std::fmt;

use serde::Serialize;

use super::counts::TaskCounts;
use super::other_rules::OtherRules;
use crate::clock::Clock;
use crate::model::id::TaskId;
use crate::model::intervention::{self, Mode};
use crate::model::task::TaskState;
use crate::operate::bulk::{Bulk, BulkRefused, Consent, in_steps, unique};
use crate::store::Unavailable;
use crate::store::lists::{TaskFilter, TaskRow};
use crate::store::operator::{CHUNK, CancelOutcome, Ending, Operator, RetryOutcome, Under};

/// An act on tasks.
#[derive(Debug, Clone, Copy)]
pub enum TaskAct<'a> {
    /// Under the task's own rules, or under others.
    Retry(Option<&'a OtherRules<'a>>),
    Cancel,
}

/// The result for one task.
#[derive(Debug, Serialize)]
pub struct Change {
    pub id: TaskId,
    pub changed: bool,
    /// Its state now; `null` if it is not in the store.
    pub state: Option<&'static str>,
    pub message: String,
    /// The task needs no change in this state, or is gone.
    #[serde(skip)]
    is_settled: bool,
}

pub struct Changing<'a> {
    pub store: &'a mut dyn Operator,
    pub act: TaskAct<'a>,
    pub mode: Mode<'a>,
    pub clock: &'a dyn Clock,
}

impl TaskAct<'_> {
    /// The act's name in the history.
    pub const fn name(self) -> intervention::Act {
        match self {
            Self::Retry(_) => intervention::Act::Retried,
            Self::Cancel => intervention::Act::Cancelled,
        }
    }

    /// The states that the act is for by default. A bulk retry leaves cancelled tasks alone, and a
    /// bulk cancel dead ones: a person has to name them.
    const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Retry(_) => &["dead"],
            Self::Cancel => &["ready", "running"],
        }
    }

    /// Completes the filter with the default states.
    #[must_use]
    pub fn meant(self, mut filter: TaskFilter) -> TaskFilter {
        if filter.states.is_empty() {
            let states = self.states().iter().copied();
            filter.states = states.map(str::to_owned).collect();
        }
        filter
    }
}

impl Changing<'_> {
    /// Changes the named tasks, each at most once.
    pub fn named(&mut self, ids: &[TaskId]) -> Bulk<Vec<Change>> {
        let mut changes = Vec::new();
        let mode = self.mode;
        let worked = in_steps(
            &unique(ids),
            mode,
            |few| self.few(few),
            |_, few| changes.extend(few),
        );
        Bulk {
            answer: changes,
            stopped: worked.err(),
        }
    }

    /// Counts the results of a dry run of [`Self::named`], which left the tasks unchanged.
    pub fn counted(&self, changes: &[Change]) -> Result<TaskCounts, Unavailable> {
        let mut counts = TaskCounts::new(self.act.name(), self.mode);
        for change in changes {
            let task = self.store.task(change.id)?;
            counts.add(task.map(|task| task.row).as_ref(), change);
        }
        Ok(counts)
    }

    /// Changes the tasks that match the filter as [`TaskAct::meant`] completes it. Calls `progress`
    /// now and then. Without consent it refuses to change every task, and returns their number.
    pub fn matching(
        &mut self,
        filter: TaskFilter,
        consent: Consent,
        progress: &mut dyn FnMut(&TaskCounts),
    ) -> Result<Bulk<TaskCounts>, BulkRefused<usize>> {
        let filter = self.act.meant(filter);
        if let (true, Mode::Real(_), Consent::Missing) =
            (filter.is_everything(), self.mode, consent)
        {
            return Err(BulkRefused::Everything(count(&*self.store, filter)?));
        }
        let mut counts = TaskCounts::new(self.act.name(), self.mode);
        let walked = self.walk(filter, &mut counts, progress);
        Ok(Bulk {
            answer: counts,
            stopped: walked.err(),
        })
    }

    /// Skips tasks that have left the filter's states by the time they are reached.
    fn walk(
        &mut self,
        filter: TaskFilter,
        counts: &mut TaskCounts,
        progress: &mut dyn FnMut(&TaskCounts),
    ) -> Result<(), Unavailable> {
        let mut walk = self.store.walk_tasks(filter)?;
        loop {
            let tasks = self.store.next_tasks(&mut walk)?;
            let Some(last) = tasks.last() else {
                return Ok(());
            };
            let mode = self.mode;
            let few = |tasks: &[TaskRow]| {
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
                self.few(&ids)
            };
            in_steps(&tasks, mode, few, |tasks, changes| {
                let changes = tasks.iter().zip(&changes);
                for (task, change) in changes.filter(|(_, change)| !change.is_settled) {
                    counts.add(Some(task), change);
                }
            })?;
            counts.last = Some(last.id);
            if tasks.len() == CHUNK {
                progress(counts);
            }
        }
    }

    fn few(&mut self, ids: &[TaskId]) -> Result<Vec<Change>, Unavailable> {
        let (mode, now) = (self.mode, self.clock.now());
        let ids_of = ids.iter().copied();
        Ok(match self.act {
            TaskAct::Cancel => {
                let outcomes = self.store.cancel(ids, mode, now)?;
                let changes = ids_of.zip(outcomes).map(|(id, one)| cancelled(id, one));
                changes.collect()
            }
            TaskAct::Retry(rules) => {
                let mut retry = |under: Option<&Under<'_>>| self.store.retry(ids, under, mode, now);
                let outcomes = match rules {
                    None => retry(None)?,
                    Some(rules) => rules.with(|under| retry(Some(under)))?,
                };
                let changes = ids_of.zip(outcomes).map(|(id, one)| retried(id, one));
                changes.collect()
            }
        })
    }
}

impl fmt::Debug for Changing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing")
            .field("act", &self.act)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

fn count(store: &dyn Operator, filter: TaskFilter) -> Result<usize, Unavailable> {
    let mut walk = store.walk_tasks(filter)?;
    let mut count = 0;
    loop {
        let tasks = store.next_tasks(&mut walk)?;
        if tasks.is_empty() {
            return Ok(count);
        }
        count += tasks.len();
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
            let message = "is too old: --retention has removed its callback's body, and with it what to work on";
            unchanged(id, "cancelled", message.to_owned())
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
    if state == TaskState::Ready.name() {
        "is ready already; `aftertake tasks show` says what it waits for".to_owned()
    } else {
        format!("is {state}; only tasks that are dead, cancelled or wait for a time can be retried")
    }
}

fn cancelled(id: TaskId, outcome: CancelOutcome) -> Change {
    match outcome {
        CancelOutcome::Cancelled => changed(id, "cancelled", "is cancelled"),
        CancelOutcome::Requested => {
            let message = "is half done; the service brings it to a safe end";
            changed(id, "running", message)
        }
        CancelOutcome::InState(state) => settled(id, Some(state), format!("is {state} already")),
        CancelOutcome::Unknown => unknown(id),
    }
}

fn changed(id: TaskId, state: &'static str, message: &str) -> Change {
    Change {
        changed: true,
        ..unchanged(id, state, message.to_owned())
    }
}

fn unchanged(id: TaskId, state: &'static str, message: String) -> Change {
    Change {
        is_settled: false,
        ..settled(id, Some(state), message)
    }
}

fn settled(id: TaskId, state: Option<&'static str>, message: String) -> Change {
    Change {
        id,
        changed: false,
        state,
        message,
        is_settled: true,
    }
}

fn unknown(id: TaskId) -> Change {
    let message = "is not in the store; `aftertake tasks list` shows those that are";
    settled(id, None, message.to_owned())
}
