//! Converts between rows and the model: only this module knows how columns are encoded.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};

use super::core::Txn;
use crate::model::attempt::{AttemptRecord, Exchange, Outcome};
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::id::{EventId, TaskId};
use crate::model::moves::{Move, MovePhase, Part, Source, Target};
use crate::model::plan::Turn;
use crate::model::recorder::Recorder;
use crate::model::recording::{Place, RecordingId};
use crate::model::task::{Attempt, Lane, Outputs, RevisionId, StepNo, Task, TaskState};
use crate::model::time::Timestamp;
use crate::model::work::{DeadTask, Work};
use crate::recorder::decode;
use crate::store::task_key::TaskKey;

/// The columns of `tasks` that [`TaskRow::read`] expects, in order. A macro, because statements are
/// constants.
macro_rules! task_columns {
    () => {
        "seq, id, rule, generation, revision, step, tries, attempt, since, outputs, lane, recording, \
         needs_turn, cancel, given_up, death"
    };
}
pub(super) use task_columns;

impl ToSql for TaskKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.stored().into())
    }
}

impl FromSql for TaskKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_stored)
    }
}

impl ToSql for TaskState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as u8).into())
    }
}

impl FromSql for TaskState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let state = usize::try_from(number)
            .ok()
            .and_then(|number| Self::ALL.get(number));
        state.copied().ok_or(FromSqlError::OutOfRange(number))
    }
}

/// A row of `tasks` without its event.
pub(super) struct StoredTask {
    pub(super) seq: TaskKey,
    pub(super) id: TaskId,
    pub(super) work: Work,
    pub(super) generation: u32,
    pub(super) revision: RevisionId,
    pub(super) step: u16,
    pub(super) tries: u32,
    pub(super) attempt: Attempt,
    pub(super) since: Timestamp,
    pub(super) outputs: Outputs,
    pub(super) lane: String,
    pub(super) recording: Option<RecordingId>,
    pub(super) turn: Turn,
    pub(super) cancel: bool,
    pub(super) given_up: Option<Failure>,
}

impl StoredTask {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: TaskId::from_bytes(row.get(1)?),
            work: work(row.get(2)?, row.get(15)?),
            generation: row.get(3)?,
            revision: RevisionId::from_number(row.get(4)?),
            step: row.get(5)?,
            tries: row.get(6)?,
            attempt: row.get(7)?,
            since: Timestamp::from_millis(row.get(8)?),
            outputs: outputs(row.get(9)?),
            lane: row.get(10)?,
            recording: recording(row.get(11)?),
            turn: if row.get(12)? {
                Turn::Needed
            } else {
                Turn::NotNeeded
            },
            cancel: row.get(13)?,
            given_up: failure(row.get(14)?),
        })
    }

    pub(super) fn task(self, event: EventId) -> Option<Task> {
        Some(Task {
            id: self.id,
            event,
            work: self.work,
            generation: self.generation,
            revision: self.revision,
            step: self.step,
            tries: self.tries,
            since: self.since,
            outputs: self.outputs,
            lane: self.lane.parse::<Lane>().ok()?,
            recording: self.recording,
        })
    }
}

fn work(rule: String, death: Option<String>) -> Work {
    self::death(death).map_or(Work::Rule(rule), |death| Work::Notice(Box::new(death)))
}

pub(super) fn death(text: Option<String>) -> Option<DeadTask> {
    serde_json::from_str(&text?).ok()
}

/// The key of the task with this id, found through its event: an index of task ids would be written
/// for each task, and only people would use it.
pub(super) fn key_of(conn: &Connection, id: TaskId) -> rusqlite::Result<Option<TaskKey>> {
    let (first, last) = id.events();
    // Not in one statement: SQLite would build a temporary index of all tasks.
    let mut events = conn.prepare_cached("SELECT seq FROM events WHERE id >= ?1 AND id <= ?2")?;
    let mut tasks =
        conn.prepare_cached("SELECT seq FROM tasks WHERE seq >= ?1 AND seq < ?2 AND id = ?3")?;
    let mut found = events.query((first.as_bytes(), last.as_bytes()))?;
    while let Some(row) = found.next()? {
        let event: i64 = row.get(0)?;
        let (first, end) = TaskKey::of_event(event);
        let key = tasks
            .query_row((first, end, id.as_bytes()), |row| row.get(0))
            .optional()?;
        if key.is_some() {
            return Ok(key);
        }
    }
    Ok(None)
}

pub(super) fn event(txn: &Txn<'_>, seq: i64) -> rusqlite::Result<Option<Arc<Event>>> {
    txn.conn
        .prepare_cached(
            "SELECT recorder, id, received, body FROM events JOIN bodies ON event = seq WHERE seq = ?1",
        )?
        .query_row([seq], |row| {
            let id = EventId::from_bytes(row.get(1)?);
            let received = Timestamp::from_millis(row.get(2)?);
            let body: Vec<u8> = row.get(3)?;
            Ok(Arc::new(decode(recorder(row, 0)?, id, received, body.into())))
        })
        .optional()
}

