//! Stores an event with its tasks, or recognises it as stored before.

use std::collections::HashSet;

use rusqlite::OptionalExtension;

use super::core::Txn;
use super::row::json;
use super::{certain, notice, order, turn, whose};
use crate::model::event::Event;
use crate::model::id::{EventId, TaskId};
use crate::model::identity;
use crate::model::plan::{OrderKey, PlannedTask, Turn};
use crate::model::recording::{Place, RecordingId};
use crate::model::task::{Lane, Outputs, RevisionId, Task, TaskState};
use crate::model::time::Timestamp;
use crate::model::work::Work;
use crate::store::task_key::TaskKey;
use crate::store::{Arrival, Claim, Located, Recorded};

pub(super) fn record(
    txn: &mut Txn<'_>,
    arrival: &Arrival,
    start: &[TaskId],
) -> rusqlite::Result<Recorded> {
    let Arrival { event, plan } = arrival;
    if let Some(of) = repeated(txn, event)? {
        return Ok(Recorded::Duplicate { of });
    }
    let new = txn
        .conn
        .prepare_cached(
            "INSERT INTO events (id, received, event_type, room, revision, recorder) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT DO NOTHING",
        )?
        .execute((
            event.id.as_bytes(),
            event.received.millis(),
            event.fields.event_type.name(),
            &event.fields.room,
            plan.revision.number(),
            event.recorder.number(),
        ))?;
    if new == 0 {
        return Ok(Recorded::Duplicate { of: event.id });
    }
    let event_seq = txn.conn.last_insert_rowid();
    txn.conn
        .prepare_cached("INSERT INTO bodies (event, body) VALUES (?1, ?2)")?
        .execute((event_seq, &event.body[..]))?;
    certain::learn(txn.conn, event)?;
    whose::note(txn, event, event_seq)?;
    let claims = tasks(txn, event_seq, 0, arrival, start)?;
    Ok(Recorded::New { claims })
}

/// The event of a neighbouring time window that this one repeats. The same id is detected by the
/// insert.
fn repeated(txn: &Txn<'_>, event: &Event) -> rusqlite::Result<Option<EventId>> {
    for id in identity::neighbours(event).into_iter().flatten() {
        let received = txn
            .conn
            .prepare_cached("SELECT received FROM events WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()?;
        let received = received.map(Timestamp::from_millis);
        if received.is_some_and(|received| identity::is_repeat(received, event.received)) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Stores the tasks of a stored event, numbered from `first`, and answers the claims of the started
/// ones. Time limits count from `received`.
pub(super) fn tasks(
    txn: &mut Txn<'_>,
    event_seq: i64,
    first: i64,
    arrival: &Arrival,
    start: &[TaskId],
) -> rusqlite::Result<Vec<Claim>> {
    let Arrival { event, plan } = arrival;
    let start: HashSet<&TaskId> = start.iter().collect();
    let named = event.fields.place();
    let recording = named.as_ref().map(RecordingId::of);
    let mut claims = Vec::new();
    for (number, planned) in (first..).zip(&plan.tasks) {
        let seq = TaskKey::new(event_seq, number);
        let blocked_by = blocked_by(txn, seq, planned, recording)?;
        let state = match planned.dead_on_arrival {
            Some(_) => TaskState::Dead,
            None if blocked_by.is_none() && start.contains(&planned.id) => TaskState::Running,
            None => TaskState::Ready,
        };
        insert(txn, seq, arrival, planned, recording, blocked_by, state)?;
        if state == TaskState::Running {
            let settled = txn.settled.borrow().count();
            claims.push(Claim {
                settled,
                ..first_claim(seq, arrival, planned, named.clone())
            });
        }
    }
    notify_of_dead_on_arrival(txn, event_seq, first, arrival)?;
    Ok(claims)
}

/// Puts the task in line for its order, then for its turn; answers what it has to wait for.
fn blocked_by(
    txn: &Txn<'_>,
    seq: TaskKey,
    planned: &PlannedTask,
    recording: Option<RecordingId>,
) -> rusqlite::Result<Option<[u8; 16]>> {
    let is_dead_on_arrival = planned.dead_on_arrival.is_some();
    if let Some(key) = &planned.order_key
        && (!is_dead_on_arrival || key.dead_blocks)
        && !order::join(txn, seq, key.as_bytes())?
    {
        return Ok(Some(*key.as_bytes()));
    }
    if let (Turn::Needed, Some(recording), false) = (planned.turn, recording, is_dead_on_arrival)
        && !turn::take(txn, seq, recording)?
    {
        return Ok(Some(*recording.as_bytes()));
    }
    Ok(None)
}

/// Stores the notices of tasks that are dead on arrival, with keys behind all planned tasks.
fn notify_of_dead_on_arrival(
    txn: &mut Txn<'_>,
    event_seq: i64,
    first: i64,
    arrival: &Arrival,
) -> rusqlite::Result<()> {
    for (number, planned) in (first..).zip(&arrival.plan.tasks) {
        if let (Some(why), Some(to)) = (&planned.dead_on_arrival, &planned.on_dead) {
            let (seq, lane) = (
                TaskKey::new(event_seq, number),
                Lane::Destination(to.clone()),
            );
            notice::notify(txn, seq, &lane, why, arrival.event.received)?;
        }
    }
    Ok(())
}

fn first_claim(
    seq: TaskKey,
    arrival: &Arrival,
    planned: &PlannedTask,
    named: Option<Place>,
) -> Claim {
    let task = Task {
        id: planned.id,
        event: arrival.event.id,
        work: Work::Rule(planned.rule.clone()),
        generation: planned.generation,
        revision: arrival.plan.revision,
        step: 0,
        tries: 1,
        since: arrival.event.received,
        outputs: Outputs::new(),
        lane: planned.lane.clone(),
        recording: named.as_ref().map(RecordingId::of),
    };
    Claim {
        key: seq,
        task,
        attempt: 1,
        event: arrival.event.clone(),
        located: named.map(|place| Located {
            place,
            moved_by: None,
            replaced: None,
        }),
        cancel: false,
        given_up: None,
        known: seq.event(),
        settled: 0,
    }
}

fn insert(
    txn: &mut Txn<'_>,
    seq: TaskKey,
    arrival: &Arrival,
    planned: &PlannedTask,
    recording: Option<RecordingId>,
    blocked_by: Option<[u8; 16]>,
    state: TaskState,
) -> rusqlite::Result<()> {
    let now = arrival.event.received.millis();
    let order = planned.order_key.as_ref();
    txn.conn
        .prepare_cached(
            "INSERT INTO tasks (seq, id, rule, generation, revision, step, tries, attempt, since, lane, order_key, \
             order_blocks, recording, needs_turn, state, due, blocked_by, at, failure) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?7, ?14, ?15, ?16)",
        )?
        .execute(rusqlite::params![
            seq,
            planned.id.as_bytes(),
            planned.rule,
            planned.generation,
            arrival.plan.revision.number(),
            i64::from(state == TaskState::Running),
            now,
            planned.lane.to_string(),
            order.map(OrderKey::as_bytes),
            order.is_some_and(|order| order.dead_blocks),
            recording.as_ref().map(RecordingId::as_bytes),
            planned.turn == Turn::Needed,
            state,
            blocked_by,
            (state == TaskState::Dead).then_some(now),
            planned.dead_on_arrival.as_ref().map(json),
        ])?;
    txn.enters(state);
    Ok(())
}

pub(super) fn keep_revision(txn: &Txn<'_>, id: RevisionId, text: &str) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("INSERT INTO revisions (id, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((id.number(), text))?;
    Ok(())
}
