//! The journal of renames: written under a claim, read by whoever takes the step up.
//!
//! A manifest is written page by page, and its rows are drafts until the last page puts all of
//! them in force. A process that dies in between has begun nothing: the next survey's first
//! page replaces what it left.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension};

use super::apply::is_held;
use super::core::Txn;
use super::row::{DRAFTED, TASK_BITS, move_columns, phase_number, read_move, target_number};
use crate::model::moves::{Move, Outline};
use crate::model::recording::{Place, RecordingId};
use crate::model::task::{Attempt, StepNo, Task};
use crate::store::JournalEntry;

/// Writes the entry; whether the claim was still the newest.
pub(super) fn write(
    txn: &Txn<'_>,
    seq: i64,
    attempt: Attempt,
    task: &Task,
    entry: &JournalEntry,
) -> rusqlite::Result<bool> {
    let (true, Some(recording)) = (is_held(txn, seq, attempt)?, task.recording) else {
        return Ok(false);
    };
    match entry {
        JournalEntry::Draft(page) => {
            replace(txn, seq, task.step, page)?;
            let drafted = |_: &Move| DRAFTED;
            put(txn, seq, task.step, recording, page, drafted)?;
        }
        JournalEntry::Manifest(page) => {
            replace(txn, seq, task.step, page)?;
            put_in_force(txn, seq, task.step)?;
            put(txn, seq, task.step, recording, page, phase)?;
        }
        JournalEntry::Progress(moves) => put(txn, seq, task.step, recording, moves, phase)?,
        JournalEntry::Commit(place) => commit(txn, seq, task, recording, place)?,
    }
    Ok(true)
}

/// The first page of a manifest begins it anew.
fn replace(txn: &Txn<'_>, seq: i64, step: StepNo, page: &[Move]) -> rusqlite::Result<()> {
    if page.first().is_some_and(|one| one.number == 0) {
        txn.conn
            .prepare_cached("DELETE FROM moves WHERE task = ?1 AND step = ?2")?
            .execute((seq, step))?;
    }
    Ok(())
}

/// Makes the drafts moves of which nothing is begun. An object that is present at its target
/// (2) counts as copied (1).
fn put_in_force(txn: &Txn<'_>, seq: i64, step: StepNo) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE moves SET phase = iif(target = 2, 1, 0) WHERE task = ?1 AND step = ?2 AND phase = 4",
        )?
        .execute((seq, step))?;
    Ok(())
}

fn phase(one: &Move) -> i64 {
    phase_number(one.phase)
}

fn put(
    txn: &Txn<'_>,
    seq: i64,
    step: StepNo,
    recording: RecordingId,
    moves: &[Move],
    phase: impl Fn(&Move) -> i64,
) -> rusqlite::Result<()> {
    let mut statement = txn.conn.prepare_cached(
        "INSERT OR REPLACE INTO moves (task, step, number, recording, from_bucket, from_key, to_bucket, to_key, size, \
         etag, target, target_etag, upload, phase) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for one in moves {
        statement.execute(rusqlite::params![
            seq,
            step,
            one.number,
            recording.as_bytes(),
            one.from.bucket,
            one.from.key,
            one.to.bucket,
            one.to.key,
            i64::try_from(one.size).unwrap_or(i64::MAX),
            one.etag,
            target_number(one.target),
            one.target_etag,
            one.upload,
            phase(one),
        ])?;
    }
    Ok(())
}

/// A late task of an earlier event moves the recording for later events, too: what they
/// were told of where it is must not fall back to the place that they name.
fn commit(
    txn: &Txn<'_>,
    seq: i64,
    task: &Task,
    recording: RecordingId,
    place: &Place,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE recordings SET bucket = ?2, key = ?3, moved_event = max(coalesce(moved_event, 0), ?4), \
             mover_event = ?4, mover_generation = ?5, mover_rule = ?6 WHERE id = ?1",
        )?
        .execute((recording.as_bytes(), &place.bucket, &place.key, seq >> TASK_BITS, task.generation, &task.rule))?;
    Ok(())
}

/// The moves of one step in short. Beside a lone `max()`, SQLite takes the other columns from
/// the row that has it: the last one.
pub(super) fn outline(
    conn: &Connection,
    seq: i64,
    step: StepNo,
) -> rusqlite::Result<Option<Outline>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        ", max(number), count(*), sum(phase = 2), sum(phase = 3), \
         sum(target < 2 OR target_etag IS NOT NULL), sum(size) \
         FROM moves WHERE task = ?1 AND step = ?2 AND phase < 4"
    ))?
    .query_row((seq, step), |row| {
        let count = row.get(12)?;
        if count == 0 {
            return Ok(None);
        }
        Ok(Some(Outline {
            count,
            main: read_move(row)?,
            moved: row.get(13)?,
            undone: row.get(14)?,
            objects: row.get(15)?,
            bytes: u64::try_from(row.get::<_, i64>(16)?).unwrap_or(0),
        }))
    })
}

/// The moves of one step with these numbers.
pub(super) fn moves(
    conn: &Connection,
    seq: i64,
    step: StepNo,
    numbers: &Range<u32>,
) -> rusqlite::Result<Vec<Move>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        " FROM moves WHERE task = ?1 AND step = ?2 AND number >= ?3 AND number < ?4 AND phase < 4 \
         ORDER BY number"
    ))?
    .query_map((seq, step, numbers.start, numbers.end), read_move)?
    .collect()
}

/// The newest completed move from each of the places, by whichever step of whichever task
/// of the recording: a second `rename` of a rule looks for what the first one moved, too.
pub(super) fn earlier(
    conn: &Connection,
    recording: RecordingId,
    from: &[Place],
) -> rusqlite::Result<Vec<Move>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        " FROM moves WHERE recording = ?1 AND from_bucket = ?2 AND from_key = ?3 AND phase = 2 \
         ORDER BY task DESC, step DESC LIMIT 1"
    ))?;
    let mut found = Vec::new();
    for place in from {
        let row = (recording.as_bytes(), &place.bucket, &place.key);
        found.extend(statement.query_row(row, read_move).optional()?);
    }
    Ok(found)
}
