//! The turn of a recording: one task at a time may move or tag it, in order of acceptance.
//!
//! A task holds the turn until it leaves the step that needs it. Waiting tasks are blocked by the
//! recording; giving up the turn passes it on in the same transaction.

use rusqlite::{OptionalExtension, Row};

use super::core::Txn;
use super::{replaced, waiting};
use crate::model::event::Event;
use crate::model::id::TaskId;
use crate::model::recording::{MovedBy, Place, RecordingId, Replaced};
use crate::model::time::Timestamp;
use crate::store::Located;
use crate::store::task_key::TaskKey;

/// Takes the turn unless another task has it; answers whether the task has it now.
pub(super) fn take(txn: &Txn<'_>, seq: TaskKey, recording: RecordingId) -> rusqlite::Result<bool> {
    let holder: TaskKey = txn
        .conn
        .prepare_cached(
            "INSERT INTO recordings (id, turn) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET turn = coalesce(turn, ?2) RETURNING turn",
        )?
        .query_row((recording.as_bytes(), seq), |row| row.get(0))?;
    Ok(holder == seq)
}

/// Passes the turn on to the first waiting task. If the holder is due at once, it `competes`: it
/// keeps the turn before later tasks. Answers whether it kept it.
pub(super) fn pass_on(
    txn: &Txn<'_>,
    seq: TaskKey,
    recording: RecordingId,
    competes: bool,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let waiting = waiting::first(txn, recording.as_bytes())?;
    if competes && waiting.is_none_or(|next| seq < next) {
        return Ok(true);
    }
    set(txn, recording, waiting)?;
    if let Some(next) = waiting {
        waiting::release(txn, next, now)?;
    }
    Ok(false)
}

/// Whether a move of the task is half done: then nobody else may touch the recording.
pub(super) fn is_unfinished(txn: &Txn<'_>, seq: TaskKey) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM moves WHERE task = ?1 AND phase < 2 LIMIT 1")?
        .exists([seq])
}

/// Where the recording is, as seen by a task of the event with key `event_seq`. Moves that only
/// earlier events' tasks made do not count, because the recorder has written the object again; nor
/// do moves for another job or start, which are of another recording under the same key.
pub(super) fn located(
    txn: &Txn<'_>,
    event: &Event,
    event_seq: i64,
    generation: u32,
    recording: Option<RecordingId>,
) -> rusqlite::Result<Option<Located>> {
    let (Some(named), Some(recording)) = (event.fields.place(), recording) else {
        return Ok(None);
    };
    let read = |row: &Row<'_>| {
        let planning: (i64, u32) = (row.get(3)?, row.get(4)?);
        Ok(Located {
            place: Place {
                bucket: row.get(0)?,
                key: row.get(1)?,
            },
            replaced: replaced_where_moved(row)?,
            moved_by: Some(MovedBy {
                rule: row.get(2)?,
                same_planning: planning == (event_seq, generation),
                // A replay of the event moves it again.
                took_it_whole: generation == 0
                    && planning.0 < event_seq
                    && row.get::<_, i64>(5)? >= event_seq,
            }),
        })
    };
    let origin = event.fields.origin().map(|origin| origin.to_row());
    let asks = (recording.as_bytes(), event_seq, origin);
    let of_job = txn
        .conn
        .prepare_cached(
            "SELECT bucket, key, mover_rule, mover_event, mover_generation, mover_known, replaced_by, place IS NOT NULL FROM places \
             WHERE recording = ?1 AND job = ?3 AND moved_event >= ?2",
        )?
        .query_row(asks.clone(), read)
        .optional()?;
    let moved = match of_job {
        Some(moved) => Some(moved),
        None => txn
            .conn
            .prepare_cached(
                "SELECT bucket, key, mover_rule, mover_event, mover_generation, mover_known, replaced_by, place IS NOT NULL FROM recordings \
                 WHERE id = ?1 AND moved_event >= ?2 AND (mover_job IS NULL OR ?3 IS NULL)",
            )?
            .query_row(asks, read)
            .optional()?,
    };
    if moved.is_some() {
        return Ok(moved);
    }
    Ok(Some(Located {
        place: named,
        moved_by: None,
        replaced: replaced::where_named(txn.conn, recording, event_seq)?,
    }))
}

/// A recording that still has a place was only replaced in part.
fn replaced_where_moved(row: &Row<'_>) -> rusqlite::Result<Option<Replaced>> {
    let by: Option<[u8; 16]> = row.get(6)?;
    let in_part = row.get(7)?;
    Ok(by.map(|by| Replaced {
        by: TaskId::from_bytes(by),
        in_part,
    }))
}

fn set(txn: &Txn<'_>, recording: RecordingId, turn: Option<TaskKey>) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE recordings SET turn = ?2 WHERE id = ?1")?
        .execute((recording.as_bytes(), turn))?;
    Ok(())
}
