//! What a person does to the queue, on a connection of its own beside the service.
//!
//! Works while the store is served and never migrates it. The service notices within a
//! second.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::core::{CANCELLED, Core, DEAD, DONE, READY, RUNNING, Txn};
use super::error::{self, OpenError};
use super::lock::{self, Outside};
use super::order::{self, Order};
use super::row::{self, TASK_BITS, recording};
use super::{blocked, file, intervene, journal, prune, read, record, schema, turn};
use crate::model::failure::Failure;
use crate::model::id::TaskId;
use crate::model::intervention::{Act, By, Intervention};
use crate::model::recording::RecordingId;
use crate::model::task::{Lane, RevisionId, TaskState};
use crate::model::time::Timestamp;
use crate::store::{Arrival, Decode, Recorded, Unavailable};

/// A connection for a person's commands.
pub struct SqliteOperator {
    pub(super) core: Core,
    pub(super) path: std::path::PathBuf,
}

impl std::fmt::Debug for SqliteOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteOperator")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What came of asking for a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOutcome {
    /// The task is ready again, its tries and its time counted anew.
    Requeued,
    /// It waited for a time and is due now; its tries and its time go on.
    DueNow,
    /// It is ready to be ended, and cannot be retried before it is.
    Ending(Ending),
    /// There is nothing to retry: it is in that state, and when it is ready, due already or
    /// behind another task.
    InState(&'static str),
    /// Retention has removed the callback's body, and with it what the task works on.
    Forgotten,
    /// It cannot go on under the rules that it should get, for this reason.
    Refused(String),
    Unknown,
}

/// How a task is to end whose move was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The state that it comes to.
    pub state: &'static str,
    /// Whether its move is past the commit point, and completed first. Else it is given up.
    pub goes_forward: bool,
    /// Whether it waited for a time, and is due now.
    pub due_now: bool,
}

/// What came of asking to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    Cancelled,
    /// It runs or has objects half moved: the service brings it to a safe end.
    Requested,
    /// It is done or cancelled already.
    InState(&'static str),
    Unknown,
}

/// The task that a command names.
pub(super) struct Found {
    pub(super) seq: i64,
    state: usize,
    /// The recording whose turn its step needs.
    turn: Option<RecordingId>,
    order: Option<Order>,
    failure: Option<Failure>,
    /// The state that the service brings it to: a person has asked for that, or it has failed
    /// for good, and something of its move was left.
    end: Option<usize>,
    /// Whether its step's move is past the commit point.
    is_committed: bool,
    /// Whether it has left something behind in buckets.
    leaves: bool,
    /// When it is due, unless it waits for another task.
    due: Option<Timestamp>,
}

impl Found {
    /// Whether it is ready and waits for a time.
    pub(super) fn waits(&self, now: Timestamp) -> bool {
        self.state == READY && self.due.is_some_and(|due| due > now)
    }

    pub(super) fn in_state(&self) -> RetryOutcome {
        let state = RetryOutcome::InState(TaskState::NAMES[self.state]);
        self.ending(false).map_or(state, RetryOutcome::Ending)
    }

    /// How it is to end, where it is ready for nothing else.
    pub(super) fn ending(&self, due_now: bool) -> Option<Ending> {
        let end = self.end.filter(|_| self.state == READY)?;
        Some(Ending {
            state: TaskState::NAMES[end],
            goes_forward: self.is_committed,
            due_now,
        })
    }

    /// What a person does to the task as it is.
    pub(super) fn intervention(&self, act: Act, by: &By, now: Timestamp) -> Intervention {
        Intervention::new(act, by, now).on(TaskState::NAMES[self.state], self.failure.clone())
    }
}

impl SqliteOperator {
    /// Opens the store at `path`, which must be there and of this version.
    pub fn open(path: &Path, decode: Decode) -> Result<Self, OpenError> {
        let path = file::real(path)?;
        Ok(Self {
            core: Core::new(schema::open_beside(&path)?, &path, decode)?,
            path,
        })
    }

    pub(super) fn is_served(&self) -> bool {
        lock::outside(&self.path) == Outside::Served
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.core.conn
    }

