//! The journal of renames: written under a claim, read by the next run of the step.
//!
//! A manifest is written page by page. Its rows are drafts until the last page puts all of them in
//! force. If the process dies before that, nothing has begun: the first page of the next survey
//! replaces the drafts.

use std::ops::Range;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::apply::is_held;
use super::core::Txn;
use super::row::{
    DRAFTED, MOVE_COLUMNS, has_replaced, move_columns, part_number, phase_number, read_move,
    source_number, target_number,
};
use super::{keys, left, replaced, turn, whose};
use crate::model::id::TaskId;
use crate::model::moment::{Moment, Present};
use crate::model::moves::keys::Taken;
use crate::model::moves::whose::{Since, Took, is_another_announced};
use crate::model::moves::{Earlier, MadeBy, Move, Outline, SameOrigin};
use crate::model::recording::{Origin, Place, RecordingId};
use crate::model::task::{Attempt, StepNo, Task};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::JournalEntry;
use crate::store::task_key::TaskKey;

/// Maximum number of moves read per source: recordings can share an object.
const MOVES_FROM_A_PLACE: i64 = 16;

pub(super) enum Entered {
    Written,
    /// The claim is not the newest any more: nothing was written.
    Lost,
    /// A key of the page is taken. The step's drafts are removed, and it holds no key.
    Taken(Taken),
}

pub(super) struct By {
    pub(super) seq: TaskKey,
    pub(super) attempt: Attempt,
    pub(super) task: Task,
    /// Which of the recordings under its key the event is about, as rows have it.
    pub(super) origin: Option<String>,
    /// The newest event that was stored when the claim began.
    pub(super) known: i64,
    /// How many target keys of moves had been released then.
    pub(super) settled: u64,
}

pub(super) fn write(
    txn: &Txn<'_>,
    by: &By,
    entry: &JournalEntry,
    present: Present,
) -> rusqlite::Result<Entered> {
    let (seq, attempt, task, now) = (by.seq, by.attempt, &by.task, present.time);
    let (true, Some(recording)) = (is_held(txn, seq, attempt)?, task.recording) else {
        return Ok(Entered::Lost);
    };
    match entry {
        JournalEntry::Draft(page) => {
            replace(txn, seq, task.step, page, now)?;
            if let Some(taken) = keys::hold(txn, by, recording, page, present)? {
                drop_drafts(txn, seq, now)?;
                return Ok(Entered::Taken(taken));
            }
            let drafted = |_: &Move| DRAFTED;
            put(txn, by, recording, page, drafted)?;
        }
        JournalEntry::Manifest(page) => {
            replace(txn, seq, task.step, page, now)?;
            if let Some(taken) = keys::hold(txn, by, recording, page, present)? {
                drop_drafts(txn, seq, now)?;
                return Ok(Entered::Taken(taken));
            }
            put_in_force(txn, by)?;
            put(txn, by, recording, page, phase)?;
        }
        JournalEntry::Progress(moves) => {
            put(txn, by, recording, moves, phase)?;
            replaced::in_part(txn, by, recording, moves)?;
            left::take_over(txn, by, moves, now)?;
        }
        JournalEntry::Commit(place) => {
            commit(txn, by, recording, place, now)?;
            keys::release_read(txn, seq, now)?;
        }
        JournalEntry::Last(moves) => take(txn, seq, task.step, moves, present)?,
        JournalEntry::Begun { lingers } => begin(txn, seq, task.step, *lingers, present.moment)?,
        JournalEntry::Ended { late, lingers } => {
            under_way(txn, seq, task.step, false)?;
            keys::some_late(txn.conn, seq, late, *lingers, present.moment)?;
        }
    }
    Ok(Entered::Written)
}

/// A run begins. If the run before it has not ended, its requests may still arrive.
fn begin(
    txn: &Txn<'_>,
    seq: TaskKey,
    step: StepNo,
    lingers: Duration,
    now: Moment,
) -> rusqlite::Result<()> {
    let was_under_way = txn
        .conn
        .prepare_cached("SELECT 1 FROM manifests WHERE task = ?1 AND step = ?2 AND under_way = 1")?
        .exists((seq, step))?;
    if was_under_way {
        keys::all_late(txn.conn, seq, lingers, now)?;
    }
    under_way(txn, seq, step, true)
}

