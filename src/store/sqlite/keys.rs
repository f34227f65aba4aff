//! The ledger of keys: which moves use which keys, and which requests may still arrive.
//!
//! `model::moves::keys` decides which uses exclude each other; this module reads and writes. A task
//! that waits for a key holds none itself, so no two tasks wait for each other's.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::core::Txn;
use super::journal::By;
use super::{row, wait};
use crate::model::id::TaskId;
use crate::model::moment::{Moment, Present};
use crate::model::moves::keys::{Held, Taken, TakenBy, Use, forbids};
use crate::model::moves::{Move, Target};
use crate::model::recording::{Place, RecordingId};
use crate::model::time::Timestamp;
use crate::store::task_key::TaskKey;

/// Maximum length of a chain of waiting tasks that is searched for a circle.
const HOPS: usize = 64;

fn uses(one: &Move) -> impl Iterator<Item = (&Place, Use)> {
    let to = match (one.target, &one.target_etag) {
        (Target::Absent | Target::Replace | Target::Again, _) => Some(Use::Writes),
        (Target::Present, Some(_)) => Some(Use::Reads),
        // An outdated object is only deleted.
        (Target::Present, None) => None,
    };
    let from = (&one.from, one.source.used());
    std::iter::once(from).chain(to.map(|used| (&one.to, used)))
}

/// Holds the keys of these moves for the task; if one is taken, holds none and returns it.
pub(super) fn hold(
    txn: &Txn<'_>,
    by: &By,
    recording: RecordingId,
    moves: &[Move],
    now: Present,
) -> rusqlite::Result<Option<Taken>> {
    let (conn, seq) = (txn.conn, by.seq);
    for one in moves {
        for (place, wanted) in uses(one) {
            if let Some(by) = taken(conn, seq, place, wanted, now)? {
                let key = place.clone();
                return Ok(Some(Taken { key, by }));
            }
        }
        if one.target != Target::Present
            && let Some(by) = settled(txn, by, &one.to)?
        {
            let key = one.to.clone();
            return Ok(Some(Taken { key, by }));
        }
        // A copy that came to the key of the recording since the claim began would be taken for it.
        if RecordingId::of(&one.from) == recording
            && let Some(by) = settled(txn, by, &one.from)?
        {
            let key = one.from.clone();
            return Ok(Some(Taken { key, by }));
        }
        let ends = match one.target {
            Target::Replace | Target::Again => Some(&one.to),
            Target::Present if one.only_goes() => Some(&one.from),
            Target::Absent | Target::Present => None,
        };
        if let Some(place) = ends
            && let Some(by) = wanted_by(conn, seq, recording, place)?
        {
            let key = place.clone();
            return Ok(Some(Taken { key, by }));
        }
    }
    for (place, used) in moves.iter().flat_map(uses) {
        insert(conn, seq, place, used)?;
    }
    Ok(None)
}

/// The task whose move to this key has ended since the claim began, or which shares the key since
/// then: what the claim found there, and in the playlists next to it, may be outdated.
fn settled(txn: &Txn<'_>, by: &By, place: &Place) -> rusqlite::Result<Option<TakenBy>> {
    let task = txn.settled.borrow().since(by.settled, place.digest());
    task.filter(|task| *task != by.seq)
        .map(|task| Ok(TakenBy::Move(id_of(txn.conn, task)?)))
        .transpose()
}

/// What forbids the task to use the key like this, if anything.
pub(super) fn taken(
    conn: &Connection,
    seq: TaskKey,
    place: &Place,
    wanted: Use,
    now: Present,
) -> rusqlite::Result<Option<TakenBy>> {
    let mut statement = conn.prepare_cached(
        "SELECT task, used, coalesce(until - ?2, lasts) FROM keys WHERE key = ?1",
    )?;
    let mut rows = statement.query((place.digest(), now.moment.millis()))?;
    while let Some(row) = rows.next()? {
        let task: TaskKey = row.get(0)?;
        let used = row.get::<_, Option<i64>>(1)?.map(use_of);
        let late = remaining(row.get(2)?);
        let mut held = Held {
            used,
            own: task == seq,
            takes_turns: false,
            late: late.is_some(),
        };
        if !forbids(held, wanted) {
            continue;
        }
        held.takes_turns = are_of_one_recording(conn, task, seq)?;
        if !forbids(held, wanted) {
            continue;
        }
        return Ok(Some(match (used, late) {
            (Some(_), _) if task != seq => TakenBy::Move(id_of(conn, task)?),
            (_, late) => TakenBy::Late(now.time.plus(late.unwrap_or_default())),
        }));
    }
    Ok(None)
}

fn are_of_one_recording(conn: &Connection, one: TaskKey, other: TaskKey) -> rusqlite::Result<bool> {
    conn.prepare_cached(
        "SELECT 1 FROM tasks a JOIN tasks b ON b.recording = a.recording WHERE a.seq = ?1 AND b.seq = ?2",
    )?
    .exists((one, other))
}

