//! Makes stopped tasks ready again, on their own rules or under others.

use super::core::Txn;
use super::named_task::{Found, find, has_body};
use super::order::{self, Order};
use super::refusal::{self, Refusal};
use super::row::{self, StoredTask, task_columns};
use super::{interventions, service_reads, turn, waiting};
use crate::model::id::TaskId;
use crate::model::intervention::{Act, By};
use crate::model::plan::Turn;
use crate::model::restart::Restart;
use crate::model::task::{RevisionId, StepNo, TaskState};
use crate::model::time::Timestamp;
use crate::store::operator::{RetryOutcome, StoppedTask, Under};
use crate::store::task_key::TaskKey;

enum Retried {
    /// It waited for a time and is due now.
    Hastened(Found),
    /// It stopped; with where it continues under other rules.
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

pub(super) fn dry_run(
    txn: &Txn<'_>,
    id: TaskId,
    under: Option<&Under<'_>>,
    now: Timestamp,
) -> rusqlite::Result<RetryOutcome> {
    refusal::outcome(judge(txn, id, under, now).map(|retried| retried.outcome()))
}

pub(super) fn retry(
    txn: &mut Txn<'_>,
    id: TaskId,
    under: Option<&Under<'_>>,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<RetryOutcome> {
    refusal::outcome(
        judge(txn, id, under, now).and_then(|judged| Ok(carry_out(txn, &judged, under, by, now)?)),
    )
}

fn carry_out(
    txn: &mut Txn<'_>,
    judged: &Retried,
    under: Option<&Under<'_>>,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<RetryOutcome> {
    let (Retried::Hastened(found) | Retried::Requeued(found, _)) = judged;
    let mut intervention = found.intervention(Act::Retried, by, now);
    match judged {
        Retried::Hastened(found) => hasten(txn, found, now)?,
        Retried::Requeued(found, restart) => {
            if let Some((under, restart)) = under.zip(restart.as_ref()) {
                put_under(txn, found.seq, under.revision, restart)?;
                intervention = intervention.under(under.revision);
            }
            requeue(txn, found, now)?;
        }
    }
    interventions::log(txn, found.seq, &intervention)?;
    Ok(judged.outcome())
}

/// What to do with the task, or why nothing.
fn judge(
    txn: &Txn<'_>,
    id: TaskId,
    under: Option<&Under<'_>>,
    now: Timestamp,
) -> Result<Retried, Refusal<RetryOutcome>> {
    let Some(under) = under else {
        return on_its_own_rules(txn, id, now);
    };
    let found = retriable(txn, id)?;
    let restart = restart(txn, &found, under)?;
    Ok(Retried::Requeued(found, Some(restart)))
}

fn on_its_own_rules(
    txn: &Txn<'_>,
    id: TaskId,
    now: Timestamp,
) -> Result<Retried, Refusal<RetryOutcome>> {
    if let Some(found) = find(txn, id)?.filter(|found| found.waits(now)) {
        return Ok(Retried::Hastened(found));
    }
    Ok(Retried::Requeued(retriable(txn, id)?, None))
}

/// The task, if it is dead or cancelled and can be retried.
fn retriable(txn: &Txn<'_>, id: TaskId) -> Result<Found, Refusal<RetryOutcome>> {
    let Some(found) = find(txn, id)? else {
        return Err(Refusal::Outcome(RetryOutcome::Unknown));
    };
    if found.state != TaskState::Dead && found.state != TaskState::Cancelled {
        let state = RetryOutcome::InState(found.state.name());
        let outcome = found.ending(false).map_or(state, RetryOutcome::Ending);
        return Err(Refusal::Outcome(outcome));
    }
    if !has_body(txn, found.seq.event())? {
        return Err(Refusal::Outcome(RetryOutcome::Forgotten));
    }
    Ok(found)
}

/// Makes a dead or cancelled task ready, with new tries and a new time limit.
pub(super) fn requeue(txn: &mut Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 0, tries = 0, since = ?2, due = ?2, wait = 0, waits_for = NULL, cancel = 0, \
             at = NULL, failure = NULL, note = NULL, given_up = NULL WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    if let Some(Order { key, .. }) = &found.order
        && !order::join(txn, found.seq, key)?
    {
        waiting::wait(txn, found.seq, key)?;
    }
    txn.leaves(found.state);
    txn.enters(TaskState::Ready);
    Ok(())
}

fn hasten(txn: &Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE tasks SET due = ?2, wait = 0 WHERE seq = ?1")?
        .execute((found.seq, now.millis()))?;
    Ok(())
}

/// Where the task continues. A half-done move can only be ended under the rules that began it.
fn restart(
    txn: &Txn<'_>,
    found: &Found,
    under: &Under<'_>,
) -> Result<Restart, Refusal<RetryOutcome>> {
    let refused = |reason| Refusal::Outcome(RetryOutcome::Refused(reason));
    if turn::is_unfinished(txn, found.seq)? {
        let reason = "its rename is half done, which only its own rules can end: \
                      retry it without --current-rules";
        return Err(refused(reason.to_owned()));
    }
    let Some(stopped) = stopped(txn, found.seq)? else {
        return Err(refused("its callback cannot be read".to_owned()));
    };
    let restart = (under.restart)(&stopped).map_err(refused)?;
    for &step in &restart.renames {
        if has_moved(txn, found.seq, step)? {
            let reason = format!(
                "step {step} of its own rules has moved the recording, \
                 and would be taken for another: retry it without --current-rules"
            );
            return Err(refused(reason));
        }
    }
    Ok(restart)
}

fn stopped(txn: &Txn<'_>, seq: TaskKey) -> rusqlite::Result<Option<StoppedTask>> {
    let row = txn
        .conn
        .prepare_cached(concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE seq = ?1"
        ))?
        .query_row([seq], StoredTask::read)?;
    let Some(event) = row::event(txn, row.seq.event())? else {
        return Ok(None);
    };
    let (event_seq, recording) = (row.seq.event(), row.recording);
    let located = turn::located(txn, &event, event_seq, row.generation, recording)?;
    let rules = service_reads::revision(txn.conn, row.revision)?;
    Ok(row.task(event.id).map(|task| StoppedTask {
        task,
        event,
        place: located.map(|located| located.place),
        rules,
    }))
}

fn has_moved(txn: &Txn<'_>, seq: TaskKey, step: StepNo) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM moves WHERE task = ?1 AND step = ?2 AND phase = 2 LIMIT 1")?
        .exists((seq, step))
}

/// Its place in an order does not change.
fn put_under(
    txn: &Txn<'_>,
    seq: TaskKey,
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