fn under_way(txn: &Txn<'_>, seq: TaskKey, step: StepNo, is: bool) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE manifests SET under_way = ?3 WHERE task = ?1 AND step = ?2")?
        .execute((seq, step, is))?;
    Ok(())
}

fn drop_drafts(txn: &Txn<'_>, seq: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    forget_drafts(txn, seq)?;
    keys::drop_held(txn.conn, seq, now)
}

fn forget_drafts(txn: &Txn<'_>, seq: TaskKey) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("DELETE FROM moves WHERE task = ?1 AND phase = 4")?
        .execute([seq])?;
    Ok(())
}

/// A claim of the task ends. An unsettled move keeps its keys, and so does a draft while the step
/// continues.
pub(super) fn release_keys(
    txn: &Txn<'_>,
    seq: TaskKey,
    transition: &Transition,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if turn::is_unfinished(txn, seq)? {
        return Ok(());
    }
    let goes_on = match transition {
        Transition::RetryAfter { .. } | Transition::Await { .. } | Transition::HandBack => true,
        Transition::Wait { on, .. } => on.keeps_keys(),
        _ => false,
    };
    if goes_on && has_drafts(txn, seq)? {
        return Ok(());
    }
    release(txn, seq, now)
}

/// The task has ended or waits: releases its keys and the tasks that wait for it.
pub(super) fn release(txn: &Txn<'_>, seq: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    forget_drafts(txn, seq)?;
    keys::release(txn, seq, now)
}

fn has_drafts(txn: &Txn<'_>, seq: TaskKey) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM moves WHERE task = ?1 AND phase = 4 LIMIT 1")?
        .exists([seq])
}

/// The first page of a manifest replaces what was there.
fn replace(
    txn: &Txn<'_>,
    seq: TaskKey,
    step: StepNo,
    page: &[Move],
    now: Timestamp,
) -> rusqlite::Result<()> {
    if page.first().is_some_and(|one| one.number == 0) {
        txn.conn
            .prepare_cached("DELETE FROM moves WHERE task = ?1 AND step = ?2")?
            .execute((seq, step))?;
        keys::drop_held(txn.conn, seq, now)?;
    }
    Ok(())
}

/// Nobody else names these sources any more: those that no other task holds are deleted by this
/// move.
fn take(
    txn: &Txn<'_>,
    seq: TaskKey,
    step: StepNo,
    moves: &[Move],
    now: Present,
) -> rusqlite::Result<()> {
    for one in moves {
        if keys::take(txn.conn, seq, &one.from, now)? {
            txn.conn
                .prepare_cached(
                    "UPDATE moves SET source = 0 WHERE task = ?1 AND step = ?2 AND number = ?3",
                )?
                .execute((seq, step, one.number))?;
        }
    }
    Ok(())
}

