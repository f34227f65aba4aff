//! Stores the certain time across restarts.

use rusqlite::Connection;

use crate::model::certain::{self, Certain, Reckoning};
use crate::model::event::Event;
use crate::model::moment::Present;
use crate::model::time::Timestamp;

/// Continues from the check before, and stores the progress.
pub(super) fn reckon(
    conn: &Connection,
    before: Option<Reckoning>,
    now: Present,
) -> rusqlite::Result<(Reckoning, Certain)> {
    begin(conn, now.time)?;
    let kept = conn
        .prepare_cached("SELECT time FROM certain")?
        .query_row([], |row| row.get(0).map(Timestamp::from_millis))?;
    let reckoning = Reckoning::go_on(before, kept, now);
    let certain = reckoning.certain(now.time);
    let Some(kept) = reckoning.to_keep(certain) else {
        return Ok((reckoning, certain));
    };
    keep(conn, certain.time())?;
    Ok((kept, certain))
}

/// Adopts the time that an event proves, which counts more than what was known. Rarely writes,
/// because the two are usually close.
pub(super) fn learn(conn: &Connection, event: &Event) -> rusqlite::Result<()> {
    if let Some(told) = certain::evidence_of(event) {
        conn.prepare_cached(
            "INSERT INTO certain (id, time) VALUES (1, ?1) ON CONFLICT DO UPDATE SET time = excluded.time \
             WHERE abs(time - excluded.time) > 600000",
        )?
        .execute([told.millis()])?;
    }
    Ok(())
}

/// Before the first check, the time is that of the newest event, or the clock's in an empty store.
fn begin(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO certain (id, time) VALUES (1, \
         coalesce((SELECT received FROM events WHERE seq = (SELECT max(seq) FROM events)), ?1)) \
         ON CONFLICT DO NOTHING",
    )?
    .execute([now.millis()])?;
    Ok(())
}

fn keep(conn: &Connection, time: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE certain SET time = ?1")?
        .execute([time.millis()])?;
    Ok(())
}