/// The task that is about to move another recording from `place`, or that died before it could move
/// it from where it was recorded.
///
/// A reused key has one recording for each job and start. Which of them a task is about is known once a task
/// of its event has moved something; until then it may be any.
fn wanted_by(
    conn: &Connection,
    seq: TaskKey,
    recording: RecordingId,
    place: &Place,
) -> rusqlite::Result<Option<TakenBy>> {
    let digest = place.digest();
    let wanting: Option<TaskKey> = conn
        .prepare_cached(
            "SELECT min(t.seq) FROM tasks t INDEXED BY tasks_recording LEFT JOIN recordings r ON r.id = t.recording \
             WHERE (t.state < 2 OR t.state = 3) AND (t.state < 3 OR (r.place IS NULL AND r.replaced_by IS NULL AND t.recording = ?2)) \
             AND t.needs_turn = 1 AND t.recording <> ?1 AND t.seq <> ?3 \
             AND t.recording IN (SELECT ?2 UNION ALL SELECT id FROM recordings WHERE place = ?2 \
             UNION ALL SELECT recording FROM places WHERE place = ?2) \
             AND coalesce( \
             (SELECT coalesce(p.place = ?2, 0) FROM places p WHERE p.recording = t.recording AND p.moved_event >= t.seq >> 16 \
             AND p.job = (SELECT job FROM moves WHERE task >= t.seq >> 16 << 16 AND task < ((t.seq >> 16) + 1) << 16 \
             AND job IS NOT NULL LIMIT 1)), \
             EXISTS (SELECT 1 FROM places p WHERE p.recording = t.recording AND p.place = ?2 AND p.moved_event >= t.seq >> 16) \
             OR (r.place = ?2 AND r.moved_event >= t.seq >> 16) \
             OR (t.recording = ?2 AND ((r.place IS NULL AND r.replaced_by IS NULL) OR r.moved_event < t.seq >> 16 OR r.mover_job IS NOT NULL) \
             AND NOT EXISTS (SELECT 1 FROM replaced x WHERE x.recording = ?2 AND x.known >= t.seq >> 16)))",
        )?
        .query_row((recording.as_bytes(), digest, seq), |row| row.get(0))?;
    let Some(wanting) = wanting else {
        return Ok(None);
    };
    let id = id_of(conn, wanting)?;
    Ok(Some(if leads_to(conn, wanting, seq)? {
        TakenBy::Circle(id)
    } else {
        TakenBy::Wanted(id)
    }))
}

/// Whether a task waits for `end`, directly or through others.
fn leads_to(conn: &Connection, from: TaskKey, end: TaskKey) -> rusqlite::Result<bool> {
    let mut next = Some(from);
    for _ in 0..HOPS {
        let Some(task) = next else {
            return Ok(false);
        };
        if task == end {
            return Ok(true);
        }
        next = wait::before(conn, task)?;
    }
    Ok(true)
}

/// For how long a copy requested by the task may still arrive.
pub(super) fn late(
    conn: &Connection,
    seq: TaskKey,
    now: Moment,
) -> rusqlite::Result<Option<Duration>> {
    let left: Option<i64> = conn
        .prepare_cached(
            "SELECT max(coalesce(until - ?2, lasts)) FROM keys WHERE task = ?1 AND used = 2",
        )?
        .query_row((seq, now.millis()), |row| row.get(0))?;
    Ok(left.and_then(remaining))
}

fn remaining(millis: i64) -> Option<Duration> {
    let left = u64::try_from(millis).ok().filter(|millis| *millis > 0);
    left.map(Duration::from_millis)
}

/// Keeps all keys of the task taken for `lingers`: a run that sent requests did not end cleanly.
pub(super) fn all_late(
    conn: &Connection,
    seq: TaskKey,
    lingers: Duration,
    now: Moment,
) -> rusqlite::Result<()> {
    let (until, lasts) = (now.plus(lingers).millis(), Moment::after(lingers).millis());
    conn.prepare_cached(
        "UPDATE keys SET until = max(coalesce(until, ?2), ?2), lasts = max(lasts, ?3) WHERE task = ?1",
    )?
    .execute((seq, until, lasts))?;
    Ok(())
}

/// Keeps these keys taken for `lingers`.
pub(super) fn some_late(
    conn: &Connection,
    seq: TaskKey,
    places: &[Place],
    lingers: Duration,
    now: Moment,
) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO keys (key, task, until, lasts) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET until = max(coalesce(until, excluded.until), excluded.until), lasts = max(lasts, excluded.lasts)",
    )?;
    let (until, lasts) = (now.plus(lingers).millis(), Moment::after(lingers).millis());
    for place in places {
        insert.execute((place.digest(), seq, until, lasts))?;
    }
    Ok(())
}

