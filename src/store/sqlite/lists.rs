//! Lists of tasks and events, and the details of one.

use rusqlite::{Connection, OptionalExtension, Row};

use super::chunks::Span;
use super::core::Txn;
use super::interventions;
use super::row::{self, goes_forward, has_replaced, move_columns, read_move};
use super::service_reads;
use super::turn;
use crate::model::attempt::AttemptRecord;
use crate::model::failure::FailureKind;
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Intervention;
use crate::model::moves::Move;
use crate::model::task::{Lane, RevisionId, TaskState};
use crate::model::time::Timestamp;
use crate::store::Located;
use crate::store::lists::{
    Cursor, EventDetail, EventFilter, EventRow, Page, TaskDetail, TaskFilter, TaskRow, WaitReason,
    Walk,
};
use crate::store::operator::Ending;
use crate::store::task_key::TaskKey;

/// The statement that lists the tasks with `$which`. `>> 16` is [`TaskKey::event`].
macro_rules! list {
    ($which:literal) => {
        concat!(
            "SELECT t.seq, t.id, t.rule, t.state, t.step, t.tries, coalesce(t.given_up, t.failure) AS failure, t.leaves, t.waits_for, e.id AS event, e.room, \
             CASE WHEN t.state < 2 AND t.cancel = 1 THEN 4 WHEN t.state < 2 AND t.given_up IS NOT NULL THEN 3 END AS ends_as, \
             CASE WHEN t.state < 2 AND (t.cancel = 1 OR t.given_up IS NOT NULL) THEN ",
            goes_forward!("t.seq", "t.step"),
            " END AS goes_forward, \
             CASE WHEN t.state = 0 AND t.blocked_by IS NULL AND t.waits_for IS NULL THEN t.due END AS due, \
             t.note, t.lane, \
             t.state = 0 AND t.waits_for IS NULL AND t.blocked_by IS NULL AS waits_in_lane, \
             t.lane IN (SELECT name FROM lanes) AS lane_is_served, \
             (SELECT l.paused ->> 'why' FROM lane_states l WHERE l.lane = t.lane) AS paused, \
             (SELECT l.open ->> 'why' FROM lane_states l WHERE l.lane = t.lane) AS opened, \
             before.id AS before, before.state AS before_state \
             FROM tasks t JOIN events e ON e.seq = t.seq >> 16 LEFT JOIN tasks before ON t.state = 0 AND before.seq = \
             coalesce((SELECT head FROM orders WHERE id = t.blocked_by), (SELECT turn FROM recordings WHERE id = t.blocked_by), \
             iif(t.waits_for GLOB 'keys/*', CAST(substr(t.waits_for, 6) AS INTEGER), NULL)) \
             WHERE ",
            $which
        )
    };
}

/// The statement that lists a span's tasks with `$which` that match a filter.
macro_rules! tasks {
    ($which:literal, $order:literal) => {
        concat!(
            list!("t.seq > ?8 AND t.seq <= ?9 AND "),
            $which,
            " AND (?1 IS NULL OR t.rule = ?1) AND (?2 IS NULL OR e.room = ?2) AND (?3 IS NULL OR t.failure ->> 'kind' = ?3) \
             AND (?4 IS NULL OR t.lane = ?4) AND e.received >= ?5 AND e.received < ?6 ORDER BY t.seq ",
            $order,
            " LIMIT ?7"
        )
    };
}

macro_rules! events {
    ($order:literal) => {
        concat!(
            "SELECT seq, id, received, event_type, room FROM events \
             WHERE seq > ?5 AND seq <= ?6 AND (?1 IS NULL OR room = ?1) \
             AND received >= ?2 AND received < ?3 ORDER BY seq ",
            $order,
            " LIMIT ?4"
        )
    };
}

#[derive(Clone, Copy)]
enum Order {
    Newest,
    Oldest,
}

/// The statement and its `?10`: the one state, or a bit for each of several. A single state, and
/// `leaves`, use an index; `done`, which is in none, and several states are filtered.
fn statement(filter: &TaskFilter, order: Order) -> (&'static str, usize) {
    let states = filter.states.iter();
    let states: Vec<_> = states.filter_map(|name| TaskState::named(name)).collect();
    match (states.as_slice(), filter.leaves) {
        ([TaskState::Done], _) | (_, true) => {}
        ([one], false) => {
            let sql = match order {
                Order::Newest => tasks!("t.state <> 2 AND t.state = ?10", "DESC"),
                Order::Oldest => tasks!("t.state <> 2 AND t.state = ?10", "ASC"),
            };
            return (sql, *one as usize);
        }
        _ => {}
    }
    let meant = if filter.states.is_empty() {
        &TaskState::ALL[..]
    } else {
        &states
    };
    let bits = meant
        .iter()
        .fold(0, |bits, state| bits | 1 << *state as usize);
    let sql = match (filter.leaves, order) {
        (true, Order::Newest) => tasks!("t.leaves IS NOT NULL AND (1 << t.state & ?10)", "DESC"),
        (true, Order::Oldest) => tasks!("t.leaves IS NOT NULL AND (1 << t.state & ?10)", "ASC"),
        (false, Order::Newest) => tasks!("(1 << t.state & ?10)", "DESC"),
        (false, Order::Oldest) => tasks!("(1 << t.state & ?10)", "ASC"),
    };
    (sql, bits)
}

