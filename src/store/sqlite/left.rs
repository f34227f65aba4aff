//! Describes what tasks have left in buckets, according to their journals.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::journal::{self, By};
use super::prune;
use super::row::{self, json};
use crate::model::moves::left::{Left, Targets};
use crate::model::moves::stage::Stage;
use crate::model::moves::{Move, MovePhase, Source, Target};
use crate::model::recording::Place;
use crate::model::task::{StepNo, TaskState};
use crate::model::time::Timestamp;
use crate::store::task_key::TaskKey;

const PAGE: u32 = 1_000;

/// What the moves of a step may have left, if anything.
fn of(conn: &Connection, seq: TaskKey, step: StepNo) -> rusqlite::Result<Option<String>> {
    let Some(outline) = journal::outline(conn, seq, step)? else {
        return Ok(None);
    };
    let mut left = Left::default();
    for first in (0..outline.count).step_by(PAGE as usize) {
        let page = journal::moves(conn, seq, step, &(first..first.saturating_add(PAGE)))?;
        left.add_all(&page);
    }
    Ok(match Stage::of(Some(outline.clone())) {
        Stage::Untouched => left.given_up(&outline),
        Stage::Committed(_) => Some(left.after_commit(&outline)),
        Stage::Open(_) | Stage::HalfUndone(_) | Stage::Replacing(_) | Stage::Replaced(_) => {
            Some(left.before_commit(&outline, Targets::Unseen))
        }
    })
}

/// Notes what the move of a task that will be ended may have left. The service replaces the note
/// after it has looked, which may take until the lane lets the task through.
pub(super) fn note(txn: &Txn<'_>, seq: TaskKey) -> rusqlite::Result<()> {
    let step: Option<StepNo> = txn
        .conn
        .prepare_cached("SELECT step FROM tasks WHERE seq = ?1 AND leaves IS NULL")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    let Some(step) = step else {
        return Ok(());
    };
    if let Some(left) = of(txn.conn, seq, step)? {
        txn.conn
            .prepare_cached("UPDATE tasks SET leaves = ?2 WHERE seq = ?1")?
            .execute((seq, left))?;
    }
    Ok(())
}

/// Copies left by given-up moves do not exist any more once these moves have replaced or deleted
/// them. Updates the tasks that left them.
pub(super) fn take_over(
    txn: &Txn<'_>,
    by: &By,
    moves: &[Move],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let is_any = "SELECT 1 FROM moves WHERE phase = 5 LIMIT 1";
    if !txn.conn.prepare_cached(is_any)?.exists([])? {
        return Ok(());
    }
    let mut tasks = BTreeSet::new();
    for place in moves.iter().filter_map(changed) {
        let taken: Vec<TaskKey> = txn
            .conn
            .prepare_cached(
                "UPDATE moves SET phase = 3 WHERE to_bucket = ?1 AND to_key = ?2 AND phase = 5 AND task <> ?3 RETURNING task",
            )?
            .query_map((&place.bucket, &place.key, by.seq), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        tasks.extend(taken);
    }
    for task in tasks {
        tell_anew(txn, task, by, now)?;
    }
    Ok(())
}

/// The object that the move has replaced or deleted.
fn changed(one: &Move) -> Option<&Place> {
    match (one.phase, one.target) {
        (MovePhase::Copied, Target::Absent | Target::Replace | Target::Again) => Some(&one.to),
        (MovePhase::Moved, _) if one.source == Source::Goes => Some(&one.from),
        _ => None,
    }
}

/// Updates what the task has left, also in the reason why it is dead.
fn tell_anew(txn: &Txn<'_>, seq: TaskKey, by: &By, now: Timestamp) -> rusqlite::Result<()> {
    let told = txn
        .conn
        .prepare_cached(
            "SELECT step, leaves, failure, state FROM tasks WHERE seq = ?1 AND leaves IS NOT NULL",
        )?
        .query_row([seq], |row| {
            let told: (StepNo, String, Option<String>, TaskState) = row.try_into()?;
            Ok(told)
        })
        .optional()?;
    let Some((step, before, failure, state)) = told else {
        return Ok(());
    };
    let left = of(txn.conn, seq, step)?;
    let mut failure = row::failure(failure);
    if let Some(failure) = &mut failure {
        let gone = || {
            format!(
                "nothing of its copies is left, as {} has replaced them",
                by.task.id
            )
        };
        let now = left.clone().unwrap_or_else(gone);
        failure.reason = failure.reason.replace(&before, &now);
    }
    txn.conn
        .prepare_cached("UPDATE tasks SET leaves = ?2, failure = ?3 WHERE seq = ?1")?
        .execute((seq, &left, failure.as_ref().map(json)))?;
    if left.is_none() && state == TaskState::Cancelled {
        prune::settled(txn, seq, now)?;
    }
    Ok(())
}
