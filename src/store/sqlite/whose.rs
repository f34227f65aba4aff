//! Notes which recordings a key that was used before is announced for, and answers whether one of
//! them is there now.

use rusqlite::Connection;

use super::core::Txn;
use crate::model::event::Event;
use crate::model::moves::whose::Announced;
use crate::model::recording::{Origin, RecordingId};

/// Notes the event if its key was used before: only then somebody may ask.
pub(super) fn note(txn: &Txn<'_>, event: &Event, event_seq: i64) -> rusqlite::Result<()> {
    let (Some(place), Some(origin)) = (event.fields.place(), event.fields.origin()) else {
        return Ok(());
    };
    txn.conn
        .prepare_cached(
            "INSERT INTO announced (recording, job, event) SELECT ?1, ?2, ?3 \
             WHERE EXISTS (SELECT 1 FROM recordings WHERE id = ?1) \
             OR EXISTS (SELECT 1 FROM moves WHERE from_bucket = ?4 AND from_key = ?5) \
             ON CONFLICT DO UPDATE SET event = excluded.event",
        )?
        .execute((
            place.digest(),
            origin.to_row(),
            event_seq,
            place.bucket,
            place.key,
        ))?;
    Ok(())
}

pub(super) fn announced(
    conn: &Connection,
    recording: RecordingId,
) -> rusqlite::Result<Vec<Announced>> {
    conn.prepare_cached("SELECT job, event FROM announced WHERE recording = ?1")?
        .query_map([recording.as_bytes()], |row| {
            let job: String = row.get(0)?;
            Ok(Announced {
                origin: Origin::from_row(&job),
                event: row.get(1)?,
            })
        })?
        .collect()
}
