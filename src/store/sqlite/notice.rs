//! Stores the notice about a dead task, in the transaction that makes it dead.

use super::core::Txn;
use super::row::json;
use crate::model::failure::Failure;
use crate::model::id::{EventId, TaskId};
use crate::model::task::{Lane, TaskState};
use crate::model::time::Timestamp;
use crate::model::work::{DeadTask, rule_of_notices};
use crate::store::task_key::TaskKey;

/// Adds a task to the dead one's event that reports the death in `lane`. Each death gets a notice,
/// also after a retry.
pub(super) fn notify(
    txn: &mut Txn<'_>,
    dead: TaskKey,
    lane: &Lane,
    why: &Failure,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(seq) = next_of_event(txn, dead)? else {
        return Ok(());
    };
    let (death, id) = death(txn, dead, why, now)?;
    txn.conn
        .prepare_cached(
            "INSERT INTO tasks (seq, id, rule, generation, revision, step, tries, attempt, since, lane, death, \
             recording, needs_turn, state, due) \
             SELECT ?2, ?3, ?4, generation, revision, 0, 0, 0, ?5, ?6, ?7, recording, 0, 0, ?5 FROM tasks WHERE seq = ?1",
        )?
        .execute((
            dead,
            seq,
            id.as_bytes(),
            rule_of_notices(&death.rule),
            now.millis(),
            lane.to_string(),
            json(&death),
        ))?;
    txn.enters(TaskState::Ready);
    Ok(())
}

/// The next free key of a task of the same event; `None` when all are used.
fn next_of_event(txn: &Txn<'_>, seq: TaskKey) -> rusqlite::Result<Option<TaskKey>> {
    let (_, end) = TaskKey::of_event(seq.event());
    let last: TaskKey = txn
        .conn
        .prepare_cached("SELECT max(seq) FROM tasks WHERE seq < ?1")?
        .query_row([end], |row| row.get(0))?;
    Ok(last.next())
}

fn death(
    txn: &Txn<'_>,
    dead: TaskKey,
    why: &Failure,
    now: Timestamp,
) -> rusqlite::Result<(DeadTask, TaskId)> {
    txn.conn
        .prepare_cached(
            "SELECT t.id, t.rule, t.generation, t.step, t.tries, t.attempt, e.id AS event \
             FROM tasks t JOIN events e ON e.seq = t.seq >> 16 WHERE t.seq = ?1",
        )?
        .query_row([dead], |row| {
            let death = DeadTask {
                task: TaskId::from_bytes(row.get("id")?),
                rule: row.get("rule")?,
                step: row.get("step")?,
                tries: row.get("tries")?,
                at: now,
                failure: why.clone(),
            };
            let attempt: i64 = row.get("attempt")?;
            let name = format!("{}#{attempt}", rule_of_notices(&death.rule));
            let event = EventId::from_bytes(row.get("event")?);
            let id = TaskId::derive(event, &name, row.get("generation")?);
            Ok((death, id))
        })
}