fn tasks_in(
    conn: &Connection,
    filter: &TaskFilter,
    order: Order,
    span: &Span,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, TaskRow)>> {
    let (sql, states) = statement(filter, order);
    let lane = filter.destination.clone().map(Lane::Destination);
    let which = rusqlite::params![
        filter.rule,
        filter.room,
        filter.failure.map(FailureKind::name),
        lane.map(String::from),
        filter.since.map_or(i64::MIN, Timestamp::millis),
        filter.until.map_or(i64::MAX, Timestamp::millis),
        limit,
        span.after,
        span.last,
        states,
    ];
    conn.prepare_cached(sql)?
        .query_map(which, |row| Ok((row.get("seq")?, task_row(row)?)))?
        .collect()
}

fn events_in(
    conn: &Connection,
    filter: &EventFilter,
    order: Order,
    span: &Span,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, EventRow)>> {
    let which = (
        &filter.room,
        filter.since.map_or(i64::MIN, Timestamp::millis),
        filter.until.map_or(i64::MAX, Timestamp::millis),
        limit,
        span.after,
        span.last,
    );
    let sql = match order {
        Order::Newest => events!("DESC"),
        Order::Oldest => events!("ASC"),
    };
    conn.prepare_cached(sql)?
        .query_map(which, |row| Ok((row.get("seq")?, event_row(row)?)))?
        .collect()
}

pub(super) fn tasks(
    conn: &Connection,
    filter: &TaskFilter,
    page: Page,
) -> rusqlite::Result<Vec<TaskRow>> {
    let window = |span: &Span, limit| tasks_in(conn, filter, Order::Newest, span, limit);
    Span::of_tasks(conn)?
        .before(page.before)
        .newest(page.limit, window)
}

pub(super) fn events(
    conn: &Connection,
    filter: &EventFilter,
    page: Page,
) -> rusqlite::Result<Vec<EventRow>> {
    let window = |span: &Span, limit| events_in(conn, filter, Order::Newest, span, limit);
    Span::of_events(conn)?
        .before(page.before)
        .newest(page.limit, window)
}

pub(super) fn next_tasks(
    conn: &Connection,
    walk: &mut Walk<TaskFilter>,
) -> rusqlite::Result<Vec<TaskRow>> {
    let (filter, mut span) = (&walk.filter, Span::tasks_left(walk));
    let rows = span.next(|span, limit| tasks_in(conn, filter, Order::Oldest, span, limit))?;
    walk.after = Cursor(span.after);
    Ok(rows)
}

pub(super) fn next_events(
    conn: &Connection,
    walk: &mut Walk<EventFilter>,
) -> rusqlite::Result<Vec<EventRow>> {
    let (filter, mut span) = (&walk.filter, Span::events_left(walk));
    let rows = span.next(|span, limit| events_in(conn, filter, Order::Oldest, span, limit))?;
    walk.after = Cursor(span.after);
    Ok(rows)
}

pub(super) fn event_key(conn: &Connection, id: EventId) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT seq FROM events WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()
}

pub(super) fn task(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<Option<TaskDetail>> {
    let read = |row: &Row<'_>| {
        let lane: String = row.get("lane")?;
        let outputs = row::outputs(row.get("outputs")?);
        let recording: Option<[u8; 16]> = row.get("recording")?;
        let planned = (row.get("generation")?, recording);
        let death = row::death(row.get("death")?);
        Ok(((lane, outputs, death), planned))
    };
    let Some(seq) = row::key_of(txn.conn, id)? else {
        return Ok(None);
    };
    let ((lane, outputs, death), (generation, recording)) = txn
        .conn
        .prepare_cached(
            "SELECT generation, lane, outputs, death, recording FROM tasks WHERE seq = ?1",
        )?
        .query_row([seq], read)?;
    let (first, end) = seq.alone();
    let Some(row) = tasks_of(txn.conn, first, end)?.pop() else {
        return Ok(None);
    };
    let moved = moved(txn, seq, generation, recording)?;
    Ok(Some(TaskDetail {
        replaced: moved.as_ref().and_then(|moved| moved.replaced),
        row,
        lane,
        outputs,
        death,
        attempts: attempts(txn.conn, seq)?,
        moves: moves(txn.conn, seq)?,
        interventions: interventions(txn.conn, seq)?,
        place: moved.map(|moved| moved.place),
    }))
}

