//! Marks recordings that another recording has overwritten, completely or in part, and finds what
//! other recordings' tasks have put at a key.

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::journal::By;
use super::service_reads;
use crate::model::id::TaskId;
use crate::model::moves::{Move, PutBy, Target};
use crate::model::recording::{Place, RecordingId, Replaced};
use crate::model::task::StepNo;
use crate::store::task_key::TaskKey;

/// The characters of a start in rows: without them, an `Origin` is only a job.
const START: &str = "-0123456789";

/// The task that moved the recording that this manifest replaces at its target, if one did. `main`
/// is the manifest's last move.
pub(super) fn by(
    conn: &Connection,
    seq: TaskKey,
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
    let mover = movers(conn, recording, job.as_deref(), &main.to)?
        .into_iter()
        .next();
    Ok(mover.map(|(_, id)| id))
}

/// The tasks that have moved other recordings to this place, as far as these are still there. Of
/// recordings under the same key, only those of another job or start are other ones.
fn movers(
    conn: &Connection,
    recording: [u8; 16],
    job: Option<&str>,
    place: &Place,
) -> rusqlite::Result<Vec<(i64, TaskId)>> {
    let mut statement = conn.prepare_cached(
        "SELECT mover_event, mover_generation, mover_rule FROM recordings WHERE place = ?1 AND id <> ?2 UNION ALL \
         SELECT mover_event, mover_generation, mover_rule FROM places WHERE place = ?1 AND (recording <> ?2 OR job <> ?3)",
    )?;
    let mut plannings: Vec<(i64, u32, String)> = statement
        .query_map((place.digest(), recording, job), |row| row.try_into())?
        .collect::<Result<_, _>>()?;
    plannings.dedup();
    let mut movers = Vec::new();
    for (event, generation, rule) in plannings {
        let of_event = TaskKey::of_event(event);
        let task = conn
            .prepare_cached(
                "SELECT seq, id FROM tasks WHERE seq >= ?1 AND seq < ?2 AND rule = ?3 AND generation = ?4",
            )?
            .query_row((of_event.0, of_event.1, rule, generation), |row| {
                Ok((row.get(0)?, TaskId::from_bytes(row.get(1)?)))
            })
            .optional()?;
        movers.extend(task);
    }
    Ok(movers)
}

