//! What a person can see of the queue.

use rusqlite::{OptionalExtension, Row, params};

use super::core::DEAD;
use super::intervene;
use super::operator::SqliteOperator;
use super::row::{self, TASK_BITS, move_columns, read_move};
use super::span::Span;
use super::turn;
use crate::model::attempt::AttemptRecord;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Intervention;
use crate::model::moves::Move;
use crate::model::plan::Skipped;
use crate::model::recording::Place;
use crate::model::task::{Lane, Outputs, StepNo, TaskState};
use crate::model::time::Timestamp;
use crate::store::Unavailable;

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// One of [`TaskState::NAMES`].
    pub state: Option<String>,
    pub rule: Option<String>,
    pub room: Option<String>,
    /// Of events that arrived at this time or later.
    pub since: Option<Timestamp>,
    /// Of events that arrived before this time.
    pub until: Option<Timestamp>,
    /// What the last failure was.
    pub failure: Option<FailureKind>,
    /// The destination that the next step needs.
    pub destination: Option<String>,
    /// Only those that have left something behind in buckets.
    pub leaves: bool,
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
    /// When it is due; `None` unless it is ready, and while it waits for its turn or for
    /// something outside it.
    pub due: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// Why it waits, for a reason outside the task: for another task, if need be.
    pub note: Option<String>,
    /// What it has left behind in buckets, and where. A task that is given up ends once it
    /// could remove that.
    pub leaves: Option<String>,
}

/// Everything about a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    pub row: TaskRow,
    pub lane: String,
    pub outputs: Outputs,
    pub attempts: Vec<AttemptRecord>,
    pub moves: Vec<Move>,
    /// What people did to it, the oldest first.
    pub interventions: Vec<Intervention>,
    /// Where the recording was moved; `None` while it is where its event says.
    pub place: Option<Place>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub room: Option<String>,
    /// Those that arrived at this time or later.
    pub since: Option<Timestamp>,
    /// Those that arrived before this time.
    pub until: Option<Timestamp>,
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
    /// Why other rules did not match when it arrived; without those that a replay has given
    /// a task since.
    pub skipped: Vec<Skipped>,
    pub tasks: Vec<TaskRow>,
    /// What people did to its tasks.
    pub interventions: Vec<(TaskId, Intervention)>,
}

/// The statement that lists the tasks with `$which`. 16 is [`TASK_BITS`].
macro_rules! list {
    ($which:literal) => {
        concat!(
            "SELECT t.seq, t.id, t.rule, t.state, t.step, t.tries, coalesce(t.given_up, t.failure) AS failure, t.leaves, t.waits_for, e.id AS event, e.room, \
             CASE WHEN t.state = 0 AND t.blocked_by IS NULL AND t.waits_for IS NULL THEN t.due END AS due, \
             CASE WHEN t.state = 0 AND t.waits_for IS NOT NULL THEN t.note \
             WHEN t.state = 0 AND t.blocked_by IS NULL AND t.lane NOT IN (SELECT name FROM lanes) \
             THEN t.lane || ' is not in the rules file' \
             WHEN t.state = 0 AND t.blocked_by IS NULL THEN coalesce(( \
             SELECT t.lane || iif(l.paused IS NULL, ' failed and is left alone for a while', ' is paused') \
             FROM lane_states l WHERE l.lane = t.lane AND coalesce(l.paused, l.open) IS NOT NULL), t.note) \
             ELSE t.note END AS note, \
             before.id AS before, before.state AS before_state \
             FROM tasks t JOIN events e ON e.seq = t.seq >> 16 LEFT JOIN tasks before ON t.state = 0 AND before.seq = \
             coalesce((SELECT head FROM orders WHERE id = t.blocked_by), (SELECT turn FROM recordings WHERE id = t.blocked_by), \
             iif(t.waits_for GLOB 'keys/*', CAST(substr(t.waits_for, 6) AS INTEGER), NULL)) \
             WHERE ",
            $which
        )
    };
}

pub(super) use list;

/// The condition that a task is one that a filter means: `?1` to `?6` are those of
/// [`TaskFilter::conditions`].
macro_rules! meant {
    () => {
        "(?1 IS NULL OR t.rule = ?1) AND (?2 IS NULL OR e.room = ?2) AND (?3 IS NULL OR t.failure ->> 'kind' = ?3) \
         AND (?4 IS NULL OR t.lane = ?4) AND e.received >= ?5 AND e.received < ?6"
    };
}
pub(super) use meant;

