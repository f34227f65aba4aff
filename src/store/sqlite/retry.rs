//! Makes stopped tasks ready again, on their own rules or under others.

use std::sync::Arc;

use super::core::Txn;
use super::operator::{self, Found, RetryOutcome, SqliteOperator};
use super::row::{self, TaskRow, task_columns};
use super::{intervene, read, turn};
use crate::model::event::Event;
use crate::model::id::TaskId;
use crate::model::intervention::{Act, By};
use crate::model::plan::Turn;
use crate::model::recording::Place;
use crate::model::restart::Restart;
use crate::model::task::{RevisionId, StepNo, Task};
use crate::model::time::Timestamp;
use crate::store::Unavailable;

/// Rules that tasks are to go on under instead of their own.
pub struct Under<'a> {
    pub revision: RevisionId,
    /// The revision's text.
    pub text: &'a str,
    /// Where a task goes on under them, or why it cannot.
    pub restart: &'a dyn Fn(&StoppedTask) -> Result<Restart, String>,
}

impl std::fmt::Debug for Under<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Under")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// A task that stopped, with what tells where it can go on.
#[derive(Debug, Clone)]
pub struct StoppedTask {
    pub task: Task,
    pub event: Arc<Event>,
    /// Where its recording is.
    pub place: Option<Place>,
    /// The text of the rules that it was planned under.
    pub rules: Option<String>,
}

/// How a task is retried.
enum Retried {
    /// It waited for a time.
    Hastened(Found),
    /// It stopped; where it goes on under other rules.
    Requeued(Found, Option<Restart>),
}

impl Retried {
    fn outcome(&self) -> RetryOutcome {
        match self {
            Self::Hastened(found) => found
                .ending(true)
                .map_or(RetryOutcome::DueNow, RetryOutcome::Ending),
            Self::Requeued(..) => RetryOutcome::Requeued,
        }
    }
}

impl SqliteOperator {
    /// Makes a dead or cancelled task ready at the step where it stopped, or one that waits for
    /// a time due.
    pub fn retry(&mut self, id: TaskId, now: Timestamp) -> Result<RetryOutcome, Unavailable> {
        self.write(|txn| retry(txn, id, None, &By::default(), now))
    }

    /// Makes these dead or cancelled tasks ready in one transaction, each at the step where it
    /// stopped, on its own rules or `under` others, and those that wait for a time due; what came
    /// of each.
    pub fn retry_all(
        &mut self,
        ids: &[TaskId],
        under: Option<&Under<'_>>,
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<RetryOutcome>, Unavailable> {
        self.write(|txn| {
            if let Some(under) = under {
                operator::keep_revision(txn, under.revision, under.text)?;
            }
            let retry = |id: &TaskId| retry(txn, *id, under, by, now);
            ids.iter().map(retry).collect()
        })
    }

    /// What [`SqliteOperator::retry_all`] would answer; changes nothing.
    pub fn rehearse_retry(
        &mut self,
        ids: &[TaskId],
        under: Option<&Under<'_>>,
        now: Timestamp,
    ) -> Result<Vec<RetryOutcome>, Unavailable> {
        let outcome = |txn: &Txn<'_>, id| {
            let judged = judge(txn, id, under, now)?;
            Ok(judged.map_or_else(|outcome| outcome, |act| act.outcome()))
        };
        self.look(|txn| ids.iter().map(|id| outcome(txn, *id)).collect())
    }
}

fn retry(
    txn: &mut Txn<'_>,
    id: TaskId,
    under: Option<&Under<'_>>,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<RetryOutcome> {
    let judged = match judge(txn, id, under, now)? {
        Ok(judged) => judged,
        Err(outcome) => return Ok(outcome),
    };
    let (Retried::Hastened(found) | Retried::Requeued(found, _)) = &judged;
    let mut intervention = found.intervention(Act::Retried, by, now);
    match &judged {
        Retried::Hastened(found) => operator::hasten(txn, found, now)?,
        Retried::Requeued(found, restart) => {
            if let Some((under, restart)) = under.zip(restart.as_ref()) {
                put_under(txn, found.seq, under.revision, restart)?;
                intervention = intervention.under(under.revision);
            }
            operator::requeue(txn, found, now)?;
        }
    }
    intervene::log(txn, found.seq, &intervention)?;
    Ok(judged.outcome())
}

