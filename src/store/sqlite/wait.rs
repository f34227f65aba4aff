//! Tasks that wait for something outside them: keys that another task uses, a rule that cannot be
//! read, a name that is gone.
//!
//! `waits_for` names it and keeps the task out of the index of due tasks, so waiting tasks do not
//! slow claims down. The service releases them when the thing is back, some at a time; tasks
//! that wait for keys are released in the transaction that frees the keys. `due` stays as it was:
//! it shows how long they have waited, and they come first afterwards.

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::keys;
use crate::model::time::Timestamp;
use crate::model::wait::{Outside, WaitsFor};
use crate::store::task_key::TaskKey;

const RELEASED: usize = 500;

/// Prefix of `waits_for` for keys; the number of the task that holds them follows.
const KEYS: &str = "keys/";

/// The `waits_for` of a task; `None` when it waits only for its lane, or the keys are already free.
pub(super) fn text(conn: &Connection, on: &WaitsFor) -> rusqlite::Result<Option<String>> {
    match on {
        WaitsFor::ItsLane | WaitsFor::Until(_) => Ok(None),
        WaitsFor::Keys(id) => Ok(keys::holder(conn, *id)?.map(keys_of)),
        WaitsFor::Outside(outside) => Ok(Some(outside.to_string())),
    }
}

fn keys_of(holder: TaskKey) -> String {
    format!("{KEYS}{}", holder.stored())
}

/// The task that has to end or continue before this one can: it holds the keys, is the head of the
/// order, or has the turn.
pub(super) fn before(conn: &Connection, seq: TaskKey) -> rusqlite::Result<Option<TaskKey>> {
    let before: Option<(Option<String>, Option<TaskKey>)> = conn
        .prepare_cached(
            "SELECT waits_for, coalesce((SELECT head FROM orders WHERE id = blocked_by), \
             (SELECT turn FROM recordings WHERE id = blocked_by)) FROM tasks WHERE seq = ?1 AND state = 0",
        )?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((waits_for, ahead)) = before else {
        return Ok(None);
    };
    let holder = waits_for.and_then(|text| text.strip_prefix(KEYS)?.parse().ok());
    Ok(holder.map(TaskKey::from_stored).or(ahead))
}

/// Everything outside the queue that tasks wait for, with one index lookup each.
pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<Outside>> {
    let texts: Vec<String> = conn
        .prepare_cached(
            "WITH RECURSIVE waiting (thing) AS ( \
                 SELECT (SELECT min(waits_for) FROM tasks INDEXED BY tasks_waiting WHERE state = 0 AND waits_for IS NOT NULL) \
                 UNION ALL \
                 SELECT (SELECT min(waits_for) FROM tasks INDEXED BY tasks_waiting WHERE state = 0 AND waits_for > waiting.thing) \
                 FROM waiting WHERE waiting.thing IS NOT NULL \
             ) SELECT thing FROM waiting WHERE thing IS NOT NULL",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Releases the longest waiting tasks; answers whether there may be more.
pub(super) fn release(txn: &Txn<'_>, on: &Outside, now: Timestamp) -> rusqlite::Result<bool> {
    some(txn.conn, &on.to_string(), now)
}

/// Releases all tasks that wait for keys of this one.
pub(super) fn release_keys(
    conn: &Connection,
    holder: TaskKey,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let on = keys_of(holder);
    while some(conn, &on, now)? {}
    Ok(())
}

fn some(conn: &Connection, on: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let released = conn
        .prepare_cached(
            "UPDATE tasks SET waits_for = NULL, due = min(due, ?3), wait = 0, note = NULL WHERE seq IN \
             (SELECT seq FROM tasks WHERE state = 0 AND waits_for = ?1 ORDER BY due LIMIT ?2)",
        )?
        .execute((on, RELEASED, now.millis()))?;
    Ok(released == RELEASED)
}

pub(super) fn oldest(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT min(due) FROM tasks INDEXED BY tasks_waiting_since WHERE state = 0 AND waits_for IS NOT NULL")?
        .query_row([], |row| row.get(0))
}
