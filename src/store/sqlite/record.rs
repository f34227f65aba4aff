//! Stores an event with its tasks, or recognises it.

use std::collections::HashSet;

use super::core::{DEAD, READY, RUNNING, Txn};
use super::row::{TASK_BITS, json};
use super::turn;
use crate::model::failure::Failure;
use crate::model::id::TaskId;
use crate::model::plan::{PlannedTask, Turn};
use crate::model::recording::RecordingId;
use crate::model::task::{Outputs, Task};
use crate::store::{Arrival, Claim, Located, Recorded};

pub(super) fn record(
    txn: &mut Txn<'_>,
    arrival: &Arrival,
    start: &[TaskId],
) -> rusqlite::Result<Recorded> {
    let Arrival { event, plan } = arrival;
    let new = txn
        .conn
        .prepare_cached(
            "INSERT INTO events (id, received, event_type, room, revision) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute((
            event.id.as_bytes(),
            event.received.millis(),
            event.fields.event_type.name(),
            &event.fields.room_id,
            plan.revision.number(),
        ))?;
    if new == 0 {
        return Ok(Recorded::Duplicate);
    }
    let event_seq = txn.conn.last_insert_rowid();
    let skipped = (!plan.skipped.is_empty()).then(|| json(&plan.skipped));
    txn.conn
        .prepare_cached("INSERT INTO bodies (event, body, skipped) VALUES (?1, ?2, ?3)")?
        .execute((event_seq, &event.body[..], skipped))?;
    let start: HashSet<&TaskId> = start.iter().collect();
    let named = event.fields.place();
    let mut claims = Vec::new();
    for (number, planned) in (0..).zip(&plan.tasks) {
        let seq = event_seq << TASK_BITS | number;
        let recording = named.as_ref().map(RecordingId::of);
        if let Some(why) = &planned.doomed {
            insert_dead(txn, seq, arrival, planned, recording, why)?;
            continue;
        }
        let holder = match (planned.turn, recording) {
            (Turn::Needed, Some(recording)) => turn::take(txn, seq, recording)?.err(),
            _ => None,
        };
        let starts = holder.is_none() && start.contains(&planned.id);
        insert(txn, seq, arrival, planned, recording, holder, starts)?;
        if starts {
            let task = first_run(arrival, planned, recording);
            let located = named.clone().map(|place| Located {
                place,
                moved_by: None,
            });
            claims.push(Claim {
                key: seq,
                task,
                attempt: 1,
                event: event.clone(),
                located,
                cancel: false,
            });
        }
    }
    Ok(Recorded::New { claims })
}

fn first_run(arrival: &Arrival, planned: &PlannedTask, recording: Option<RecordingId>) -> Task {
    Task {
        id: planned.id,
        event: arrival.event.id,
        rule: planned.rule.clone(),
        generation: planned.generation,
        revision: arrival.plan.revision,
        step: 0,
        tries: 1,
        since: arrival.event.received,
        outputs: Outputs::new(),
        lane: planned.lane.clone(),
        recording,
    }
}

fn insert(
    txn: &mut Txn<'_>,
    seq: i64,
    arrival: &Arrival,
    planned: &PlannedTask,
    recording: Option<RecordingId>,
    holder: Option<i64>,
    starts: bool,
) -> rusqlite::Result<()> {
    let now = arrival.event.received.millis();
    txn.conn
        .prepare_cached(
            "INSERT INTO tasks (seq, id, rule, generation, revision, step, tries, attempt, since, lane, order_key, \
             recording, needs_turn, running, due, blocked_by) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?7, ?13)",
        )?
        .execute(rusqlite::params![
            seq,
            planned.id.as_bytes(),
            planned.rule,
            planned.generation,
            arrival.plan.revision.number(),
            i64::from(starts),
            now,
            planned.lane.to_string(),
            planned.order_key,
            recording.as_ref().map(RecordingId::as_bytes),
            planned.turn == Turn::Needed,
            starts,
            holder,
        ])?;
    txn.enters(if starts { RUNNING } else { READY });
    Ok(())
}

fn insert_dead(
    txn: &mut Txn<'_>,
    seq: i64,
    arrival: &Arrival,
    planned: &PlannedTask,
    recording: Option<RecordingId>,
    why: &Failure,
) -> rusqlite::Result<()> {
    let now = arrival.event.received.millis();
    txn.conn
        .prepare_cached(
            "INSERT INTO settled (seq, id, rule, generation, revision, step, tries, attempt, since, lane, order_key, \
             recording, needs_turn, state, at, failure) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6, ?7, ?8, ?9, ?10, 3, ?6, ?11)",
        )?
        .execute(rusqlite::params![
            seq,
            planned.id.as_bytes(),
            planned.rule,
            planned.generation,
            arrival.plan.revision.number(),
            now,
            planned.lane.to_string(),
            planned.order_key,
            recording.as_ref().map(RecordingId::as_bytes),
            planned.turn == Turn::Needed,
            json(why),
        ])?;
    txn.enters(DEAD);
    Ok(())
}
