//! Cancels tasks: at once, or through the service where a move is half done.

use super::core::Txn;
use super::named_task::{Found, find};
use super::refusal::{self, Refusal};
use super::retry::requeue;
use super::{interventions, journal, left, order, prune, turn};
use crate::model::id::TaskId;
use crate::model::intervention::{Act, By};
use crate::model::recording::RecordingId;
use crate::model::task::TaskState;
use crate::model::time::Timestamp;
use crate::store::operator::CancelOutcome;
use crate::store::task_key::TaskKey;

pub(super) fn dry_run(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<CancelOutcome> {
    refusal::outcome(cancellable(txn, id).and_then(|found| Ok(cancel_outcome(txn, &found)?)))
}

fn cancellable(txn: &Txn<'_>, id: TaskId) -> Result<Found, Refusal<CancelOutcome>> {
    match find(txn, id)? {
        None => Err(Refusal::Outcome(CancelOutcome::Unknown)),
        Some(found)
            if found.state == TaskState::Done
                || (found.state == TaskState::Cancelled && !found.leaves) =>
        {
            let outcome = CancelOutcome::InState(found.state.name());
            Err(Refusal::Outcome(outcome))
        }
        Some(found) => Ok(found),
    }
}

fn cancel_outcome(txn: &Txn<'_>, found: &Found) -> rusqlite::Result<CancelOutcome> {
    let is_half_done =
        found.state == TaskState::Running || found.leaves || turn::is_unfinished(txn, found.seq)?;
    Ok(if is_half_done {
        CancelOutcome::Requested
    } else {
        CancelOutcome::Cancelled
    })
}

pub(super) fn cancel(
    txn: &mut Txn<'_>,
    id: TaskId,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<CancelOutcome> {
    refusal::outcome(cancellable(txn, id).and_then(|found| Ok(carry_out(txn, &found, by, now)?)))
}

fn carry_out(
    txn: &mut Txn<'_>,
    found: &Found,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<CancelOutcome> {
    let outcome = cancel_outcome(txn, found)?;
    if outcome == CancelOutcome::Requested {
        request_end(txn, found, now)?;
    } else {
        end(txn, found, now)?;
    }
    if found.end != Some(TaskState::Cancelled) {
        let intervention = found.intervention(Act::Cancelled, by, now);
        interventions::log(txn, found.seq, &intervention)?;
    }
    Ok(outcome)
}

/// Lets the service end the task safely, whatever it waits for: ending may need less than
/// continuing. Until then the task says what may be left. A settled task with copies left runs once
/// more, to remove them.
fn request_end(txn: &mut Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    if found.state == TaskState::Dead || found.state == TaskState::Cancelled {
        requeue(txn, found, now)?;
    }
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET cancel = 1, due = ?2, wait = 0, waits_for = NULL WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    left::note(txn, found.seq)
}

fn end(txn: &mut Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 4, at = ?2, blocked_by = NULL, waits_for = NULL, failure = NULL, \
             note = NULL \
             WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    prune::settled(txn, found.seq, now)?;
    if found.turn.is_some() {
        journal::release(txn, found.seq, now)?;
    }
    if let Some(recording) = found.turn {
        give_up(txn, found.seq, recording, now)?;
    }
    if let Some(order) = &found.order {
        order::leave(txn, found.seq, &order.key, now)?;
    }
    txn.leaves(found.state);
    txn.enters(TaskState::Cancelled);
    Ok(())
}

/// A task that waits for its turn has none to pass on.
fn give_up(
    txn: &Txn<'_>,
    seq: TaskKey,
    recording: RecordingId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let holds = txn
        .conn
        .prepare_cached("SELECT 1 FROM recordings WHERE id = ?1 AND turn = ?2")?
        .exists((recording.as_bytes(), seq))?;
    if holds {
        turn::pass_on(txn, seq, recording, false, now)?;
    }
    Ok(())
}