fn recorder(row: &Row<'_>, column: usize) -> rusqlite::Result<Recorder> {
    Recorder::from_number(row.get(column)?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}

pub(super) fn recording(bytes: Option<[u8; 16]>) -> Option<RecordingId> {
    bytes.map(RecordingId::from_bytes)
}

/// `None` if empty, as for most tasks.
pub(super) fn outputs_text(outputs: &Outputs) -> Option<String> {
    (!outputs.is_empty()).then(|| json(outputs))
}

pub(super) fn outputs(text: Option<String>) -> Outputs {
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

pub(super) fn failure(text: Option<String>) -> Option<Failure> {
    text.and_then(|text| serde_json::from_str(&text).ok())
}

/// An attempt as stored: JSON arrays, because names would cost too much per task.
type StoredAttempt<T, O> = (StepNo, T, T, i64, u64, O, Option<StoredExchange<T>>);
type StoredExchange<T> = (
    T,
    T,
    Option<u16>,
    Option<T>,
    u64,
    T,
    Option<T>,
    Option<T>,
    bool,
);

pub(super) fn attempt_text(record: &AttemptRecord) -> String {
    let exchange = record.exchange.as_ref().map(|exchange| {
        (
            exchange.method.as_str(),
            exchange.url.as_str(),
            exchange.status,
            exchange.request_id.as_deref(),
            exchange.sent_length,
            exchange.sent_digest.as_str(),
            exchange.sent.as_deref(),
            exchange.answer.as_deref(),
            exchange.unsent,
        )
    });
    let stored: StoredAttempt<&str, &Outcome> = (
        record.step,
        &record.step_id,
        &record.action,
        record.started.millis(),
        u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX),
        &record.outcome,
        exchange,
    );
    json(&stored)
}

pub(super) fn attempt(text: &str) -> Option<AttemptRecord> {
    let stored: StoredAttempt<String, Outcome> = serde_json::from_str(text).ok()?;
    let (step, step_id, action, started, took, outcome, exchange) = stored;
    let exchange = exchange.map(|exchange| {
        let (method, url, status, request_id, sent_length, sent_digest, sent, answer, unsent) =
            exchange;
        Exchange {
            method,
            url,
            status,
            request_id,
            unsent,
            sent_length,
            sent_digest,
            sent,
            answer,
        }
    });
    Some(AttemptRecord {
        step,
        step_id,
        action,
        started: Timestamp::from_millis(started),
        took: Duration::from_micros(took),
        outcome,
        exchange,
    })
}

/// Serialization of our own types cannot fail: string keys, no custom errors.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The columns that [`read_move`] expects, in order.
macro_rules! move_columns {
    () => {
        "number, from_bucket, from_key, to_bucket, to_key, size, etag, target, target_etag, upload, phase, \
         source, marked, part"
    };
}
pub(super) use move_columns;

/// The condition in SQL that corresponds to [`Move::has_replaced`].
macro_rules! has_replaced {
    () => {
        "(target = 1 AND phase IN (1, 2, 5)) OR (target = 3 AND phase NOT IN (3, 4))"
    };
}
pub(super) use has_replaced;

/// Whether the move of a task's step cannot be given up: it is past the commit point or has
/// replaced something. `$task` and `$step` are the key columns.
macro_rules! goes_forward {
    ($task:literal, $step:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM manifests m WHERE m.task = ",
            $task,
            " AND m.step = ",
            $step,
            " AND m.committed = 1) OR EXISTS (SELECT 1 FROM moves m WHERE m.task = ",
            $task,
            " AND m.step = ",
            $step,
            " AND m.phase < 2 AND (",
            has_replaced!(),
            ")))"
        )
    };
}
pub(super) use goes_forward;

pub(super) const MOVE_COLUMNS: usize = 14;

pub(super) fn read_move(row: &Row<'_>) -> rusqlite::Result<Move> {
    let from = Place {
        bucket: row.get(1)?,
        key: row.get(2)?,
    };
    Ok(Move {
        number: row.get(0)?,
        part: part(row.get(13)?),
        from,
        to: Place {
            bucket: row.get(3)?,
            key: row.get(4)?,
        },
        size: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
        etag: row.get(6)?,
        target: match row.get::<_, i64>(7)? {
            0 => Target::Absent,
            1 => Target::Replace,
            3 => Target::Again,
            _ => Target::Present,
        },
        target_etag: row.get(8)?,
        upload: row.get(9)?,
        phase: phase_of(row.get(10)?),
        source: match row.get::<_, i64>(11)? {
            0 => Source::Goes,
            2 => Source::Shared,
            _ => Source::Stays,
        },
        is_marked: row.get(12)?,
    })
}

const fn part(number: i64) -> Part {
    match number {
        1 => Part::Segment,
        2 => Part::Playlist,
        _ => Part::Other,
    }
}

pub(super) const fn part_number(part: Part) -> i64 {
    match part {
        Part::Segment => 1,
        Part::Playlist => 2,
        Part::Other => 3,
    }
}

pub(super) const fn target_number(target: Target) -> i64 {
    match target {
        Target::Absent => 0,
        Target::Replace => 1,
        Target::Present => 2,
        Target::Again => 3,
    }
}

/// The phase of a move whose manifest is not in force. Not a [`MovePhase`]: only `journal` uses it.
pub(super) const DRAFTED: i64 = 4;

pub(super) const fn phase_number(phase: MovePhase) -> i64 {
    match phase {
        MovePhase::Planned => 0,
        MovePhase::Copied => 1,
        MovePhase::Moved => 2,
        MovePhase::Undone => 3,
        MovePhase::Kept => 5,
    }
}

fn phase_of(number: i64) -> MovePhase {
    match number {
        0 => MovePhase::Planned,
        1 => MovePhase::Copied,
        2 => MovePhase::Moved,
        5 => MovePhase::Kept,
        _ => MovePhase::Undone,
    }
}

pub(super) const fn source_number(source: Source) -> i64 {
    match source {
        Source::Goes => 0,
        Source::Stays => 1,
        Source::Shared => 2,
    }
}
