//! Replays past events: plans them again and stores the new tasks as ready.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::core::Txn;
use super::lists::event_key;
use super::named_task::has_body;
use super::row;
use super::{interventions, record};
use crate::model::event::Event;
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::{Act, By, Intervention};
use crate::model::plan::{Plan, PlannedTask};
use crate::model::task::TaskState;
use crate::model::time::Timestamp;
use crate::store::Arrival;
use crate::store::operator::{Replay, ReplayOutcome, Replayed, Scope};
use crate::store::task_key::TaskKey;

pub(super) struct Planned {
    event_seq: i64,
    /// The tasks it had when it was planned.
    earlier: Vec<Earlier>,
    first: i64,
    event: Arc<Event>,
    plan: Plan,
    matches: usize,
    unfinished: usize,
}

#[derive(PartialEq)]
struct Earlier {
    number: i64,
    rule: String,
    generation: u32,
    is_settled: bool,
}

/// The new plan, or why there is none.
pub(super) type Judged = Result<Planned, ReplayOutcome>;

pub(super) fn dry_run(
    txn: &Txn<'_>,
    id: EventId,
    replay: &Replay<'_>,
) -> rusqlite::Result<ReplayOutcome> {
    let judged = judge(txn, id, replay)?;
    Ok(judged.map_or_else(|outcome| outcome, Planned::outcome))
}

/// Stores a plan that was made before this transaction: reading and planning is most of the work,
/// and this way blocks nobody.
pub(super) fn replay(
    txn: &mut Txn<'_>,
    id: EventId,
    judged: Judged,
    replay: &Replay<'_>,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<ReplayOutcome> {
    match still(txn, id, judged, replay)? {
        Ok(planned) => store(txn, planned, replay, by, now),
        Err(outcome) => Ok(outcome),
    }
}

/// The plan, or a new one if the event has changed since.
fn still(
    txn: &Txn<'_>,
    id: EventId,
    judged: Judged,
    replay: &Replay<'_>,
) -> rusqlite::Result<Judged> {
    let Ok(planned) = &judged else {
        return Ok(judged);
    };
    let event_seq = planned.event_seq;
    let is_unchanged = has_body(txn, event_seq)?
        && half_moved(txn, event_seq)?.is_none()
        && earlier(txn, event_seq)? == planned.earlier;
    if is_unchanged {
        Ok(judged)
    } else {
        judge(txn, id, replay)
    }
}

pub(super) fn judge(txn: &Txn<'_>, id: EventId, replay: &Replay<'_>) -> rusqlite::Result<Judged> {
    let Some(event_seq) = event_key(txn.conn, id)? else {
        return Ok(Err(ReplayOutcome::Unknown));
    };
    let Some(event) = row::event(txn, event_seq)? else {
        return Ok(Err(ReplayOutcome::Forgotten));
    };
    if let Some(task) = half_moved(txn, event_seq)? {
        return Ok(Err(ReplayOutcome::HalfMoved(task)));
    }
    let planned = Planned::of(event_seq, event, earlier(txn, event_seq)?, replay);
    let end = planned
        .first
        .checked_add_unsigned(planned.plan.tasks.len() as u64);
    if end.is_none_or(|end| end > TaskKey::MOST) {
        return Ok(Err(ReplayOutcome::Full));
    }
    Ok(Ok(planned))
}

/// A settled task of the event with a half-done move.
fn half_moved(txn: &Txn<'_>, event_seq: i64) -> rusqlite::Result<Option<TaskId>> {
    txn.conn
        .prepare_cached(
            "SELECT t.id FROM tasks t WHERE t.seq >= ?1 AND t.seq < ?2 AND t.state > 1 \
             AND EXISTS (SELECT 1 FROM moves m WHERE m.task = t.seq AND m.phase < 2) LIMIT 1",
        )?
        .query_row(TaskKey::of_event(event_seq), |row| {
            Ok(TaskId::from_bytes(row.get(0)?))
        })
        .optional()
}

fn earlier(txn: &Txn<'_>, event_seq: i64) -> rusqlite::Result<Vec<Earlier>> {
    txn.conn
        .prepare_cached(
            "SELECT seq, rule, generation, state FROM tasks WHERE seq >= ?1 AND seq < ?2",
        )?
        .query_map(TaskKey::of_event(event_seq), |row| {
            Ok(Earlier {
                number: row.get::<_, TaskKey>(0)?.number(),
                rule: row.get(1)?,
                generation: row.get(2)?,
                is_settled: row.get::<_, TaskState>(3)?.is_settled(),
            })
        })?
        .collect()
}

impl Planned {
    fn of(event_seq: i64, event: Arc<Event>, earlier: Vec<Earlier>, replay: &Replay<'_>) -> Self {
        let newest = earlier.iter().map(|task| task.generation).max();
        let generation = match (replay.scope, newest) {
            (_, None) => 0,
            (Scope::Missing, Some(newest)) => newest,
            (Scope::All, Some(newest)) => newest + 1,
        };
        let has_its_task = |task: &PlannedTask| {
            let mut same = earlier.iter().filter(|one| one.rule == task.rule);
            match replay.scope {
                Scope::Missing => same.next().is_some(),
                Scope::All => same.any(|one| !one.is_settled),
            }
        };
        let mut plan = (replay.plan)(&event, generation);
        let matches = plan.tasks.len();
        plan.tasks.retain(|task| !has_its_task(task));
        let unfinished = match replay.scope {
            Scope::Missing => 0,
            Scope::All => matches - plan.tasks.len(),
        };
        Self {
            event_seq,
            first: earlier
                .iter()
                .map(|task| task.number + 1)
                .max()
                .unwrap_or(0),
            earlier,
            event,
            plan,
            matches,
            unfinished,
        }
    }

    fn outcome(self) -> ReplayOutcome {
        ReplayOutcome::Planned(Replayed {
            tasks: self.plan.tasks,
            matches: self.matches,
            unfinished: self.unfinished,
        })
    }
}

fn store(
    txn: &mut Txn<'_>,
    planned: Planned,
    replay: &Replay<'_>,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<ReplayOutcome> {
    if planned.plan.tasks.is_empty() {
        return Ok(planned.outcome());
    }
    let revision = planned.plan.revision;
    record::keep_revision(txn, revision, replay.rules)?;
    // The new tasks count their time from now, so that `give_up_after` applies to the replay.
    let arrival = Arrival {
        event: Arc::new(Event {
            received: now,
            ..Event::clone(&planned.event)
        }),
        plan: planned.plan.clone(),
    };
    let started = record::tasks(txn, planned.event_seq, planned.first, &arrival, &[])?;
    debug_assert!(
        started.is_empty(),
        "nothing is started from the command line"
    );
    let intervention = Intervention::new(Act::Replayed, by, now).under(revision);
    for (number, _task) in (planned.first..).zip(&planned.plan.tasks) {
        let seq = TaskKey::new(planned.event_seq, number);
        interventions::log(txn, seq, &intervention)?;
    }
    Ok(planned.outcome())
}