pub(super) fn event(txn: &Txn<'_>, id: EventId) -> rusqlite::Result<Option<EventDetail>> {
    let found = txn
        .conn
        .prepare_cached(
            "SELECT seq, id, received, event_type, room, revision FROM events WHERE id = ?1",
        )?
        .query_row([id.as_bytes()], |row| {
            let (seq, revision) = (row.get::<_, i64>("seq")?, row.get("revision")?);
            Ok((seq, revision, event_row(row)?))
        });
    let Some((seq, revision, row)) = found.optional()? else {
        return Ok(None);
    };
    let (first, end) = TaskKey::of_event(seq);
    Ok(Some(EventDetail {
        row,
        event: row::event(txn, seq)?,
        rules: service_reads::revision(txn.conn, RevisionId::from_number(revision))?,
        tasks: tasks_of(txn.conn, first, end)?,
        interventions: interventions::of(txn.conn, first, end)?,
    }))
}

fn interventions(conn: &Connection, seq: TaskKey) -> rusqlite::Result<Vec<Intervention>> {
    let (first, end) = seq.alone();
    let interventions = interventions::of(conn, first, end)?.into_iter();
    Ok(interventions.map(|(_, one)| one).collect())
}

fn tasks_of(conn: &Connection, first: TaskKey, end: TaskKey) -> rusqlite::Result<Vec<TaskRow>> {
    conn.prepare_cached(list!("t.seq >= ?1 AND t.seq < ?2 ORDER BY t.seq"))?
        .query_map((first, end), task_row)?
        .collect()
}

fn attempts(conn: &Connection, seq: TaskKey) -> rusqlite::Result<Vec<AttemptRecord>> {
    let first: Option<String> = conn
        .prepare_cached("SELECT tried FROM tasks WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))?;
    let later: Vec<String> = conn
        .prepare_cached("SELECT record FROM attempts WHERE task = ?1 ORDER BY attempt")?
        .query_map([seq], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let texts = first.into_iter().chain(later);
    Ok(texts.filter_map(|text| row::attempt(&text)).collect())
}

fn moves(conn: &Connection, seq: TaskKey) -> rusqlite::Result<Vec<Move>> {
    conn.prepare_cached(concat!(
        "SELECT ",
        move_columns!(),
        " FROM moves WHERE task = ?1 AND phase < 4 ORDER BY step, number"
    ))?
    .query_map([seq], read_move)?
    .collect()
}

/// Where the task's recording was moved or replaced, as seen by its event: moves of other recordings
/// from the same key do not count.
fn moved(
    txn: &Txn<'_>,
    seq: TaskKey,
    generation: u32,
    recording: Option<[u8; 16]>,
) -> rusqlite::Result<Option<Located>> {
    let event_seq = seq.event();
    let Some(event) = row::event(txn, event_seq)? else {
        return Ok(None);
    };
    let recording = row::recording(recording);
    let located = turn::located(txn, &event, event_seq, generation, recording)?;
    Ok(located.filter(|located| located.moved_by.is_some() || located.replaced.is_some()))
}

fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let state: TaskState = row.get("state")?;
    let due: Option<i64> = row.get("due")?;
    Ok(TaskRow {
        id: TaskId::from_bytes(row.get("id")?),
        event: EventId::from_bytes(row.get("event")?),
        rule: row.get("rule")?,
        room: row.get("room")?,
        state: state.name(),
        step: row.get("step")?,
        tries: row.get("tries")?,
        due: due.map(Timestamp::from_millis),
        failure: row::failure(row.get("failure")?),
        waits: waits(row)?,
        leaves: row.get("leaves")?,
        ending: ending(row)?,
    })
}

/// How it will end, if a person or its last try has decided that.
fn ending(row: &Row<'_>) -> rusqlite::Result<Option<Ending>> {
    let state: Option<usize> = row.get("ends_as")?;
    let goes_forward: Option<bool> = row.get("goes_forward")?;
    Ok(state.map(|state| Ending {
        state: TaskState::NAMES[state],
        goes_forward: goes_forward == Some(true),
        due_now: false,
    }))
}

fn waits(row: &Row<'_>) -> rusqlite::Result<Option<WaitReason>> {
    let note: Option<String> = row.get("note")?;
    if let Some(id) = row.get("before")? {
        let is_dead = row.get::<_, TaskState>("before_state")? == TaskState::Dead;
        return Ok(match row.get::<_, Option<String>>("waits_for")? {
            Some(_) => note.map(|note| WaitReason::Keys { note, is_dead }),
            None => Some(WaitReason::Task {
                id: TaskId::from_bytes(id),
                is_dead,
            }),
        });
    }
    let by_lane = if row.get("waits_in_lane")? {
        held_by_lane(row)?
    } else {
        None
    };
    Ok(by_lane.or(note.map(WaitReason::Note)))
}

fn held_by_lane(row: &Row<'_>) -> rusqlite::Result<Option<WaitReason>> {
    let lane = row.get("lane")?;
    let (paused, opened): (Option<String>, Option<String>) =
        (row.get("paused")?, row.get("opened")?);
    Ok(match (row.get("lane_is_served")?, paused, opened) {
        (false, ..) => Some(WaitReason::UnknownLane(lane)),
        (true, Some(why), _) => Some(WaitReason::Paused { lane, why }),
        (true, None, Some(why)) => Some(WaitReason::OpenBreaker { lane, why }),
        (true, None, None) => None,
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
