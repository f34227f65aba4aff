//! Due times that a clock which was ahead has written.
//!
//! Each task keeps how long it was told to wait. Once the clock is right, whatever is due
//! further ahead than that waits anew, for as long as it was told to: never for as long as the
//! clock was ahead.

use rusqlite::Connection;

use super::core::Txn;
use crate::model::time::Timestamp;

/// Tasks looked at, and written, in one go: the writer must not be held for long.
const CHUNK: usize = 500;

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Tasks whose due time is not to be believed.
    pub(super) tasks: Vec<i64>,
    /// Where the next look goes on: after the task with this due time and key.
    pub(super) next: Option<(i64, i64)>,
}

/// Looks at tasks of the lane that wait for a time after `now`, from `after` on.
pub(super) fn ahead(
    conn: &Connection,
    lane: &str,
    after: (i64, i64),
    now: Timestamp,
) -> rusqlite::Result<Ahead> {
    let looked: Vec<(i64, i64, bool)> = conn
        .prepare_cached(
            "SELECT seq, due, due > ?4 + wait FROM tasks WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL \
             AND waits_for IS NULL AND (due, seq) > (?2, ?3) ORDER BY due, seq LIMIT ?5",
        )?
        .query_map((lane, after.0, after.1, now.millis(), CHUNK), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let last = looked.last().map(|(seq, due, _)| (*due, *seq));
    let is_ahead = |(seq, _, ahead): &(i64, i64, bool)| ahead.then_some(*seq);
    Ok(Ahead {
        next: last.filter(|_| looked.len() == CHUNK),
        tasks: looked.iter().filter_map(is_ahead).collect(),
    })
}

/// Lets these tasks wait from `now` on, unless they are due sooner; how many had to be told.
pub(super) fn correct(txn: &Txn<'_>, tasks: &[i64], now: Timestamp) -> rusqlite::Result<usize> {
    let mut update = txn.conn.prepare_cached(
        "UPDATE tasks SET due = ?2 + wait WHERE seq = ?1 AND state = 0 AND due > ?2 + wait",
    )?;
    let mut corrected = 0;
    for seq in tasks {
        corrected += update.execute((seq, now.millis()))?;
    }
    Ok(corrected)
}