/// What tasks of other recordings have put at this place: a recording that was moved there, and
/// copies that were left there.
pub(super) fn put_by_others(
    conn: &Connection,
    recording: RecordingId,
    job: Option<&str>,
    place: &Place,
) -> rusqlite::Result<Vec<PutBy>> {
    let mut put = Vec::new();
    for (seq, task) in movers(conn, *recording.as_bytes(), job, place)? {
        let etag = conn
            .prepare_cached(
                "SELECT target_etag FROM moves WHERE task = ?1 AND to_bucket = ?2 AND to_key = ?3 AND phase IN (1, 2) AND target_etag IS NOT NULL \
                 ORDER BY step DESC, number DESC LIMIT 1",
            )?
            .query_row((seq, &place.bucket, &place.key), |row| row.get(0))
            .optional()?;
        put.extend(etag.map(|etag| PutBy { task, etag }));
    }
    let left = conn
        .prepare_cached(
            "SELECT t.id, m.target_etag FROM moves m JOIN tasks t ON t.seq = m.task \
             WHERE m.to_bucket = ?1 AND m.to_key = ?2 AND m.phase = 5 AND m.target_etag IS NOT NULL \
             AND (m.recording <> ?3 OR m.job <> ?4)",
        )?
        .query_map((&place.bucket, &place.key, recording.as_bytes(), job), |row| {
            let task = TaskId::from_bytes(row.get(0)?);
            let etag = row.get(1)?;
            Ok(PutBy { task, etag })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    put.extend(left);
    Ok(put)
}

/// Marks the recording that was moved here as overwritten, or its tasks would take the new one for
/// it, or what is now at the place where it was recorded. Without a job, it may be the recording of
/// any job.
pub(super) fn whole(
    txn: &Txn<'_>,
    by: &By,
    recording: RecordingId,
    place: &Place,
) -> rusqlite::Result<()> {
    let (task, job) = (by.task.id, by.origin.as_deref());
    txn.conn
        .prepare_cached(
            "UPDATE recordings SET place = NULL, replaced_by = ?3 WHERE place = ?1 AND id <> ?2",
        )?
        .execute((place.digest(), recording.as_bytes(), task.as_bytes()))?;
    txn.conn
        .prepare_cached(
            "UPDATE places SET place = NULL, replaced_by = ?4 WHERE place = ?1 AND (recording <> ?2 OR job <> ?3)",
        )?
        .execute((place.digest(), recording.as_bytes(), job, task.as_bytes()))?;
    Ok(())
}

/// Notes that a copy has replaced what was recorded at this place and not moved away: the recordings
/// of all events that are stored by now. What a later event announces was written later. What was
/// replaced before keeps the task that did it.
pub(super) fn whole_where_named(txn: &Txn<'_>, by: &By, place: &Place) -> rusqlite::Result<()> {
    let (recording, newest) = (place.digest(), service_reads::newest_event(txn.conn)?);
    txn.conn
        .prepare_cached("DELETE FROM replaced WHERE recording = ?1 AND in_part = 1")?
        .execute([recording])?;
    txn.conn
        .prepare_cached(
            "INSERT OR IGNORE INTO replaced (recording, known, mover, by, in_part) VALUES (?1, ?2, ?3, ?4, 0)",
        )?
        .execute((recording, newest, by.seq, by.task.id.as_bytes()))?;
    Ok(())
}

/// Like [`whole_where_named`], once a first copy has replaced a part.
fn in_part_where_named(txn: &Txn<'_>, by: &By, place: &Place) -> rusqlite::Result<()> {
    let newest = service_reads::newest_event(txn.conn)?;
    txn.conn
        .prepare_cached(
            "INSERT OR IGNORE INTO replaced (recording, known, mover, by, in_part) SELECT ?1, ?2, ?3, ?4, 1 \
             WHERE NOT EXISTS (SELECT 1 FROM replaced WHERE recording = ?1 AND mover = ?3)",
        )?
        .execute((place.digest(), newest, by.seq, by.task.id.as_bytes()))?;
    Ok(())
}

/// Which task has replaced the recording of this event where it was recorded, if one has: the first
/// one after the event.
pub(super) fn where_named(
    conn: &Connection,
    recording: RecordingId,
    event_seq: i64,
) -> rusqlite::Result<Option<Replaced>> {
    conn.prepare_cached(
        "SELECT by, in_part FROM replaced WHERE recording = ?1 AND known >= ?2 ORDER BY known LIMIT 1",
    )?
    .query_row((recording.as_bytes(), event_seq), |row| {
        let by = TaskId::from_bytes(row.get(0)?);
        let in_part = row.get(1)?;
        Ok(Replaced { by, in_part })
    })
    .optional()
}

/// Marks the recordings whose playlists this manifest replaces or deletes with the one at its target:
/// renditions that tasks moved by themselves. Without a job, and of the same one, they may be parts
/// of the recording that moves: the playlists of one job need not begin at once.
pub(super) fn renditions(txn: &Txn<'_>, by: &By, recording: RecordingId) -> rusqlite::Result<()> {
    let (conn, task) = (txn.conn, by.task.id);
    let Some(origin) = by.origin.as_deref() else {
        return Ok(());
    };
    let places: Vec<Place> = conn
        .prepare_cached(
            "SELECT iif(target = 2, from_bucket, to_bucket), iif(target = 2, from_key, to_key) FROM moves \
             WHERE task = ?1 AND step = ?2 AND part = 2 \
             AND (target = 1 OR target = 3 OR (target = 2 AND target_etag IS NULL AND source = 0))",
        )?
        .query_map((by.seq, by.task.step), |row| {
            let (bucket, key) = (row.get(0)?, row.get(1)?);
            Ok(Place { bucket, key })
        })?
        .collect::<Result<_, _>>()?;
    for place in places {
        let row = (
            place.digest(),
            recording.as_bytes(),
            task.as_bytes(),
            origin,
            START,
        );
        conn.prepare_cached(
            "UPDATE recordings SET place = NULL, replaced_by = ?3 WHERE place = ?1 AND id <> ?2 \
             AND rtrim(mover_job, ?5) <> rtrim(?4, ?5)",
        )?
        .execute(row)?;
        conn.prepare_cached(
            "UPDATE places SET place = NULL, replaced_by = ?3 WHERE place = ?1 AND recording <> ?2 \
             AND rtrim(job, ?5) <> rtrim(?4, ?5)",
        )?
        .execute(row)?;
    }
    Ok(())
}

/// If one of these copies has replaced an object, the recording at the manifest's target is no
/// longer complete, even if the move is given up. After the commit it is nowhere, which is noted.
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
    let is_committed = conn
        .prepare_cached("SELECT 1 FROM manifests WHERE task = ?1 AND step = ?2 AND committed = 1")?
        .exists((by.seq, by.task.step))?;
    if is_committed {
        return Ok(());
    }
    let (to, was_empty) = conn
        .prepare_cached(
            "SELECT to_bucket, to_key, target = 0 FROM moves WHERE task = ?1 AND step = ?2 ORDER BY number DESC LIMIT 1",
        )?
        .query_row((by.seq, by.task.step), |row| {
            let (bucket, key) = (row.get(0)?, row.get(1)?);
            Ok((Place { bucket, key }, row.get::<_, bool>(2)?))
        })?;
    if !was_empty {
        in_part_where_named(txn, by, &to)?;
    }
    let (place, job) = (to.digest(), by.origin.as_deref());
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
