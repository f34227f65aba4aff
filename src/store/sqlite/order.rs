//! Whose go it is among the tasks of a rule with one value: one at a time, in order of
//! arrival, across retries and restarts.
//!
//! Such tasks stand in line from when they are stored until they are settled. The head of
//! the line is a row of `orders`; all others are blocked by the order's key. Whoever is
//! settled makes the next one the head in the same transaction, however long the line is. A
//! dead task leaves the line, too, unless its rule says `order_blocks`: then it keeps its
//! place, as the head in the end, until a person retries it, and it runs again before those
//! behind it, or cancels it. A retried task that had left the line stands in it again where
//! its arrival puts it, behind the head: never do two run at once.
//!
//! **Nobody waits for ever.** A task may need both the order and a recording's turn, and it
//! asks for the turn only as the head: when it is stored, claimed or goes on to its next
//! step. So the holder of a turn waits for no order. A task in the line waits for its head, and the
//! head at most for the holder of a turn. That one runs, has a time to run at, or waits for something
//! outside all tasks. One that would wait for
//! the keys of a task that waits for it, over others or not, fails instead. What then still
//! stands in line stands behind a dead head, or behind what that waits for.

use super::blocked;
use super::core::Txn;
use crate::model::time::Timestamp;

/// A task's order, as stored.
pub(super) struct Order {
    pub(super) key: [u8; 16],
    pub(super) dead_blocks: bool,
}

impl Order {
    /// The order of a row with the columns `order_key` and `order_blocks`.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Self>> {
        let key: Option<[u8; 16]> = row.get("order_key")?;
        let dead_blocks = row.get("order_blocks")?;
        Ok(key.map(|key| Self { key, dead_blocks }))
    }
}

/// Puts the task in line; whether it is the head. If not, it has to be blocked by the key.
pub(super) fn join(txn: &Txn<'_>, seq: i64, key: &[u8; 16]) -> rusqlite::Result<bool> {
    let head: i64 = txn
        .conn
        .prepare_cached(
            "INSERT INTO orders (id, head) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET head = head RETURNING head",
        )?
        .query_row((key, seq), |row| row.get(0))?;
    Ok(head == seq)
}

/// The task is settled and not blocked: if it was the head, the next one is.
pub(super) fn leave(
    txn: &Txn<'_>,
    seq: i64,
    key: &[u8; 16],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let is_head = txn
        .conn
        .prepare_cached("SELECT 1 FROM orders WHERE id = ?1 AND head = ?2")?
        .exists((key, seq))?;
    if !is_head {
        return Ok(());
    }
    let Some(next) = blocked::first(txn, key)? else {
        txn.conn
            .prepare_cached("DELETE FROM orders WHERE id = ?1")?
            .execute([key])?;
        return Ok(());
    };
    txn.conn
        .prepare_cached("UPDATE orders SET head = ?2 WHERE id = ?1")?
        .execute((key, next))?;
    blocked::release(txn, next, now)
}
