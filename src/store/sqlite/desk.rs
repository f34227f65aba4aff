//! What a person does to the queue, on a connection of its own beside the service.
//!
//! Works while the store is served and never migrates it. The service notices within a
//! second.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::apply::move_to_settled;
use super::core::{CANCELLED, Core, DEAD, READY, Txn};
use super::row::{TASK_BITS, recording};
use super::schema::{self, OpenError};
use super::{read, record, turn};
use crate::model::id::TaskId;
use crate::model::task::{Lane, RevisionId};
use crate::model::time::Timestamp;
use crate::store::{Arrival, Decode, Recorded, Unavailable};

/// A connection for a person's commands.
pub struct Desk {
    pub(super) core: Core,
    path: std::path::PathBuf,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What came of asking for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOutcome {
    /// The task is ready again, its tries and its time counted anew.
    Requeued,
    /// Only dead and cancelled tasks can be retried; this one is in that state.
    InState(&'static str),
    /// Retention has removed the callback's body, and with it what the task works on.
    Forgotten,
    Unknown,
}

/// What came of asking to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    Cancelled,
    /// It runs or has objects half moved: the service brings it to a safe end.
    Requested,
    /// It is settled already, in that state.
    InState(&'static str),
    Unknown,
}

impl Desk {
    /// Opens the store at `path`, which must be there and of this version.
    pub fn open(path: &Path, decode: Decode) -> Result<Self, OpenError> {
        Ok(Self {
            core: Core::new(schema::open_beside(path)?, decode),
            path: path.to_owned(),
        })
    }

    pub(super) fn conn(&self) -> &Connection {
        self.core.conn()
    }

    pub(super) fn unavailable(&self) -> impl Fn(rusqlite::Error) -> Unavailable + use<> {
        let path = self.path.clone();
        move |error| Unavailable {
            path: path.clone(),
            reason: error.to_string(),
        }
    }

    fn write<T>(
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

    /// Makes a dead or cancelled task ready at the step where it stopped.
    pub fn retry(&mut self, id: TaskId, now: Timestamp) -> Result<RetryOutcome, Unavailable> {
        self.write(|txn| retry(txn, id, now))
    }

    /// Ends a task, at once or, where something is half done, through the service.
    pub fn cancel(&mut self, id: TaskId, now: Timestamp) -> Result<CancelOutcome, Unavailable> {
        self.write(|txn| cancel(txn, id, now))
    }

    /// Copies the whole store, as it is at one moment, to a new file.
    pub fn backup(&self, to: &Path) -> Result<(), Unavailable> {
        let unavailable = self.unavailable();
        let name = to.to_string_lossy();
        self.conn()
            .execute("VACUUM INTO ?1", [name])
            .map_err(&unavailable)?;
        let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|error| Unavailable {
            path: to.to_owned(),
            reason: error.to_string(),
        })
    }
}

pub(super) fn keep_revision(txn: &Txn<'_>, id: RevisionId, text: &str) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("INSERT INTO revisions (id, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((id.number(), text))?;
    Ok(())
}

/// Says of tasks in lanes that are not known why they wait, and stops saying it of those
/// that are known again.
pub(super) fn mark_unknown_lanes(txn: &Txn<'_>, known: &[Lane]) -> rusqlite::Result<Vec<Lane>> {
    let lanes = read::lanes(txn.conn)?
        .into_iter()
        .filter_map(|lane| lane.parse::<Lane>().ok());
    let unknown: Vec<Lane> = lanes.filter(|lane| !known.contains(lane)).collect();
    let mut mark = txn.conn.prepare_cached(
        "UPDATE tasks SET note = ?2 WHERE lane = ?1 AND running = 0 AND blocked_by IS NULL",
    )?;
    for lane in &unknown {
        mark.execute((lane.to_string(), format!("{lane} is not in the rules file")))?;
    }
    txn.conn.execute(
        "UPDATE tasks SET note = NULL WHERE note LIKE '% is not in the rules file' AND lane IN (SELECT value FROM json_each(?1))",
        [super::row::json(&known)],
    )?;
    Ok(unknown)
}

fn retry(txn: &mut Txn<'_>, id: TaskId, now: Timestamp) -> rusqlite::Result<RetryOutcome> {
    let Some((seq, state)) = settled(txn, id)? else {
        let queued = txn
            .conn
            .prepare_cached("SELECT running FROM tasks WHERE id = ?1")?;
        return Ok(queued_state(queued, id)?.map_or(RetryOutcome::Unknown, RetryOutcome::InState));
    };
    if state != DEAD && state != CANCELLED {
        return Ok(RetryOutcome::InState("done"));
    }
    let mut body = txn
        .conn
        .prepare_cached("SELECT 1 FROM bodies WHERE event = ?1")?;
    if !body.exists([seq >> TASK_BITS])? {
        return Ok(RetryOutcome::Forgotten);
    }
    txn.conn.execute(
        "INSERT INTO tasks (seq, id, rule, generation, revision, step, tries, attempt, since, outputs, lane, order_key, \
         recording, needs_turn, running, due) \
         SELECT seq, id, rule, generation, revision, step, 0, attempt, ?2, outputs, lane, order_key, recording, \
         needs_turn, 0, ?2 FROM settled WHERE seq = ?1",
        (seq, now.millis()),
    )?;
    txn.conn
        .execute("DELETE FROM settled WHERE seq = ?1", [seq])?;
    txn.leaves(state);
    txn.enters(READY);
    Ok(RetryOutcome::Requeued)
}

fn cancel(txn: &mut Txn<'_>, id: TaskId, now: Timestamp) -> rusqlite::Result<CancelOutcome> {
    let found: Option<(i64, bool, bool, Option<[u8; 16]>)> = txn
        .conn
        .prepare_cached("SELECT seq, running, needs_turn, recording FROM tasks WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((seq, running, needs_turn, bytes)) = found else {
        let state = settled(txn, id)?.map(|(_, state)| crate::model::task::TaskState::NAMES[state]);
        return Ok(state.map_or(CancelOutcome::Unknown, CancelOutcome::InState));
    };
    if running || turn::is_unfinished(txn, seq)? {
        txn.conn.execute(
            "UPDATE tasks SET cancel = 1, due = ?2 WHERE seq = ?1",
            (seq, now.millis()),
        )?;
        return Ok(CancelOutcome::Requested);
    }
    move_to_settled(txn, seq, CANCELLED, None, now)?;
    if let (true, Some(recording)) = (needs_turn, recording(bytes)) {
        give_up(txn, seq, recording)?;
    }
    txn.leaves(READY);
    txn.enters(CANCELLED);
    Ok(CancelOutcome::Cancelled)
}

/// A task that waits for its turn holds none to pass on.
fn give_up(
    txn: &Txn<'_>,
    seq: i64,
    recording: crate::model::recording::RecordingId,
) -> rusqlite::Result<()> {
    let holds = txn
        .conn
        .prepare_cached("SELECT 1 FROM recordings WHERE id = ?1 AND turn = ?2")?
        .exists((recording.as_bytes(), seq))?;
    if holds {
        turn::pass_on(txn, seq, recording, false)?;
    }
    Ok(())
}

fn settled(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<Option<(i64, usize)>> {
    txn.conn
        .prepare_cached("SELECT seq, state FROM settled WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn queued_state(
    mut statement: rusqlite::CachedStatement<'_>,
    id: TaskId,
) -> rusqlite::Result<Option<&'static str>> {
    let running: Option<bool> = statement
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(running.map(|running| if running { "running" } else { "ready" }))
}