    pub(super) fn unavailable(&self) -> impl Fn(rusqlite::Error) -> Unavailable + use<> {
        let path = self.path.clone();
        move |error| error::unavailable(&path, &error)
    }

    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Txn<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let unavailable = self.unavailable();
        self.core.commit(work).map_err(unavailable)
    }

    /// Stores an event as the service would, with the rules that planned it.
    pub fn record(
        &mut self,
        arrival: &Arrival,
        revision_text: &str,
    ) -> Result<Recorded, Unavailable> {
        self.write(|txn| {
            keep_revision(txn, arrival.plan.revision, revision_text)?;
            record::record(txn, arrival, &[])
        })
    }

    pub(super) fn look<T>(
        &mut self,
        look: impl FnOnce(&Txn<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let unavailable = self.unavailable();
        self.core.look(look).map_err(unavailable)
    }

    /// Ends a task, at once or, where something is half done, through the service. Of dead
    /// tasks only those can be ended that hold back others by `order_blocks`.
    pub fn cancel(&mut self, id: TaskId, now: Timestamp) -> Result<CancelOutcome, Unavailable> {
        self.write(|txn| cancel(txn, id, &By::default(), now))
    }

    /// Ends these tasks in one transaction; what came of each.
    pub fn cancel_all(
        &mut self,
        ids: &[TaskId],
        by: &By,
        now: Timestamp,
    ) -> Result<Vec<CancelOutcome>, Unavailable> {
        self.write(|txn| ids.iter().map(|id| cancel(txn, *id, by, now)).collect())
    }

    /// What [`SqliteOperator::cancel_all`] would answer; changes nothing.
    pub fn rehearse_cancel(&mut self, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, Unavailable> {
        let outcome = |txn: &Txn<'_>, id| match cancellable(txn, id)? {
            Ok(found) => cancel_outcome(txn, &found),
            Err(outcome) => Ok(outcome),
        };
        self.look(|txn| ids.iter().map(|id| outcome(txn, *id)).collect())
    }
}

pub(super) fn keep_revision(txn: &Txn<'_>, id: RevisionId, text: &str) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("INSERT INTO revisions (id, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((id.number(), text))?;
    Ok(())
}

/// Keeps which lanes there are; answers those that tasks wait in and that are not there.
/// Whoever shows a task says so: marking the tasks would touch a whole backlog.
pub(super) fn mark_unknown_lanes(txn: &Txn<'_>, known: &[Lane]) -> rusqlite::Result<Vec<Lane>> {
    txn.conn.prepare_cached("DELETE FROM lanes")?.execute([])?;
    let mut insert = txn
        .conn
        .prepare_cached("INSERT INTO lanes (name) VALUES (?1)")?;
    for lane in known {
        insert.execute([lane.to_string()])?;
    }
    let waiting = read::lanes(txn.conn)?.into_iter();
    Ok(waiting
        .filter_map(|lane| lane.parse().ok())
        .filter(|lane| !known.contains(lane))
        .collect())
}

/// The task, when it stopped and can be made ready again.
pub(super) fn retriable(
    txn: &Txn<'_>,
    id: TaskId,
) -> rusqlite::Result<Result<Found, RetryOutcome>> {
    let Some(found) = find(txn, id)? else {
        return Ok(Err(RetryOutcome::Unknown));
    };
    if found.state != DEAD && found.state != CANCELLED {
        return Ok(Err(found.in_state()));
    }
    if !has_body(txn, found.seq >> TASK_BITS)? {
        return Ok(Err(RetryOutcome::Forgotten));
    }
    Ok(Ok(found))
}

/// Whether the event can still be worked on: retention has not removed its callback's body.
pub(super) fn has_body(txn: &Txn<'_>, event_seq: i64) -> rusqlite::Result<bool> {
    txn.conn
        .prepare_cached("SELECT 1 FROM bodies WHERE event = ?1")?
        .exists([event_seq])
}

/// Makes a dead or cancelled task ready, its tries and its time counted anew.
pub(super) fn requeue(txn: &mut Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 0, tries = 0, since = ?2, due = ?2, wait = 0, waits_for = NULL, cancel = 0, \
             at = NULL, failure = NULL, note = NULL, given_up = NULL WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    if let Some(Order { key, .. }) = &found.order
        && !order::join(txn, found.seq, key)?
    {
        blocked::wait(txn, found.seq, key)?;
    }
    txn.leaves(found.state);
    txn.enters(READY);
    Ok(())
}