/// The task's move has ended: only requests that may still arrive keep keys. Releases the tasks
/// that wait for it.
pub(super) fn release(txn: &Txn<'_>, seq: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    let written: Vec<[u8; 16]> = txn
        .conn
        .prepare_cached(
            "SELECT key FROM keys WHERE task = ?1 AND used = 2 AND \
             (EXISTS (SELECT 1 FROM manifests WHERE task = ?1 AND committed = 1) OR \
              EXISTS (SELECT 1 FROM moves WHERE task = ?1 AND phase = 5))",
        )?
        .query_map([seq], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for key in written {
        txn.settled.borrow_mut().add(seq, key);
    }
    free(txn.conn, seq)?;
    wait::release_keys(txn.conn, seq, now)
}

/// Releases the keys of a draft. A task that holds none wakes nobody: two tasks that wait for each
/// other would wake each other forever.
pub(super) fn drop_held(conn: &Connection, seq: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    if free(conn, seq)? == 0 {
        return Ok(());
    }
    wait::release_keys(conn, seq, now)
}

fn free(conn: &Connection, seq: TaskKey) -> rusqlite::Result<usize> {
    let gone = conn
        .prepare_cached("DELETE FROM keys WHERE task = ?1 AND lasts = 0")?
        .execute([seq])?;
    let late = conn
        .prepare_cached("UPDATE keys SET used = NULL WHERE task = ?1 AND used IS NOT NULL")?
        .execute([seq])?;
    Ok(gone + late)
}

/// The copies are made, so the task no longer relies on what it only read. Its own playlists may
/// name those objects from now on, although another task has already read the playlists.
pub(super) fn release_read(txn: &Txn<'_>, seq: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    let conn = txn.conn;
    let read: Vec<[u8; 16]> = conn
        .prepare_cached("SELECT key FROM keys WHERE task = ?1 AND used = 0")?
        .query_map([seq], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for key in read {
        txn.settled.borrow_mut().add(seq, key);
    }
    let deleted = conn
        .prepare_cached("DELETE FROM keys WHERE task = ?1 AND used = 0 AND lasts = 0")?
        .execute([seq])?;
    let left = conn
        .prepare_cached("UPDATE keys SET used = NULL WHERE task = ?1 AND used = 0")?
        .execute([seq])?;
    match deleted + left {
        0 => Ok(()),
        _ => wait::release_keys(conn, seq, now),
    }
}

/// Takes this key for the task unless another task holds it.
pub(super) fn take(
    conn: &Connection,
    seq: TaskKey,
    place: &Place,
    now: Present,
) -> rusqlite::Result<bool> {
    if taken(conn, seq, place, Use::Takes, now)?.is_some() {
        return Ok(false);
    }
    insert(conn, seq, place, Use::Takes)?;
    Ok(true)
}

fn insert(conn: &Connection, seq: TaskKey, place: &Place, used: Use) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO keys (key, task, used) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET used = max(coalesce(used, 0), excluded.used)",
    )?
    .execute((place.digest(), seq, number(used)))?;
    Ok(())
}

/// The task that must end before the keys of the task `id` are free; `None` if it has ended and
/// holds none.
pub(super) fn holder(conn: &Connection, id: TaskId) -> rusqlite::Result<Option<TaskKey>> {
    let Some(seq) = row::key_of(conn, id)? else {
        return Ok(None);
    };
    conn.prepare_cached(
        "SELECT seq FROM tasks WHERE seq = ?1 AND \
         (((state < 2 OR state = 3) AND needs_turn = 1) OR EXISTS (SELECT 1 FROM keys WHERE task = seq AND used IS NOT NULL))",
    )?
    .query_row([seq], |row| row.get(0))
    .optional()
}

/// Restarts the times of requests that may still arrive: nobody knows how long no process ran.
pub(super) fn recover(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE keys SET until = NULL WHERE lasts > 0 AND until IS NOT NULL",
        [],
    )?;
    Ok(())
}

/// Whether there are times that have not begun in this process.
pub(super) fn are_recovered(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM keys WHERE lasts > 0 AND until IS NULL LIMIT 1")?
        .exists([])
}

pub(super) fn begin(conn: &Connection, now: Moment) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE keys SET until = ?1 + lasts WHERE lasts > 0 AND until IS NULL")?
        .execute([now.millis()])?;
    Ok(())
}

/// Removes entries of requests that can no longer arrive.
pub(super) fn forget(conn: &Connection, now: Moment) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM keys WHERE used IS NULL AND lasts > 0 AND until <= ?1")?
        .execute([now.millis()])?;
    Ok(())
}

fn id_of(conn: &Connection, seq: TaskKey) -> rusqlite::Result<TaskId> {
    let id: Option<[u8; 16]> = conn
        .prepare_cached("SELECT id FROM tasks WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    // A task that holds keys is never pruned.
    Ok(TaskId::from_bytes(id.unwrap_or_default()))
}

const fn number(used: Use) -> i64 {
    match used {
        Use::Reads => 0,
        Use::Takes => 1,
        Use::Writes => 2,
    }
}

const fn use_of(number: i64) -> Use {
    match number {
        0 => Use::Reads,
        1 => Use::Takes,
        _ => Use::Writes,
    }
}
