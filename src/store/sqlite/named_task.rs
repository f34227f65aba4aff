//! The task that a person names, before anything is done to it.

use rusqlite::OptionalExtension;

use super::core::Txn;
use super::order::Order;
use super::row::{self, goes_forward, has_replaced, recording};
use crate::model::failure::Failure;
use crate::model::id::TaskId;
use crate::model::intervention::{Act, By, Intervention};
use crate::model::recording::RecordingId;
use crate::model::task::TaskState;
use crate::model::time::Timestamp;
use crate::store::operator::Ending;
use crate::store::task_key::TaskKey;

pub(super) struct Found {
    pub(super) seq: TaskKey,
    pub(super) state: TaskState,
    pub(super) turn: Option<RecordingId>,
    pub(super) order: Option<Order>,
    failure: Option<Failure>,
    /// The final state that the service is working towards: a person cancelled it, or it has failed
    /// for good, and its copies are not removed yet.
    pub(super) end: Option<TaskState>,
    goes_forward: bool,
    pub(super) leaves: bool,
    /// When it is due, unless it waits for another task.
    due: Option<Timestamp>,
}

impl Found {
    pub(super) fn waits(&self, now: Timestamp) -> bool {
        self.state == TaskState::Ready && self.due.is_some_and(|due| due > now)
    }

    /// How it will end, if ending is all it is ready for.
    pub(super) fn ending(&self, due_now: bool) -> Option<Ending> {
        let end = self.end.filter(|_| self.state == TaskState::Ready)?;
        Some(Ending {
            state: end.name(),
            goes_forward: self.goes_forward,
            due_now,
        })
    }

    /// The history entry for an act on the task in its present state.
    pub(super) fn intervention(&self, act: Act, by: &By, now: Timestamp) -> Intervention {
        Intervention::new(act, by, now).on(self.state.name(), self.failure.clone())
    }
}

pub(super) fn find(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<Option<Found>> {
    let Some(seq) = row::key_of(txn.conn, id)? else {
        return Ok(None);
    };
    txn.conn
        .prepare_cached(concat!(
            "SELECT seq, state, CASE needs_turn WHEN 1 THEN recording END AS turn, order_key, order_blocks, failure, \
             CASE WHEN cancel = 1 THEN 4 WHEN given_up IS NOT NULL THEN 3 END AS ends_as, leaves IS NOT NULL AS leaves, ",
            goes_forward!("seq", "tasks.step"),
            " AS goes_forward, CASE WHEN blocked_by IS NULL AND waits_for IS NULL THEN due END AS due FROM tasks WHERE seq = ?1"
        ))?
        .query_row([seq], |row| {
            Ok(Found {
                seq: row.get("seq")?,
                state: row.get("state")?,
                turn: recording(row.get("turn")?),
                order: Order::read(row)?,
                failure: row::failure(row.get("failure")?),
                end: row.get("ends_as")?,
                goes_forward: row.get("goes_forward")?,
                leaves: row.get("leaves")?,
                due: row.get::<_, Option<i64>>("due")?.map(Timestamp::from_millis),
            })
        })
        .optional()
}

/// Whether retention has kept the callback's body, without which the event cannot be worked on.
pub(super) fn has_body(txn: &Txn<'_>, event_seq: i64) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM bodies WHERE event = ?1")?
        .exists([event_seq])
}
