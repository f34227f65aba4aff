//! Plans events of the past again: their tasks become ready like those of new events.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::core::{READY, RUNNING, Txn};
use super::operator::{self, SqliteOperator};
use super::row::{self, TASK_BITS};
use super::{intervene, record};
use crate::model::event::Event;
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::{Act, By, Intervention};
use crate::model::plan::{Plan, PlannedTask};
use crate::model::time::Timestamp;
use crate::store::{Arrival, Unavailable};

/// Tasks that an event can have.
const MOST: i64 = 1 << TASK_BITS;

/// How events are planned again.
pub struct Replay<'a> {
    pub scope: Scope,
    /// Plans an event in a generation under the rules of today.
    pub plan: &'a dyn Fn(&Event, u32) -> Plan,
    /// The text of those rules.
    pub rules: &'a str,
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Which tasks of an event are planned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of rules that have none yet.
    Missing,
    /// Those of every rule that matches, as a generation of their own. A rule whose task of
    /// an earlier generation is not settled gets none: it would do the same work twice.
    All,
}

/// What came of replaying an event.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayOutcome {
    Planned(Replayed),
    /// This task is settled and has objects half moved: it has to be retried or cancelled
    /// first, which ends that.
    HalfMoved(TaskId),
    /// Retention has removed the callback's body.
    Forgotten,
    /// It has as many tasks as an event can have.
    Full,
    Unknown,
}

/// An event that was planned again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Its new tasks.
    pub tasks: Vec<PlannedTask>,
    /// Rules that match it.
    pub matches: usize,
    /// Those of them that got none with [`Scope::All`], as an earlier one is not settled.
    pub unfinished: usize,
}

/// An event that can be planned again.
struct Planned {
    event_seq: i64,
    /// The tasks that it had when it was planned.
    earlier: Vec<Earlier>,
    /// The number of its first new task.
    first: i64,
    event: Arc<Event>,
    plan: Plan,
    matches: usize,
    unfinished: usize,
}

/// A task that the event has.
#[derive(PartialEq)]
struct Earlier {
    number: i64,
    rule: String,
    generation: u32,
    is_settled: bool,
}

impl SqliteOperator {
    /// Plans these events again in one transaction; what came of each.
    pub fn replay(
        &mut self,
        events: &[EventId],
        replay: &Replay<'_>,
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<ReplayOutcome>, Unavailable> {
        // Reading and planning is most of the work, and nobody has to wait for it.
        let judged = self.look(|txn| {
            let judge = |id: &EventId| judge(txn, *id, replay);
            events
                .iter()
                .map(judge)
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        self.write(|txn| {
            let one = |(id, judged): (&EventId, Result<Planned, ReplayOutcome>)| match still(
                txn, *id, judged, replay,
            )? {
                Ok(planned) => store(txn, planned, replay, by, now),
                Err(outcome) => Ok(outcome),
            };
            events.iter().zip(judged).map(one).collect()
        })
    }

    /// What [`SqliteOperator::replay`] would answer; changes nothing.
    pub fn rehearse_replay(
        &mut self,
        events: &[EventId],
        replay: &Replay<'_>,
    ) -> Result<Vec<ReplayOutcome>, Unavailable> {
        let outcome = |txn: &Txn<'_>, id| {
            let judged = judge(txn, id, replay)?;
            Ok(judged.map_or_else(|outcome| outcome, Planned::outcome))
        };
        self.look(|txn| events.iter().map(|id| outcome(txn, *id)).collect())
    }
}

/// What was judged before this transaction, or, where the event has changed since, what is to
/// be judged now.
fn still(
    txn: &Txn<'_>,
    id: EventId,
    judged: Result<Planned, ReplayOutcome>,
    replay: &Replay<'_>,
) -> rusqlite::Result<Result<Planned, ReplayOutcome>> {
    let Ok(planned) = &judged else {
        return Ok(judged);
    };
    let event_seq = planned.event_seq;
    let is_unchanged = operator::has_body(txn, event_seq)?
        && half_moved(txn, event_seq)?.is_none()
        && earlier(txn, event_seq)? == planned.earlier;
    if is_unchanged {
        Ok(judged)
    } else {
        judge(txn, id, replay)
    }
}

fn judge(
    txn: &Txn<'_>,
    id: EventId,
    replay: &Replay<'_>,
) -> rusqlite::Result<Result<Planned, ReplayOutcome>> {
    let event_seq: Option<i64> = txn
        .conn
        .prepare_cached("SELECT seq FROM events WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(event_seq) = event_seq else {
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
    if end.is_none_or(|end| end > MOST) {
        return Ok(Err(ReplayOutcome::Full));
    }
    Ok(Ok(planned))
}

/// A settled task of the event that left objects half moved.
fn half_moved(txn: &Txn<'_>, event_seq: i64) -> rusqlite::Result<Option<TaskId>> {
    txn.conn
        .prepare_cached(
            "SELECT t.id FROM tasks t WHERE t.seq >= ?1 AND t.seq < ?2 AND t.state > 1 \
             AND EXISTS (SELECT 1 FROM moves m WHERE m.task = t.seq AND m.phase < 2) LIMIT 1",
        )?
        .query_row(tasks_of(event_seq), |row| {
            Ok(TaskId::from_bytes(row.get(0)?))
        })
        .optional()
}

fn earlier(txn: &Txn<'_>, event_seq: i64) -> rusqlite::Result<Vec<Earlier>> {
    txn.conn
        .prepare_cached(
            "SELECT seq, rule, generation, state FROM tasks WHERE seq >= ?1 AND seq < ?2",
        )?
        .query_map(tasks_of(event_seq), |row| {
            Ok(Earlier {
                number: row.get::<_, i64>(0)? % MOST,
                rule: row.get(1)?,
                generation: row.get(2)?,
                is_settled: ![READY, RUNNING].contains(&row.get(3)?),
            })
        })?
        .collect()
}

/// Keys of an event's tasks: from, and to before.
fn tasks_of(event_seq: i64) -> (i64, i64) {
    (event_seq << TASK_BITS, (event_seq + 1) << TASK_BITS)
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
    operator::keep_revision(txn, revision, replay.rules)?;
    // To its new tasks the event arrives now: `give_up_after` counts from here.
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
    let first = planned.event_seq << TASK_BITS | planned.first;
    for (seq, _task) in (first..).zip(&planned.plan.tasks) {
        intervene::log(txn, seq, &intervention)?;
    }
    Ok(planned.outcome())
}
