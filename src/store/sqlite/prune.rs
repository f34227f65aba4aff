//! Forgets what has outlived its retention, a bounded number of events at a time.

use super::core::{CANCELLED, DEAD, DONE, Txn};
use super::row::TASK_BITS;
use crate::model::time::Timestamp;
use crate::store::{Pruned, Retention};

/// Events looked at in one call: the writer must not be held for long.
const EVENTS: i64 = 500;

/// The newest event always stays: SQLite gives a new row the greatest key and one more, and
/// a key that is given twice would tie a new event to what an old one left behind.
///
/// Looks at the events after `cursor`, oldest first; answers where to go on, from the
/// beginning again once everything old enough was seen.
pub(super) fn prune(
    txn: &mut Txn<'_>,
    cursor: i64,
    keep: Retention,
    now: Timestamp,
) -> rusqlite::Result<(Pruned, i64)> {
    let history = now.minus(keep.history).millis();
    let horizon = now.minus(keep.dedup_horizon).millis();
    let old: Vec<(i64, i64)> = txn
        .conn
        .prepare_cached(
            "SELECT seq, received FROM events WHERE seq > ?1 AND received < ?2 \
             AND seq < (SELECT max(seq) FROM events) ORDER BY seq LIMIT ?3",
        )?
        .query_map((cursor, history, EVENTS), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut pruned = Pruned {
        more: old.len() == usize::try_from(EVENTS).unwrap_or(0),
        ..Pruned::default()
    };
    for &(event, received) in &old {
        if is_needed(txn, event, history)? {
            continue;
        }
        forget_history(txn, event, &mut pruned)?;
        if received < horizon {
            forget(txn, event, &mut pruned)?;
        }
    }
    let next = if pruned.more {
        old.last().map_or(0, |(event, _)| *event)
    } else {
        0
    };
    Ok((pruned, next))
}

/// The keys of an event's tasks.
fn tasks_of(event: i64) -> (i64, i64) {
    (event << TASK_BITS, (event + 1) << TASK_BITS)
}

/// Whether the event has a task that is not finished, that a person has to look at, or
/// that finished within the time that history is kept.
fn is_needed(txn: &Txn<'_>, event: i64, history: i64) -> rusqlite::Result<bool> {
    let (first, end) = tasks_of(event);
    let dead = i64::try_from(DEAD).unwrap_or(0);
    let queued = txn
        .conn
        .prepare_cached("SELECT 1 FROM tasks WHERE seq >= ?1 AND seq < ?2 LIMIT 1")?
        .exists((first, end))?;
    Ok(queued
        || txn
            .conn
            .prepare_cached("SELECT 1 FROM settled WHERE seq >= ?1 AND seq < ?2 AND (state = ?3 OR at >= ?4) LIMIT 1")?
            .exists((first, end, dead, history))?)
}

fn forget_history(txn: &Txn<'_>, event: i64, pruned: &mut Pruned) -> rusqlite::Result<()> {
    let (first, end) = tasks_of(event);
    pruned.bodies += txn
        .conn
        .prepare_cached("DELETE FROM bodies WHERE event = ?1")?
        .execute([event])?;
    txn.conn
        .prepare_cached("DELETE FROM attempts WHERE task >= ?1 AND task < ?2")?
        .execute((first, end))?;
    Ok(())
}

/// Moves are kept as long as ids: a later event of the recording may refer to them.
fn forget(txn: &mut Txn<'_>, event: i64, pruned: &mut Pruned) -> rusqlite::Result<()> {
    let (first, end) = tasks_of(event);
    txn.conn
        .prepare_cached(
            "DELETE FROM recordings WHERE turn IS NULL AND coalesce(moved_event, 0) <= ?3 \
             AND id IN (SELECT recording FROM settled WHERE seq >= ?1 AND seq < ?2)",
        )?
        .execute((first, end, event))?;
    for state in [DONE, CANCELLED] {
        let number = i64::try_from(state).unwrap_or(0);
        let gone = txn
            .conn
            .prepare_cached("DELETE FROM settled WHERE seq >= ?1 AND seq < ?2 AND state = ?3")?
            .execute((first, end, number))?;
        (0..gone).for_each(|_| txn.leaves(state));
        pruned.tasks += gone;
    }
    txn.conn
        .prepare_cached("DELETE FROM moves WHERE task >= ?1 AND task < ?2")?
        .execute((first, end))?;
    pruned.events += txn
        .conn
        .prepare_cached("DELETE FROM events WHERE seq = ?1")?
        .execute([event])?;
    Ok(())
}
