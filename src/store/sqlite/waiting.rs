//! Tasks that wait for another one: for their order or for their turn.
//!
//! `blocked_by` names what they wait for and keeps them out of the index of due tasks: a million of
//! them do not slow claims down, and passing on the turn or order touches only the first one.

use rusqlite::OptionalExtension;

use super::core::Txn;
use crate::model::time::Timestamp;
use crate::store::task_key::TaskKey;

pub(super) fn wait(txn: &Txn<'_>, seq: TaskKey, by: &[u8; 16]) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE tasks SET blocked_by = ?2 WHERE seq = ?1")?
        .execute((seq, by))?;
    Ok(())
}

/// The waiting task that was accepted first.
pub(super) fn first(txn: &Txn<'_>, by: &[u8; 16]) -> rusqlite::Result<Option<TaskKey>> {
    txn.conn
        .prepare_cached("SELECT seq FROM tasks WHERE blocked_by = ?1 ORDER BY seq LIMIT 1")?
        .query_row([by], |row| row.get(0))
        .optional()
}

/// Makes the task due now, even if its due time was written by a clock that was ahead.
pub(super) fn release(txn: &Txn<'_>, seq: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET blocked_by = NULL, due = min(due, ?2), wait = 0 WHERE seq = ?1",
        )?
        .execute((seq, now.millis()))?;
    Ok(())
}
