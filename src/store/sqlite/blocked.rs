//! Tasks that wait for another one: for their order or for their turn.
//!
//! They name what they wait for in `blocked_by`, which keeps them out of the index of due
//! tasks: a million of them cost a claim nothing, and whoever passes on what they wait for
//! touches the first of them alone.

use rusqlite::OptionalExtension;

use super::core::Txn;
use crate::model::time::Timestamp;

/// Sets the task to wait for what has this id.
pub(super) fn wait(txn: &Txn<'_>, seq: i64, by: &[u8; 16]) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE tasks SET blocked_by = ?2 WHERE seq = ?1")?
        .execute((seq, by))?;
    Ok(())
}

/// The task that was accepted first of those that wait for it.
pub(super) fn first(txn: &Txn<'_>, by: &[u8; 16]) -> rusqlite::Result<Option<i64>> {
    txn.conn
        .prepare_cached("SELECT seq FROM tasks WHERE blocked_by = ?1 ORDER BY seq LIMIT 1")?
        .query_row([by], |row| row.get(0))
        .optional()
}

/// Lets the task be claimed: it waits for nothing else, also when its due time was written by
/// a clock that was ahead.
pub(super) fn release(txn: &Txn<'_>, seq: i64, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET blocked_by = NULL, due = min(due, ?2), wait = 0 WHERE seq = ?1",
        )?
        .execute((seq, now.millis()))?;
    Ok(())
}