/// Turns the drafts into moves. An object that is already at its target (2) counts as copied (1).
/// From now on requests may be under way.
fn put_in_force(txn: &Txn<'_>, by: &By) -> rusqlite::Result<()> {
    let (seq, step) = (by.seq, by.task.step);
    txn.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO manifests (task, step, attempt, under_way, known) VALUES (?1, ?2, ?3, 1, ?4)",
        )?
        .execute((seq, step, by.attempt, by.known))?;
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
    by: &By,
    recording: RecordingId,
    moves: &[Move],
    phase: impl Fn(&Move) -> i64,
) -> rusqlite::Result<()> {
    let mut statement = txn.conn.prepare_cached(
        "INSERT OR REPLACE INTO moves (task, step, number, recording, from_bucket, from_key, to_bucket, to_key, size, \
         etag, target, target_etag, upload, phase, source, marked, part, job) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?;
    for one in moves {
        statement.execute(rusqlite::params![
            by.seq,
            by.task.step,
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
            source_number(one.source),
            one.is_marked,
            part_number(one.part),
            by.origin,
        ])?;
    }
    Ok(())
}

/// A move by a late task of an earlier event also counts for later events whose recording it moved:
/// otherwise they would look at the place that they name.
fn commit(
    txn: &Txn<'_>,
    by: &By,
    recording: RecordingId,
    place: &Place,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let (seq, task, job) = (by.seq, &by.task, by.origin.as_deref());
    let main = outline(txn.conn, seq, task.step)?.map(|outline| outline.main);
    let has_replaced = main.as_ref().is_some_and(Move::has_replaced);
    let from = main.map(|main| main.from);
    let known = match &from {
        Some(from) if RecordingId::of(from) == recording => known(txn, seq, task.step)?,
        _ => 0,
    };
    let event = seq.event();
    txn.conn
        .prepare_cached(
            "UPDATE recordings SET bucket = ?2, key = ?3, moved_event = max(coalesce(moved_event, 0), ?4, ?8), \
             mover_event = ?4, mover_generation = ?5, mover_rule = ?6, place = ?7, mover_known = ?8, mover_job = ?9, \
             replaced_by = NULL \
             WHERE id = ?1",
        )?
        .execute((
            recording.as_bytes(),
            &place.bucket,
            &place.key,
            event,
            task.generation,
            &*task.work.rule(),
            place.digest(),
            known,
            job,
        ))?;
    if let Some(from) = from {
        // A task without a job in its event moves the recordings of all jobs.
        txn.conn
            .prepare_cached(
                "UPDATE places SET bucket = ?2, key = ?3, moved_event = max(moved_event, ?4, ?8), mover_event = ?4, \
                 mover_generation = ?5, mover_rule = ?6, place = ?7, mover_known = ?8 \
                 WHERE recording = ?1 AND place = ?9",
            )?
            .execute((
                recording.as_bytes(),
                &place.bucket,
                &place.key,
                event,
                task.generation,
                &*task.work.rule(),
                place.digest(),
                known,
                from.digest(),
            ))?;
    }
    if let Some(job) = job {
        txn.conn
            .prepare_cached(
                "INSERT INTO places (recording, job, bucket, key, moved_event, mover_event, mover_generation, \
                 mover_rule, mover_known, place) VALUES (?1, ?2, ?3, ?4, max(?5, ?8), ?5, ?6, ?7, ?8, ?9) \
                 ON CONFLICT DO UPDATE SET bucket = excluded.bucket, key = excluded.key, \
                 moved_event = max(moved_event, excluded.moved_event), mover_event = excluded.mover_event, \
                 mover_generation = excluded.mover_generation, mover_rule = excluded.mover_rule, \
                 mover_known = excluded.mover_known, place = excluded.place, replaced_by = NULL",
            )?
            .execute((
                recording.as_bytes(),
                job,
                &place.bucket,
                &place.key,
                event,
                task.generation,
                &*task.work.rule(),
                known,
                place.digest(),
            ))?;
    }
    replaced::whole(txn, by, recording, place)?;
    if has_replaced {
        replaced::whole_where_named(txn, by, place)?;
    }
    replaced::renditions(txn, by, recording)?;
    txn.conn
        .prepare_cached("UPDATE manifests SET committed = 1 WHERE task = ?1 AND step = ?2")?
        .execute((seq, task.step))?;
    drop_drafts_of_others(txn, seq, recording, now)
}

/// Other tasks' drafts for the recording are outdated: it is no longer where they found it.
fn drop_drafts_of_others(
    txn: &Txn<'_>,
    seq: TaskKey,
    recording: RecordingId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let others: Vec<TaskKey> = txn
        .conn
        .prepare_cached(
            "SELECT seq FROM tasks WHERE recording = ?1 AND (state < 2 OR state = 3) AND needs_turn = 1 AND seq <> ?2",
        )?
        .query_map((recording.as_bytes(), seq), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for other in others {
        if has_drafts(txn, other)? {
            drop_drafts(txn, other, now)?;
        }
    }
    Ok(())
}

/// For a move from where the recording was recorded: the newest event that was stored before the
/// manifest's survey, so whose recording it moved.
fn known(txn: &Txn<'_>, seq: TaskKey, step: StepNo) -> rusqlite::Result<i64> {
    let known: Option<i64> = txn
        .conn
        .prepare_cached("SELECT known FROM manifests WHERE task = ?1 AND step = ?2")?
        .query_row((seq, step), |row| row.get(0))
        .optional()?;
    Ok(known.unwrap_or(0))
}

/// The outline of one step's moves. With a lone `max()`, SQLite takes the other columns from the
/// row of the maximum: the last one.
pub(super) fn outline(
    conn: &Connection,
    seq: TaskKey,
    step: StepNo,
) -> rusqlite::Result<Option<Outline>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        ", max(number), count(*), sum(phase = 2), sum(phase = 3 OR phase = 5), \
         sum(target < 2 OR target_etag IS NOT NULL), sum(size), \
         sum(",
        has_replaced!(),
        ") FROM moves WHERE task = ?1 AND step = ?2 AND phase <> 4"
    ))?
    .query_row((seq, step), |row| {
        let count = row.get(MOVE_COLUMNS + 1)?;
        if count == 0 {
            return Ok(None);
        }
        Ok(Some(Outline {
            count,
            main: read_move(row)?,
            moved: row.get(MOVE_COLUMNS + 2)?,
            undone: row.get(MOVE_COLUMNS + 3)?,
            objects: row.get(MOVE_COLUMNS + 4)?,
            bytes: u64::try_from(row.get::<_, i64>(MOVE_COLUMNS + 5)?).unwrap_or(0),
            replaced: row.get(MOVE_COLUMNS + 6)?,
            committed: false,
            mark: String::new(),
            replaces: None,
        }))
    })
    .and_then(|outline| match outline {
        Some(outline) => with_manifest(conn, seq, step, outline),
        None => Ok(None),
    })
}

