//! Corrects due times written by a clock that was ahead.
//!
//! Each task stores its wait. Once the clock is right, a task that is due further ahead than its
//! wait waits that long from now.

use rusqlite::Connection;

use super::core::Txn;
use crate::model::time::Timestamp;
use crate::store::task_key::TaskKey;

/// Number of tasks read or written at once: the writer must not be blocked for long.
const CHUNK: usize = 500;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) tasks: Vec<TaskKey>,
    /// The due time and key of the last task read, to continue from.
    pub(super) next: Option<(i64, TaskKey)>,
}

/// Checks tasks of the lane that wait for a time after `now`, starting behind `after`.
pub(super) fn ahead(
    conn: &Connection,
    lane: &str,
    after: (i64, TaskKey),
    now: Timestamp,
) -> rusqlite::Result<Ahead> {
    let looked: Vec<(TaskKey, i64, bool)> = conn
        .prepare_cached(
            "SELECT seq, due, due > ?4 + wait FROM tasks WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL \
             AND waits_for IS NULL AND (due, seq) > (?2, ?3) ORDER BY due, seq LIMIT ?5",
        )?
        .query_map((lane, after.0, after.1, now.millis(), CHUNK), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let last = looked.last().map(|(seq, due, _)| (*due, *seq));
    let is_ahead = |(seq, _, ahead): &(TaskKey, i64, bool)| ahead.then_some(*seq);
    Ok(Ahead {
        next: last.filter(|_| looked.len() == CHUNK),
        tasks: looked.iter().filter_map(is_ahead).collect(),
    })
}

/// Makes these tasks wait from `now`, unless they are due sooner; answers how many changed.
pub(super) fn correct(txn: &Txn<'_>, tasks: &[TaskKey], now: Timestamp) -> rusqlite::Result<usize> {
    let mut update = txn.conn.prepare_cached(
        "UPDATE tasks SET due = ?2 + wait WHERE seq = ?1 AND state = 0 AND due > ?2 + wait",
    )?;
    let mut corrected = 0;
    for seq in tasks {
        corrected += update.execute((seq, now.millis()))?;
    }
    Ok(corrected)
}
