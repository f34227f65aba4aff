//! What a person can see of the queue.

use rusqlite::{OptionalExtension, Row};

use super::desk::Desk;
use super::row::{self, MOVE, TASK_BITS, read_move};
use crate::model::attempt::AttemptRecord;
use crate::model::failure::Failure;
use crate::model::id::{EventId, TaskId};
use crate::model::moves::Move;
use crate::model::plan::Skipped;
use crate::model::recording::Place;
use crate::model::task::{Outputs, StepNo, TaskState};
use crate::model::time::Timestamp;
use crate::store::Unavailable;

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// One of [`TaskState::NAMES`].
    pub state: Option<String>,
    pub rule: Option<String>,
    pub room: Option<String>,
    /// Rows at the most.
    pub limit: usize,
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    pub id: TaskId,
    pub event: EventId,
    pub rule: String,
    pub room: Option<String>,
    pub state: &'static str,
    pub step: StepNo,
    pub tries: u32,
    /// When it is due; `None` unless it is ready, and while it waits for its turn.
    pub due: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// Why it waits, for a reason outside the task.
    pub note: Option<String>,
}

/// Everything about a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    pub row: TaskRow,
    pub lane: String,
    pub outputs: Outputs,
    pub attempts: Vec<AttemptRecord>,
    pub moves: Vec<Move>,
    /// Where the recording was moved; `None` while it is where its event says.
    pub place: Option<Place>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub room: Option<String>,
    /// Rows at the most.
    pub limit: usize,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    pub id: EventId,
    pub received: Timestamp,
    pub event_type: String,
    pub room: Option<String>,
}

/// Everything about an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDetail {
    pub row: EventRow,
    /// The body as it came; `None` once retention removed it.
    pub body: Option<Vec<u8>>,
    pub skipped: Vec<Skipped>,
    pub tasks: Vec<TaskRow>,
}

const TASKS: &str = "
    SELECT seq, id, rule, step, tries, failure, note, due, blocked_by, running AS state FROM tasks
    UNION ALL
    SELECT seq, id, rule, step, tries, failure, NULL, NULL, NULL, state FROM settled";