/// Adds the columns of the manifest's row; `None` without one: it is not in force yet.
fn with_manifest(
    conn: &Connection,
    seq: TaskKey,
    step: StepNo,
    outline: Outline,
) -> rusqlite::Result<Option<Outline>> {
    conn.prepare_cached(
        "SELECT committed, t.id, m.attempt FROM manifests m JOIN tasks t ON t.seq = m.task \
         WHERE m.task = ?1 AND m.step = ?2",
    )?
    .query_row((seq, step), |row| {
        let (id, attempt): ([u8; 16], Attempt) = (row.get(1)?, row.get(2)?);
        Ok(Outline {
            committed: row.get(0)?,
            mark: format!("{}.{step}.{attempt}", TaskId::from_bytes(id)),
            replaces: replaced::by(conn, seq, step, &outline.main)?,
            ..outline
        })
    })
    .optional()
}

pub(super) fn moves(
    conn: &Connection,
    seq: TaskKey,
    step: StepNo,
    numbers: &Range<u32>,
) -> rusqlite::Result<Vec<Move>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        " FROM moves WHERE task = ?1 AND step = ?2 AND number >= ?3 AND number < ?4 AND phase <> 4 \
         ORDER BY number"
    ))?
    .query_map((seq, step, numbers.start, numbers.end), read_move)?
    .collect()
}

/// The moves with these numbers of a manifest that is not in force yet.
pub(super) fn drafts(
    conn: &Connection,
    seq: TaskKey,
    step: StepNo,
    numbers: &Range<u32>,
) -> rusqlite::Result<Vec<Move>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        " FROM moves WHERE task = ?1 AND step = ?2 AND number >= ?3 AND number < ?4 AND phase = 4 \
         ORDER BY number"
    ))?
    .query_map((seq, step, numbers.start, numbers.end), read_move)?
    .collect()
}

