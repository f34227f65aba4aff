//! Runs the tasks with the same `order_by` value one at a time, in order of arrival, across retries
//! and restarts.
//!
//! A task is in line from when it is stored until it is settled. The head of the line is a row of
//! `orders`; all others are blocked by the order's key. Settling the head makes the next one the
//! head in the same transaction, however long the line is. A dead task leaves the line, too, unless
//! its rule says `order_blocks`: then it keeps its place until a person cancels it, or retries it
//! and it runs before those behind it. A retried task that had left the line re-enters it where its
//! arrival puts it, but behind the head: two never run at once.
//!
//! **There is no deadlock.** A task may need both the order and a recording's turn, and asks for
//! the turn only as the head: when it is stored or claimed, or continues with its next step. So no
//! holder of a turn waits for an order. A task in line waits for the head, and the head at most for
//! the holder of a turn. That holder runs, waits for a time, or waits for something outside all
//! tasks: if it would wait for keys of a task that waits for it, directly or through others, it
//! fails instead. So a line stops only behind a dead head, or behind what its head waits for.

use super::core::Txn;
use super::waiting;
use crate::model::time::Timestamp;
use crate::store::task_key::TaskKey;

pub(super) struct Order {
    pub(super) key: [u8; 16],
    pub(super) dead_blocks: bool,
}

impl Order {
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Self>> {
        let key: Option<[u8; 16]> = row.get("order_key")?;
        let dead_blocks = row.get("order_blocks")?;
        Ok(key.map(|key| Self { key, dead_blocks }))
    }
}

/// Puts the task in line; answers whether it is the head. If not, the caller blocks it by the key.
pub(super) fn join(txn: &Txn<'_>, seq: TaskKey, key: &[u8; 16]) -> rusqlite::Result<bool> {
    let head: TaskKey = txn
        .conn
        .prepare_cached(
            "INSERT INTO orders (id, head) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET head = head RETURNING head",
        )?
        .query_row((key, seq), |row| row.get(0))?;
    Ok(head == seq)
}

/// The task is settled and not blocked: if it was the head, the next one becomes the head.
pub(super) fn leave(
    txn: &Txn<'_>,
    seq: TaskKey,
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
    let Some(next) = waiting::first(txn, key)? else {
        txn.conn
            .prepare_cached("DELETE FROM orders WHERE id = ?1")?
            .execute([key])?;
        return Ok(());
    };
    txn.conn
        .prepare_cached("UPDATE orders SET head = ?2 WHERE id = ?1")?
        .execute((key, next))?;
    waiting::release(txn, next, now)
}