impl Desk {
    /// Tasks, the newest first.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>, Unavailable> {
        let state = filter
            .state
            .as_deref()
            .and_then(|name| TaskState::NAMES.iter().position(|known| *known == name));
        let sql = format!(
            "SELECT t.*, e.id AS event, e.room FROM ({TASKS}) t JOIN events e ON e.seq = t.seq >> {TASK_BITS} \
             WHERE (?1 IS NULL OR t.state = ?1) AND (?2 IS NULL OR t.rule = ?2) AND (?3 IS NULL OR e.room = ?3) \
             ORDER BY t.seq DESC LIMIT ?4"
        );
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let rows = || {
            self.conn()
                .prepare_cached(&sql)?
                .query_map((state, &filter.rule, &filter.room, limit), task_row)?
                .collect::<Result<Vec<_>, _>>()
        };
        rows().map_err(self.unavailable())
    }

    /// One task with all that happened.
    pub fn task(&self, id: TaskId) -> Result<Option<TaskDetail>, Unavailable> {
        self.find_task(id).map_err(self.unavailable())
    }

    /// Events, the newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, Unavailable> {
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let rows = || {
            self.conn()
                .prepare_cached(
                    "SELECT seq, id, received, event_type, room FROM events WHERE (?1 IS NULL OR room = ?1) \
                     ORDER BY seq DESC LIMIT ?2",
                )?
                .query_map((&filter.room, limit), event_row)?
                .collect::<Result<Vec<_>, _>>()
        };
        rows().map_err(self.unavailable())
    }

    /// One event with its tasks, and why other rules did not match.
    pub fn event(&self, id: EventId) -> Result<Option<EventDetail>, Unavailable> {
        self.find_event(id).map_err(self.unavailable())
    }

    fn find_task(&self, id: TaskId) -> rusqlite::Result<Option<TaskDetail>> {
        let found = ["tasks", "settled"].into_iter().find_map(|table| {
            let sql = format!("SELECT seq, lane, outputs, recording FROM {table} WHERE id = ?1");
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            self.conn()
                .query_row(&sql, [id.as_bytes()], read)
                .optional()
                .transpose()
        });
        let Some(found) = found.transpose()? else {
            return Ok(None);
        };
        let (seq, lane, outputs, recording): (i64, String, Option<String>, Option<[u8; 16]>) =
            found;
        let Some(row) = self.tasks_of(seq, seq + 1)?.pop() else {
            return Ok(None);
        };
        Ok(Some(TaskDetail {
            row,
            lane,
            outputs: row::outputs(outputs),
            attempts: self.attempts(seq)?,
            moves: self.moves(seq)?,
            place: self.place(recording)?,
        }))
    }

    fn find_event(&self, id: EventId) -> rusqlite::Result<Option<EventDetail>> {
        let sql = "SELECT seq, id, received, event_type, room FROM events WHERE id = ?1";
        let found = self.conn().query_row(sql, [id.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, event_row(row)?))
        });
        let Some((seq, row)) = found.optional()? else {
            return Ok(None);
        };
        let kept: Option<(Vec<u8>, Option<String>)> = self
            .conn()
            .query_row(
                "SELECT body, skipped FROM bodies WHERE event = ?1",
                [seq],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (body, skipped) = kept.map_or((None, None), |(body, skipped)| (Some(body), skipped));
        let skipped = skipped
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let tasks = self.tasks_of(seq << TASK_BITS, (seq + 1) << TASK_BITS)?;
        Ok(Some(EventDetail {
            row,
            body,
            skipped,
            tasks,
        }))
    }

    fn tasks_of(&self, first: i64, end: i64) -> rusqlite::Result<Vec<TaskRow>> {
        let sql = format!(
            "SELECT t.*, e.id AS event, e.room FROM ({TASKS}) t JOIN events e ON e.seq = t.seq >> {TASK_BITS} \
             WHERE t.seq >= ?1 AND t.seq < ?2 ORDER BY t.seq"
        );
        self.conn()
            .prepare_cached(&sql)?
            .query_map((first, end), task_row)?
            .collect()
    }

    fn attempts(&self, seq: i64) -> rusqlite::Result<Vec<AttemptRecord>> {
        let texts: Vec<String> = self
            .conn()
            .prepare_cached("SELECT record FROM attempts WHERE task = ?1 ORDER BY attempt")?
            .query_map([seq], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(texts
            .iter()
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect())
    }

    fn moves(&self, seq: i64) -> rusqlite::Result<Vec<Move>> {
        let sql = format!("SELECT {MOVE} FROM moves WHERE task = ?1 ORDER BY step, number");
        self.conn()
            .prepare_cached(&sql)?
            .query_map([seq], read_move)?
            .collect()
    }

    fn place(&self, recording: Option<[u8; 16]>) -> rusqlite::Result<Option<Place>> {
        let Some(recording) = recording else {
            return Ok(None);
        };
        self.conn()
            .query_row(
                "SELECT bucket, key FROM recordings WHERE id = ?1 AND bucket IS NOT NULL",
                [recording],
                |row| {
                    Ok(Place {
                        bucket: row.get(0)?,
                        key: row.get(1)?,
                    })
                },
            )
            .optional()
    }
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let state: usize = row.get("state")?;
    let waits: Option<i64> = row.get("blocked_by")?;
    let due: Option<i64> = row.get("due")?;
    Ok(TaskRow {
        id: TaskId::from_bytes(row.get("id")?),
        event: EventId::from_bytes(row.get("event")?),
        rule: row.get("rule")?,
        room: row.get("room")?,
        state: TaskState::NAMES[state.min(TaskState::NAMES.len() - 1)],
        step: row.get("step")?,
        tries: row.get("tries")?,
        due: due
            .filter(|_| state == 0 && waits.is_none())
            .map(Timestamp::from_millis),
        failure: row::failure(row.get("failure")?),
        note: row.get("note")?,
    })
}

fn event_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: EventId::from_bytes(row.get("id")?),
        received: Timestamp::from_millis(row.get("received")?),
        event_type: row.get("event_type")?,
        room: row.get("room")?,
    })
}