/// Makes a task due that waits for a time.
pub(super) fn hasten(txn: &Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE tasks SET due = ?2, wait = 0 WHERE seq = ?1")?
        .execute((found.seq, now.millis()))?;
    Ok(())
}

/// The task, when it can be cancelled.
fn cancellable(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<Result<Found, CancelOutcome>> {
    Ok(match find(txn, id)? {
        None => Err(CancelOutcome::Unknown),
        Some(found) if found.state == DONE || (found.state == CANCELLED && !found.leaves) => {
            Err(CancelOutcome::InState(TaskState::NAMES[found.state]))
        }
        Some(found) => Ok(found),
    })
}

fn cancel_outcome(txn: &Txn<'_>, found: &Found) -> rusqlite::Result<CancelOutcome> {
    let is_half_done =
        found.state == RUNNING || found.leaves || turn::is_unfinished(txn, found.seq)?;
    Ok(if is_half_done {
        CancelOutcome::Requested
    } else {
        CancelOutcome::Cancelled
    })
}

fn cancel(
    txn: &mut Txn<'_>,
    id: TaskId,
    by: &By,
    now: Timestamp,
) -> rusqlite::Result<CancelOutcome> {
    let found = match cancellable(txn, id)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    let outcome = cancel_outcome(txn, &found)?;
    if outcome == CancelOutcome::Requested {
        request_end(txn, &found, now)?;
    } else {
        end(txn, &found, now)?;
    }
    if found.end != Some(CANCELLED) {
        let intervention = found.intervention(Act::Cancelled, by, now);
        intervene::log(txn, found.seq, &intervention)?;
    }
    Ok(outcome)
}

/// Lets the service bring the task to a safe end, whatever it waits for: perhaps that needs
/// less than going on. One that has ended has left copies behind: it runs once more, to remove
/// them or to see that they are gone.
fn request_end(txn: &mut Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    if found.state == DEAD || found.state == CANCELLED {
        requeue(txn, found, now)?;
    }
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET cancel = 1, due = ?2, wait = 0, waits_for = NULL WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    Ok(())
}

fn end(txn: &mut Txn<'_>, found: &Found, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 4, at = ?2, blocked_by = NULL, waits_for = NULL, failure = NULL, \
             note = NULL \
             WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    prune::settled(txn, found.seq, now)?;
    if found.turn.is_some() {
        journal::release(txn, found.seq, now)?;
    }
    if let Some(recording) = found.turn {
        give_up(txn, found.seq, recording, now)?;
    }
    if let Some(order) = &found.order {
        order::leave(txn, found.seq, &order.key, now)?;
    }
    txn.leaves(found.state);
    txn.enters(CANCELLED);
    Ok(())
}

/// A task that waits for its turn holds none to pass on.
fn give_up(
    txn: &Txn<'_>,
    seq: i64,
    recording: RecordingId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let holds = txn
        .conn
        .prepare_cached("SELECT 1 FROM recordings WHERE id = ?1 AND turn = ?2")?
        .exists((recording.as_bytes(), seq))?;
    if holds {
        turn::pass_on(txn, seq, recording, false, now)?;
    }
    Ok(())
}

pub(super) fn find(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<Option<Found>> {
    txn.conn
        .prepare_cached(
            "SELECT seq, state, CASE needs_turn WHEN 1 THEN recording END AS turn, order_key, order_blocks, failure, \
             CASE WHEN cancel = 1 THEN 4 WHEN given_up IS NOT NULL THEN 3 END AS ends_as, leaves IS NOT NULL AS leaves, \
             EXISTS (SELECT 1 FROM manifests m WHERE m.task = seq AND m.step = tasks.step AND m.committed = 1) AS is_committed, CASE WHEN blocked_by IS NULL AND waits_for IS NULL THEN due END AS due FROM tasks WHERE id = ?1",
        )?
        .query_row([id.as_bytes()], |row| {
            Ok(Found {
                seq: row.get("seq")?,
                state: row.get::<_, usize>("state")?.min(CANCELLED),
                turn: recording(row.get("turn")?),
                order: Order::read(row)?,
                failure: row::failure(row.get("failure")?),
                end: row.get("ends_as")?,
                is_committed: row.get("is_committed")?,
                leaves: row.get("leaves")?,
                due: row.get::<_, Option<i64>>("due")?.map(Timestamp::from_millis),
            })
        })
        .optional()
}
