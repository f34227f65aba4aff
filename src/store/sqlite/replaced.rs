//! Marks recordings that another recording has overwritten, completely or in part.

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::journal::By;
use super::row::TASK_BITS;
use crate::model::id::TaskId;
use crate::model::moves::{Move, Target};
use crate::model::recording::{Place, RecordingId};
use crate::model::task::StepNo;

/// The task that moved the recording that this manifest replaces at its target, if one did. `main`
/// is the manifest's last move.
pub(super) fn by(
    conn: &Connection,
    seq: i64,
    step: StepNo,
    main: &Move,
) -> rusqlite::Result<Option<TaskId>> {
    if !matches!(main.target, Target::Replace | Target::Again) {
        return Ok(None);
    }
    let (recording, job): ([u8; 16], Option<String>) = conn
        .prepare_cached(
            "SELECT recording, job FROM moves WHERE task = ?1 AND step = ?2 AND number = ?3",
        )?
        .query_row((seq, step, main.number), |row| row.try_into())?;
    let moved: Option<(i64, u32, String)> = conn
        .prepare_cached(
            "SELECT mover_event, mover_generation, mover_rule FROM recordings WHERE place = ?1 AND id <> ?2 UNION ALL \
             SELECT mover_event, mover_generation, mover_rule FROM places WHERE place = ?1 AND (recording <> ?2 OR job <> ?3) \
             LIMIT 1",
        )?
        .query_row((main.to.digest(), recording, job), |row| row.try_into())
        .optional()?;
    let Some((event, generation, rule)) = moved else {
        return Ok(None);
    };
    let of_event = (event << TASK_BITS, (event + 1) << TASK_BITS);
    conn.prepare_cached(
        "SELECT id FROM tasks WHERE seq >= ?1 AND seq < ?2 AND rule = ?3 AND generation = ?4",
    )?
    .query_row((of_event.0, of_event.1, rule, generation), |row| {
        row.get(0).map(TaskId::from_bytes)
    })
    .optional()
}

/// Marks the recording that was here as overwritten, or its tasks would take the new one for it, or
/// what is now at the place where it was recorded. Without a job, it may be the recording of any
/// job.
pub(super) fn whole(
    txn: &Txn<'_>,
    task: TaskId,
    by: RecordingId,
    job: Option<&str>,
    place: &Place,
) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE recordings SET place = NULL, replaced_by = ?3 WHERE place = ?1 AND id <> ?2",
        )?
        .execute((place.digest(), by.as_bytes(), task.as_bytes()))?;
    txn.conn
        .prepare_cached(
            "UPDATE places SET place = NULL, replaced_by = ?4 WHERE place = ?1 AND (recording <> ?2 OR job <> ?3)",
        )?
        .execute((place.digest(), by.as_bytes(), job, task.as_bytes()))?;
    Ok(())
}

/// If one of these copies has replaced an object, the recording at the manifest's target is no
/// longer complete, even if the move is given up.
pub(super) fn in_part(
    txn: &Txn<'_>,
    by: &By,
    recording: RecordingId,
    moves: &[Move],
) -> rusqlite::Result<()> {
    if !moves.iter().any(Move::has_replaced) {
        return Ok(());
    }
    let (conn, task) = (txn.conn, by.task.id);
    let to = conn
        .prepare_cached(
            "SELECT to_bucket, to_key FROM moves WHERE task = ?1 AND step = ?2 ORDER BY number DESC LIMIT 1",
        )?
        .query_row((by.seq, by.task.step), |row| {
            let (bucket, key) = (row.get(0)?, row.get(1)?);
            Ok(Place { bucket, key })
        })?;
    let (place, job) = (to.digest(), by.job.as_deref());
    conn.prepare_cached(
        "UPDATE recordings SET replaced_by = ?3 WHERE place = ?1 AND id <> ?2 AND replaced_by IS NOT ?3",
    )?
    .execute((place, recording.as_bytes(), task.as_bytes()))?;
    conn.prepare_cached(
        "UPDATE places SET replaced_by = ?4 WHERE place = ?1 AND (recording <> ?2 OR job <> ?3) AND replaced_by IS NOT ?4",
    )?
    .execute((place, recording.as_bytes(), job, task.as_bytes()))?;
    Ok(())
}