/// What is done to the task, or why nothing is.
fn judge(
    txn: &Txn<'_>,
    id: TaskId,
    under: Option<&Under<'_>>,
    now: Timestamp,
) -> rusqlite::Result<Result<Retried, RetryOutcome>> {
    let Some(under) = under else {
        return on_its_own_rules(txn, id, now);
    };
    let found = match operator::retriable(txn, id)? {
        Ok(found) => found,
        Err(outcome) => return Ok(Err(outcome)),
    };
    Ok(match restart(txn, &found, under)? {
        Ok(restart) => Ok(Retried::Requeued(found, Some(restart))),
        Err(reason) => Err(RetryOutcome::Refused(reason)),
    })
}

fn on_its_own_rules(
    txn: &Txn<'_>,
    id: TaskId,
    now: Timestamp,
) -> rusqlite::Result<Result<Retried, RetryOutcome>> {
    if let Some(found) = operator::find(txn, id)?.filter(|found| found.waits(now)) {
        return Ok(Ok(Retried::Hastened(found)));
    }
    let retriable = operator::retriable(txn, id)?;
    Ok(retriable.map(|found| Retried::Requeued(found, None)))
}

/// Where the task goes on. What its own rules began to move, only they know how to end.
fn restart(
    txn: &Txn<'_>,
    found: &Found,
    under: &Under<'_>,
) -> rusqlite::Result<Result<Restart, String>> {
    if turn::is_unfinished(txn, found.seq)? {
        let reason = "its rename is half done, which only its own rules can end: \
                      retry it without --current-rules";
        return Ok(Err(reason.to_owned()));
    }
    let Some(stopped) = stopped(txn, found.seq)? else {
        return Ok(Err("its callback cannot be read".to_owned()));
    };
    let restart = match (under.restart)(&stopped) {
        Ok(restart) => restart,
        Err(reason) => return Ok(Err(reason)),
    };
    for &step in &restart.renames {
        if has_moved(txn, found.seq, step)? {
            let reason = format!(
                "step {step} of its own rules has moved the recording, \
                 and would be taken for another: retry it without --current-rules"
            );
            return Ok(Err(reason));
        }
    }
    Ok(Ok(restart))
}

fn stopped(txn: &Txn<'_>, seq: i64) -> rusqlite::Result<Option<StoppedTask>> {
    let row = txn
        .conn
        .prepare_cached(concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE seq = ?1"
        ))?
        .query_row([seq], TaskRow::read)?;
    let Some(event) = row::event(txn, row.event_seq())? else {
        return Ok(None);
    };
    let (event_seq, recording) = (row.event_seq(), row.recording);
    let located = turn::located(txn, &event, event_seq, row.generation, recording)?;
    let rules = read::revision(txn.conn, row.revision)?;
    Ok(row.task(event.id).map(|task| StoppedTask {
        task,
        event,
        place: located.map(|located| located.place),
        rules,
    }))
}

fn has_moved(txn: &Txn<'_>, seq: i64, step: StepNo) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM moves WHERE task = ?1 AND step = ?2 AND phase = 2 LIMIT 1")?
        .exists((seq, step))
}

/// Its place in an order stays what its own rules made it.
fn put_under(
    txn: &Txn<'_>,
    seq: i64,
    revision: RevisionId,
    restart: &Restart,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET revision = ?2, step = ?3, lane = ?4, needs_turn = ?5 WHERE seq = ?1",
        )?
        .execute((
            seq,
            revision.number(),
            restart.step,
            restart.lane.to_string(),
            restart.turn == Turn::Needed,
        ))?;
    Ok(())
}
