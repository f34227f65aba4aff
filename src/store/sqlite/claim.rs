//! Claims due tasks, lane by lane.

use rusqlite::OptionalExtension;

use super::core::Txn;
use super::row::{self, StoredTask, task_columns};
use super::{service_reads, turn, waiting};
use crate::model::breaker::Whom;
use crate::model::plan::Turn;
use crate::model::task::TaskState;
use crate::model::time::Timestamp;
use crate::store::{Claim, Claimed, LaneRoom};

pub(super) fn claim(
    txn: &mut Txn<'_>,
    room: &[LaneRoom],
    now: Timestamp,
) -> rusqlite::Result<Claimed> {
    let mut claims = Vec::new();
    let mut next_due: Option<i64> = None;
    for LaneRoom { lane, free, whom } in room {
        let lane = lane.to_string();
        let full = claims.len() + free;
        // A task that has to wait for its turn leaves the index, so each round finds others.
        while claims.len() < full {
            let mut due = match whom {
                Whom::DueLongest => Vec::new(),
                Whom::MostTried => Vec::from_iter(most_tried(txn, &lane, now)?),
            };
            if due.is_empty() {
                due = due_longest(txn, &lane, full - claims.len(), now)?;
            }
            if due.is_empty() {
                break;
            }
            for row in due {
                claims.extend(take(txn, row, now)?);
            }
        }
        next_due = earlier(next_due, service_reads::first_due(txn.conn, &lane)?);
    }
    Ok(Claimed {
        claims,
        next_due: next_due.map(Timestamp::from_millis),
    })
}

fn due_longest(
    txn: &Txn<'_>,
    lane: &str,
    free: usize,
    now: Timestamp,
) -> rusqlite::Result<Vec<StoredTask>> {
    let limit = i64::try_from(free).unwrap_or(i64::MAX);
    txn.conn
        .prepare_cached(concat!(
            "SELECT ",
            task_columns!(),
            " FROM tasks WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL AND waits_for IS NULL AND due <= ?2 \
             ORDER BY due, seq LIMIT ?3"
        ))?
        .query_map((lane, now.millis(), limit), StoredTask::read)?
        .collect()
}

/// The tried task with the most tries among the due ones. Reads one task for each number of tries
/// that occurs in the lane.
fn most_tried(txn: &Txn<'_>, lane: &str, now: Timestamp) -> rusqlite::Result<Option<StoredTask>> {
    let mut level = fewer_tries(txn, lane, u32::MAX)?;
    while let Some(tries) = level {
        let found = txn
            .conn
            .prepare_cached(concat!(
                "SELECT ",
                task_columns!(),
                " FROM tasks INDEXED BY tasks_tried WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL AND waits_for IS NULL AND tries > 0 \
                 AND tries = ?2 AND due <= ?3 ORDER BY due, seq LIMIT 1"
            ))?
            .query_row((lane, tries, now.millis()), StoredTask::read)
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
        level = fewer_tries(txn, lane, tries)?;
    }
    Ok(None)
}

/// The highest number of tries below `most` among waiting tasks of the lane.
fn fewer_tries(txn: &Txn<'_>, lane: &str, most: u32) -> rusqlite::Result<Option<u32>> {
    txn.conn
        .prepare_cached(
            "SELECT max(tries) FROM tasks INDEXED BY tasks_tried WHERE lane = ?1 AND state = 0 AND blocked_by IS NULL \
             AND waits_for IS NULL AND tries > 0 AND tries < ?2",
        )?
        .query_row((lane, most), |row| row.get(0))
}

pub(super) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    [one, other].into_iter().flatten().min()
}

fn take(txn: &mut Txn<'_>, mut row: StoredTask, now: Timestamp) -> rusqlite::Result<Option<Claim>> {
    if let (Turn::Needed, Some(recording)) = (row.turn, row.recording)
        && !turn::take(txn, row.seq, recording)?
    {
        waiting::wait(txn, row.seq, recording.as_bytes())?;
        return Ok(None);
    }
    // An event received while the clock was ahead has as much time as one received now.
    row.since = row.since.min(now);
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 1, attempt = attempt + 1, tries = tries + 1, since = ?2, note = NULL WHERE seq = ?1",
        )?
        .execute((row.seq, row.since.millis()))?;
    txn.leaves(TaskState::Ready);
    txn.enters(TaskState::Running);
    row.attempt += 1;
    row.tries += 1;
    claimed(txn, row)
}

/// The claim of a task that its row says is running.
pub(super) fn claimed(txn: &Txn<'_>, row: StoredTask) -> rusqlite::Result<Option<Claim>> {
    let (key, attempt, cancel, event_seq) = (row.seq, row.attempt, row.cancel, row.seq.event());
    let given_up = row.given_up.clone();
    // Bodies of unsettled tasks are never pruned.
    let Some(event) = row::event(txn, event_seq)? else {
        return Ok(None);
    };
    let known = match row.turn {
        Turn::Needed => service_reads::newest_event(txn.conn)?,
        Turn::NotNeeded => event_seq,
    };
    let located = turn::located(txn, &event, event_seq, row.generation, row.recording)?;
    let Some(task) = row.task(event.id) else {
        return Ok(None);
    };
    Ok(Some(Claim {
        key,
        task,
        attempt,
        event,
        located,
        cancel,
        given_up,
        known,
        settled: txn.settled.borrow().count(),
    }))
}