/// The newest completed move from each place by any step of any task of the recording: a second
/// `rename` of a rule also looks for what the first one moved. Under a reused key, those of surely
/// another recording count only if there is no other.
pub(super) fn earlier(
    conn: &Connection,
    recording: RecordingId,
    origin: Option<&Origin>,
    from: &[Place],
) -> rusqlite::Result<Vec<Earlier>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        ", job FROM moves WHERE recording = ?1 AND from_bucket = ?2 AND from_key = ?3 AND phase = 2 \
         ORDER BY task DESC, step DESC LIMIT ?4"
    ))?;
    let mut found = Vec::new();
    for place in from {
        let row = (
            recording.as_bytes(),
            &place.bucket,
            &place.key,
            MOVES_FROM_A_PLACE,
        );
        let read = |row: &rusqlite::Row<'_>| {
            let mover: Option<String> = row.get(MOVE_COLUMNS)?;
            let mover = mover.as_deref().map(Origin::from_row);
            Ok(Earlier {
                one: read_move(row)?,
                origin: SameOrigin::of(mover.as_ref(), origin),
            })
        };
        let mut newest = None;
        for one in statement.query_map(row, read)? {
            let one: Earlier = one?;
            if one.origin != SameOrigin::No {
                newest = Some(one);
                break;
            }
            newest.get_or_insert(one);
        }
        found.extend(newest);
    }
    Ok(found)
}

/// From where a step moves its recording: the source of its last move.
fn main_from(conn: &Connection, seq: TaskKey, step: StepNo) -> rusqlite::Result<Place> {
    conn.prepare_cached(
        "SELECT from_bucket, from_key FROM moves WHERE task = ?1 AND step = ?2 ORDER BY number DESC LIMIT 1",
    )?
    .query_row((seq, step), |row| {
        let (bucket, key) = (row.get(0)?, row.get(1)?);
        Ok(Place { bucket, key })
    })
}

/// The newest completed moves from each place by tasks of any recording: shared objects are copied
/// more than once.
pub(super) fn made_from(
    conn: &Connection,
    seq: TaskKey,
    recording: RecordingId,
    origin: Option<&Origin>,
    from: &[Place],
) -> rusqlite::Result<Vec<MadeBy>> {
    let mut statement = conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        ", (SELECT id FROM tasks WHERE seq = task), recording, job, \
         (SELECT known FROM manifests WHERE manifests.task = moves.task AND manifests.step = moves.step), task, step \
         FROM moves WHERE from_bucket = ?1 AND from_key = ?2 AND phase = 2 AND target_etag IS NOT NULL \
         ORDER BY task DESC, step DESC LIMIT ?3"
    ))?;
    let mut found = Vec::new();
    for place in from {
        let row = (&place.bucket, &place.key, MOVES_FROM_A_PLACE);
        let read = |row: &rusqlite::Row<'_>| {
            let id: Option<[u8; 16]> = row.get(MOVE_COLUMNS)?;
            let of: Vec<u8> = row.get(MOVE_COLUMNS + 1)?;
            let mover: Option<String> = row.get(MOVE_COLUMNS + 2)?;
            let known: Option<i64> = row.get(MOVE_COLUMNS + 3)?;
            let mover = mover.as_deref().map(Origin::from_row);
            let is_of_this_key = of == recording.as_bytes();
            let main = main_from(conn, row.get(MOVE_COLUMNS + 4)?, row.get(MOVE_COLUMNS + 5)?)?;
            let compare = if is_of_this_key {
                SameOrigin::of
            } else {
                SameOrigin::of_job
            };
            let made = MadeBy {
                task: TaskId::from_bytes(id.unwrap_or_default()),
                one: read_move(row)?,
                is_of_this_key,
                is_from_named: of == RecordingId::of(&main).as_bytes(),
                origin: compare(mover.as_ref(), origin),
                was_announced: known.is_some_and(|known| seq.event() <= known),
                since: Since::Nothing,
            };
            let known = known.unwrap_or(0);
            Ok((
                made,
                Took {
                    origin: mover,
                    known,
                },
            ))
        };
        let moves: Vec<(MadeBy, Took)> =
            statement.query_map(row, read)?.collect::<Result<_, _>>()?;
        let (mut made, took): (Vec<MadeBy>, Vec<Took>) = moves.into_iter().unzip();
        if !made.is_empty() && RecordingId::of(place) == recording {
            let announced = whose::announced(conn, recording)?;
            for (made, one) in made.iter_mut().zip(&took) {
                if is_another_announced(origin, one.known, &announced, &took) {
                    made.since = Since::Another;
                }
            }
        }
        found.extend(made);
    }
    Ok(found)
}
