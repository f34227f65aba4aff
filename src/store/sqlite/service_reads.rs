//! The service's reads without a claim.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::claim::earlier;
use super::{row, wait};
use crate::model::id::TaskId;
use crate::model::task::{RevisionId, TaskState};
use crate::model::time::Timestamp;
use crate::store::Figures;

pub(super) fn revision(conn: &Connection, id: RevisionId) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT text FROM revisions WHERE id = ?1")?
        .query_row([id.number()], |row| row.get(0))
        .optional()
}

pub(super) fn cancel_requests(
    conn: &Connection,
    running: Vec<TaskId>,
) -> rusqlite::Result<Vec<TaskId>> {
    let mut statement = conn.prepare_cached("SELECT 1 FROM tasks WHERE seq = ?1 AND cancel = 1")?;
    let mut asked = Vec::new();
    for id in running {
        if let Some(key) = row::key_of(conn, id)?
            && statement.exists([key])?
        {
            asked.push(id);
        }
    }
    Ok(asked)
}

/// All lanes in which tasks wait for a time or for room, with one index lookup each.
pub(super) fn lanes(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached(
        "WITH RECURSIVE waiting (lane) AS ( \
             SELECT (SELECT min(lane) FROM tasks INDEXED BY tasks_due \
                     WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL) \
             UNION ALL \
             SELECT (SELECT min(lane) FROM tasks INDEXED BY tasks_due \
                     WHERE state = 0 AND blocked_by IS NULL AND waits_for IS NULL AND lane > waiting.lane) \
             FROM waiting WHERE waiting.lane IS NOT NULL \
         ) SELECT lane FROM waiting WHERE lane IS NOT NULL",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

/// When the first task that waits in the lane for a time or for room is due.
pub(super) fn first_due(conn: &Connection, lane: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT min(due) FROM tasks WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL AND waits_for IS NULL",
    )?
    .query_row([lane], |row| row.get(0))
}

/// The number of tasks in each state.
fn counts(conn: &Connection) -> rusqlite::Result<impl Fn(TaskState) -> u64> {
    let counts: Vec<i64> = conn
        .prepare_cached("SELECT tasks FROM counts ORDER BY state")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(move |state: TaskState| {
        let count = counts.get(state as usize);
        count
            .and_then(|count| u64::try_from(*count).ok())
            .unwrap_or(0)
    })
}

/// The number of tasks that wait.
pub(super) fn ready(conn: &Connection) -> rusqlite::Result<u64> {
    Ok(counts(conn)?(TaskState::Ready))
}

pub(super) fn figures(conn: &Connection, now: Timestamp) -> rusqlite::Result<Figures> {
    let count = counts(conn)?;
    let served = super::lanes::served(conn)?;
    let (mut due, mut waiting) = (None, wait::oldest(conn)?);
    for lane in lanes(conn)? {
        let oldest = if served.contains(&lane) {
            &mut due
        } else {
            &mut waiting
        };
        *oldest = earlier(*oldest, first_due(conn, &lane)?);
    }
    let age = |since: Option<i64>| {
        let age = since.map(|since| now.since(Timestamp::from_millis(since)));
        age.filter(|age| *age > Duration::ZERO)
    };
    let leaving: i64 = conn
        .prepare_cached(
            "SELECT count(*) FROM tasks INDEXED BY tasks_leaving WHERE leaves IS NOT NULL",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(Figures {
        ready: count(TaskState::Ready),
        running: count(TaskState::Running),
        done: count(TaskState::Done),
        dead: count(TaskState::Dead),
        cancelled: count(TaskState::Cancelled),
        oldest_due: age(due),
        oldest_waiting: age(waiting),
        leaving: u64::try_from(leaving).unwrap_or(0),
    })
}

pub(super) fn newest_event(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM events")?
        .query_row([], |row| row.get(0))
}
