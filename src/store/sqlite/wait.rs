//! Tasks that wait for something outside them: for keys that another task uses, a rule that
//! cannot be read, a name that is gone.
//!
//! They name it in `waits_for`, which keeps them out of the index of due tasks: however many
//! wait, they cost a claim nothing. Whoever finds it there again releases them, a bounded
//! number at a time; those that wait for keys, in the transaction that gives the keys up. `due`
//! stays as it was, so that how long they wait can be told, and so that they come first when
//! they go on.

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::keys;
use crate::model::time::Timestamp;
use crate::model::wait::{Outside, WaitsFor};

/// Tasks that one call releases at the most.
const RELEASED: usize = 500;

/// How it begins what a task waits for that another one holds keys of; that one's number follows.
const KEYS: &str = "keys/";

/// What the column holds of a task that waits for this; `None` when it is in line for its
/// lane, also because the keys are free meanwhile.
pub(super) fn text(conn: &Connection, on: &WaitsFor) -> rusqlite::Result<Option<String>> {
    match on {
        WaitsFor::ItsLane | WaitsFor::Until(_) => Ok(None),
        WaitsFor::Keys(id) => Ok(keys::holder(conn, *id)?.map(keys_of)),
        WaitsFor::Outside(outside) => Ok(Some(outside.to_string())),
    }
}

fn keys_of(holder: i64) -> String {
    format!("{KEYS}{holder}")
}

/// The task that has to end, or to go on, before this one can: whose keys it waits for, that is
/// before it in its order, or that has the turn of its recording.
pub(super) fn before(conn: &Connection, seq: i64) -> rusqlite::Result<Option<i64>> {
    let before: Option<(Option<String>, Option<i64>)> = conn
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
    Ok(holder.or(ahead))
}

/// Everything that tasks wait for and that is no task's, one index step each.
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

/// Lets the tasks go on that have waited longest for it; whether there may be more.
pub(super) fn release(txn: &Txn<'_>, on: &Outside, now: Timestamp) -> rusqlite::Result<bool> {
    some(txn.conn, &on.to_string(), now)
}

/// Lets all tasks look anew that wait for keys of this one.
pub(super) fn release_keys(conn: &Connection, holder: i64, now: Timestamp) -> rusqlite::Result<()> {
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

/// Since when the task waits that waits longest.
pub(super) fn oldest(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT min(due) FROM tasks INDEXED BY tasks_waiting_since WHERE state = 0 AND waits_for IS NOT NULL")?
        .query_row([], |row| row.get(0))
}