/// Both go from the newest task to older ones.
const TASKS: &str = concat!(
    list!("t.seq > ?8 AND t.seq <= ?9 AND "),
    meant!(),
    " ORDER BY t.seq DESC LIMIT ?7"
);
const TASKS_IN_STATE: &str = concat!(
    list!("t.seq > ?8 AND t.seq <= ?9 AND t.state = ?10 AND "),
    meant!(),
    " ORDER BY t.seq DESC LIMIT ?7"
);
const TASKS_LEAVING: &str = concat!(
    list!(
        "t.seq > ?8 AND t.seq <= ?9 AND t.leaves IS NOT NULL AND (?10 IS NULL OR t.state = ?10) AND "
    ),
    meant!(),
    " ORDER BY t.seq DESC LIMIT ?7"
);

const EVENTS: &str = "SELECT seq, id, received, event_type, room FROM events \
                      WHERE seq > ?5 AND seq <= ?6 AND (?1 IS NULL OR room = ?1) \
                      AND received >= ?2 AND received < ?3 ORDER BY seq DESC LIMIT ?4";

/// Rule, room, kind of failure, lane, and the times from and to before.
type TaskConditions<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    Option<&'static str>,
    Option<String>,
    i64,
    i64,
);

impl TaskFilter {
    /// All but state and limit, as [`meant`] takes them.
    pub(super) fn conditions(&self) -> TaskConditions<'_> {
        let lane = self.destination.clone().map(Lane::Destination);
        (
            self.rule.as_deref(),
            self.room.as_deref(),
            self.failure.map(FailureKind::name),
            lane.map(String::from),
            self.since.map_or(i64::MIN, Timestamp::millis),
            self.until.map_or(i64::MAX, Timestamp::millis),
        )
    }
}

impl EventFilter {
    /// Room, and the times from and to before.
    pub(super) fn conditions(&self) -> (Option<&str>, i64, i64) {
        (
            self.room.as_deref(),
            self.since.map_or(i64::MIN, Timestamp::millis),
            self.until.map_or(i64::MAX, Timestamp::millis),
        )
    }
}

/// A state as stored.
pub(super) fn state_number(name: &str) -> Option<usize> {
    TaskState::NAMES.iter().position(|known| *known == name)
}

