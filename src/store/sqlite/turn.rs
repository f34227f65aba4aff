//! Whose turn it is with a recording: one task at a time, in order of acceptance.
//!
//! A task holds the turn from when it is given until it leaves the step that needs it.
//! Waiting tasks name the holder in `blocked_by`, which keeps them out of the index of
//! due tasks; whoever gives the turn up passes it on in the same transaction.

use rusqlite::OptionalExtension;

use super::core::Txn;
use crate::model::event::Event;
use crate::model::recording::{MovedBy, Place, RecordingId};
use crate::store::Located;

/// Gives the turn to the task, or answers who holds it.
pub(super) fn take(
    txn: &Txn<'_>,
    seq: i64,
    recording: RecordingId,
) -> rusqlite::Result<Result<(), i64>> {
    let holder: i64 = txn
        .conn
        .prepare_cached(
            "INSERT INTO recordings (id, turn) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET turn = coalesce(turn, ?2) RETURNING turn",
        )?
        .query_row((recording.as_bytes(), seq), |row| row.get(0))?;
    Ok(if holder == seq { Ok(()) } else { Err(holder) })
}

/// Sets the task to wait for the holder.
pub(super) fn wait(txn: &Txn<'_>, seq: i64, holder: i64) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE tasks SET blocked_by = ?2 WHERE seq = ?1")?
        .execute((seq, holder))?;
    Ok(())
}

/// Passes the turn of `seq` on to whoever waits longest. A holder that is due at once
/// `competes`: an earlier task keeps its turn before later ones. Answers whether it did.
pub(super) fn pass_on(
    txn: &Txn<'_>,
    seq: i64,
    recording: RecordingId,
    competes: bool,
) -> rusqlite::Result<bool> {
    let waiting: Option<i64> = txn
        .conn
        .prepare_cached("SELECT seq FROM tasks WHERE blocked_by = ?1 ORDER BY seq LIMIT 1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    match waiting {
        Some(next) if !(competes && seq < next) => {
            set(txn, recording, Some(next))?;
            txn.conn
                .prepare_cached("UPDATE tasks SET blocked_by = NULL WHERE seq = ?1")?
                .execute([next])?;
            txn.conn
                .prepare_cached("UPDATE tasks SET blocked_by = ?2 WHERE blocked_by = ?1")?
                .execute((seq, next))?;
            if competes {
                wait(txn, seq, next)?;
            }
            Ok(false)
        }
        _ if competes => Ok(true),
        _ => {
            set(txn, recording, None)?;
            Ok(false)
        }
    }
}

/// Whether the task has objects half moved: then nobody else may touch the recording.
pub(super) fn is_unfinished(txn: &Txn<'_>, seq: i64) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM moves WHERE task = ?1 AND phase < 2 LIMIT 1")?
        .exists([seq])
}

/// Where the recording is, seen from a task of the event with key `event_seq`: what only an
/// earlier event's task moved is back where the recorder has written it again.
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
    let moved = txn
        .conn
        .prepare_cached(
            "SELECT bucket, key, mover_rule, mover_event, mover_generation FROM recordings \
             WHERE id = ?1 AND moved_event >= ?2",
        )?
        .query_row((recording.as_bytes(), event_seq), |row| {
            let planning: (i64, u32) = (row.get(3)?, row.get(4)?);
            Ok(Located {
                place: Place {
                    bucket: row.get(0)?,
                    key: row.get(1)?,
                },
                moved_by: Some(MovedBy {
                    rule: row.get(2)?,
                    same_planning: planning == (event_seq, generation),
                }),
            })
        })
        .optional()?;
    Ok(Some(moved.unwrap_or(Located {
        place: named,
        moved_by: None,
    })))
}

fn set(txn: &Txn<'_>, recording: RecordingId, turn: Option<i64>) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE recordings SET turn = ?2 WHERE id = ?1")?
        .execute((recording.as_bytes(), turn))?;
    Ok(())
}