impl SqliteOperator {
    /// Tasks, the newest first.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<Vec<TaskRow>, Unavailable> {
        let state = filter.state.as_deref().and_then(state_number);
        let (rule, room, failure, lane, since, until) = filter.conditions();
        let window = |span: &Span, limit: usize| {
            let which = params![
                rule, room, failure, lane, since, until, limit, span.after, span.last
            ];
            if state.is_none() && !filter.leaves {
                let mut tasks = self.conn().prepare_cached(TASKS)?;
                return tasks.query_map(which, task_row)?.collect();
            }
            let sql = if filter.leaves {
                TASKS_LEAVING
            } else {
                TASKS_IN_STATE
            };
            let which = [which, params![state]].concat();
            let mut tasks = self.conn().prepare_cached(sql)?;
            tasks.query_map(&*which, task_row)?.collect()
        };
        Span::of_tasks(self.conn())
            .and_then(|span| span.newest(filter.limit, window))
            .map_err(self.unavailable())
    }

    /// One task with all that happened.
    pub fn task(&self, id: TaskId) -> Result<Option<TaskDetail>, Unavailable> {
        self.find_task(id).map_err(self.unavailable())
    }

    /// Events, the newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>, Unavailable> {
        let (room, since, until) = filter.conditions();
        let window = |span: &Span, limit: usize| {
            let which = (room, since, until, limit, span.after, span.last);
            let mut events = self.conn().prepare_cached(EVENTS)?;
            events.query_map(which, event_row)?.collect()
        };
        Span::of_events(self.conn())
            .and_then(|span| span.newest(filter.limit, window))
            .map_err(self.unavailable())
    }

    /// One event with its tasks, and why other rules did not match.
    pub fn event(&self, id: EventId) -> Result<Option<EventDetail>, Unavailable> {
        self.find_event(id).map_err(self.unavailable())
    }

    fn find_task(&self, id: TaskId) -> rusqlite::Result<Option<TaskDetail>> {
        let read = |row: &Row<'_>| {
            let lane: String = row.get("lane")?;
            let outputs = row::outputs(row.get("outputs")?);
            let recording: Option<[u8; 16]> = row.get("recording")?;
            let planned = (row.get("generation")?, recording);
            Ok((row.get("seq")?, lane, outputs, planned))
        };
        let found = self
            .conn()
            .prepare_cached(
                "SELECT seq, generation, lane, outputs, recording FROM tasks WHERE id = ?1",
            )?
            .query_row([id.as_bytes()], read)
            .optional()?;
        let Some((seq, lane, outputs, (generation, recording))) = found else {
            return Ok(None);
        };
        let Some(row) = self.tasks_of(seq, seq + 1)?.pop() else {
            return Ok(None);
        };
        Ok(Some(TaskDetail {
            row,
            lane,
            outputs,
            attempts: self.attempts(seq)?,
            moves: self.moves(seq)?,
            interventions: self.interventions(seq)?,
            place: self.place(seq, generation, recording)?,
        }))
    }

    fn find_event(&self, id: EventId) -> rusqlite::Result<Option<EventDetail>> {
        let found = self
            .conn()
            .prepare_cached("SELECT seq, id, received, event_type, room FROM events WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| {
                Ok((row.get::<_, i64>(0)?, event_row(row)?))
            });
        let Some((seq, row)) = found.optional()? else {
            return Ok(None);
        };
        let kept: Option<(Vec<u8>, Option<String>)> = self
            .conn()
            .prepare_cached("SELECT body, skipped FROM bodies WHERE event = ?1")?
            .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (body, skipped) = kept.map_or((None, None), |(body, skipped)| (Some(body), skipped));
        let (first, end) = (seq << TASK_BITS, (seq + 1) << TASK_BITS);
        let tasks = self.tasks_of(first, end)?;
        let mut skipped: Vec<Skipped> = skipped
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        skipped.retain(|one| tasks.iter().all(|task| task.rule != one.rule));
        Ok(Some(EventDetail {
            row,
            body,
            skipped,
            tasks,
            interventions: intervene::of(self.conn(), first, end)?,
        }))
    }

    fn interventions(&self, seq: i64) -> rusqlite::Result<Vec<Intervention>> {
        let interventions = intervene::of(self.conn(), seq, seq + 1)?.into_iter();
        Ok(interventions.map(|(_, one)| one).collect())
    }

    fn tasks_of(&self, first: i64, end: i64) -> rusqlite::Result<Vec<TaskRow>> {
        self.conn()
            .prepare_cached(list!("t.seq >= ?1 AND t.seq < ?2 ORDER BY t.seq"))?
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
        self.conn()
            .prepare_cached(concat!(
                "SELECT ",
                move_columns!(),
                " FROM moves WHERE task = ?1 AND phase < 4 ORDER BY step, number"
            ))?
            .query_map([seq], read_move)?
            .collect()
    }

    /// Where the recording of the task was moved, seen from its event: another job's recording,
    /// or what has grown since, may have been moved from the same key.
    fn place(
        &self,
        seq: i64,
        generation: u32,
        recording: Option<[u8; 16]>,
    ) -> rusqlite::Result<Option<Place>> {
        let (txn, event_seq) = (self.core.reads(), seq >> TASK_BITS);
        let Some(event) = row::event(&txn, event_seq)? else {
            return Ok(None);
        };
        let recording = row::recording(recording);
        let located = turn::located(&txn, &event, event_seq, generation, recording)?;
        let moved = located.filter(|located| located.moved_by.is_some());
        Ok(moved.map(|located| located.place))
    }
}

pub(super) fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let state: usize = row.get("state")?;
    let due: Option<i64> = row.get("due")?;
    Ok(TaskRow {
        id: TaskId::from_bytes(row.get("id")?),
        event: EventId::from_bytes(row.get("event")?),
        rule: row.get("rule")?,
        room: row.get("room")?,
        state: TaskState::NAMES[state.min(TaskState::NAMES.len() - 1)],
        step: row.get("step")?,
        tries: row.get("tries")?,
        due: due.map(Timestamp::from_millis),
        failure: row::failure(row.get("failure")?),
        note: before(row)?.or(row.get("note")?),
        leaves: row.get("leaves")?,
    })
}

/// Which task it waits for. One that waits for another one's keys has noted whose, and why.
fn before(row: &Row<'_>) -> rusqlite::Result<Option<String>> {
    let Some(id) = row.get("before")? else {
        return Ok(None);
    };
    let is_dead = row.get::<_, usize>("before_state")? == DEAD;
    if row.get::<_, Option<String>>("waits_for")?.is_some() {
        let note: Option<String> = row.get("note")?;
        let dead = if is_dead {
            ", and is dead: retry it or cancel it"
        } else {
            ""
        };
        return Ok(note.map(|note| format!("{note}{dead}")));
    }
    let id = TaskId::from_bytes(id);
    Ok(Some(if is_dead {
        format!("waits for {id}, which is dead: retry it or cancel it")
    } else {
        format!("waits for {id}")
    }))
}

pub(super) fn event_row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: EventId::from_bytes(row.get("id")?),
        received: Timestamp::from_millis(row.get("received")?),
        event_type: row.get("event_type")?,
        room: row.get("room")?,
    })
}
