//! What a person does to the queue, on a connection of its own beside the service.
//!
//! Works while the store is served and never migrates it. The service notices within a
//! second.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::core::{CANCELLED, Core, DEAD, READY, RUNNING, Txn};
use super::order::{self, Order};
use super::row::{TASK_BITS, recording};
use super::schema::{self, OpenError};
use super::{blocked, read, record, turn};
use crate::model::id::TaskId;
use crate::model::recording::RecordingId;
use crate::model::task::{Lane, RevisionId, TaskState};
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

/// The task that a command names.
struct Found {
    seq: i64,
    state: usize,
    /// The recording whose turn its step needs.
    turn: Option<RecordingId>,
    order: Option<Order>,
}

impl Found {
    /// Whether it is dead and holds back those behind it.
    fn is_dead_in_line(&self) -> bool {
        let mut order = self.order.iter();
        self.state == DEAD && order.any(|order| order.dead_blocks)
    }
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
        &self.core.conn
    }

    pub(super) fn unavailable(&self) -> impl Fn(rusqlite::Error) -> Unavailable + use<> {
        let path = self.path.clone();
        move |error| Unavailable {
            path: path.clone(),
            reason: error.to_string(),
        }
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

    /// Makes a dead or cancelled task ready at the step where it stopped.
    pub fn retry(&mut self, id: TaskId, now: Timestamp) -> Result<RetryOutcome, Unavailable> {
        self.write(|txn| retry(txn, id, now))
    }

    /// Ends a task, at once or, where something is half done, through the service. Of dead
    /// tasks only those can be ended that hold back others by `order_blocks`.
    pub fn cancel(&mut self, id: TaskId, now: Timestamp) -> Result<CancelOutcome, Unavailable> {
        self.write(|txn| cancel(txn, id, now))
    }

    /// Copies the whole store, as it is at one moment, to a file that is not there yet. It
    /// gets its name once it is whole and synced.
    pub fn backup(&self, to: &Path) -> Result<(), Unavailable> {
        self.copy(to).map_err(|error| Unavailable {
            path: to.to_owned(),
            reason: error.to_string(),
        })
    }

    fn copy(&self, to: &Path) -> std::io::Result<()> {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let copy = tempfile::Builder::new()
            .prefix(".aftertake-backup-")
            .tempfile_in(folder)?;
        let name = copy.path().to_str();
        let name = name.ok_or_else(|| std::io::Error::other("the folder's name is not UTF-8"))?;
        self.conn()
            .execute("VACUUM INTO ?1", [name])
            .map_err(std::io::Error::other)?;
        copy.as_file().sync_all()?;
        copy.persist_noclobber(to)?;
        std::fs::File::open(folder)?.sync_all()
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

fn retry(txn: &mut Txn<'_>, id: TaskId, now: Timestamp) -> rusqlite::Result<RetryOutcome> {
    let Some(found) = find(txn, id)? else {
        return Ok(RetryOutcome::Unknown);
    };
    if found.state != DEAD && found.state != CANCELLED {
        return Ok(RetryOutcome::InState(TaskState::NAMES[found.state]));
    }
    let mut body = txn
        .conn
        .prepare_cached("SELECT 1 FROM bodies WHERE event = ?1")?;
    if !body.exists([found.seq >> TASK_BITS])? {
        return Ok(RetryOutcome::Forgotten);
    }
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 0, tries = 0, since = ?2, due = ?2, cancel = 0, at = NULL, failure = NULL, \
             note = NULL WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    if let Some(Order { key, .. }) = &found.order
        && !order::join(txn, found.seq, key)?
    {
        blocked::wait(txn, found.seq, key)?;
    }
    txn.leaves(found.state);
    txn.enters(READY);
    Ok(RetryOutcome::Requeued)
}

fn cancel(txn: &mut Txn<'_>, id: TaskId, now: Timestamp) -> rusqlite::Result<CancelOutcome> {
    let Some(found) = find(txn, id)? else {
        return Ok(CancelOutcome::Unknown);
    };
    let is_dead = found.is_dead_in_line();
    if found.state != READY && found.state != RUNNING && !is_dead {
        return Ok(CancelOutcome::InState(TaskState::NAMES[found.state]));
    }
    if found.state == RUNNING || !is_dead && turn::is_unfinished(txn, found.seq)? {
        txn.conn
            .prepare_cached("UPDATE tasks SET cancel = 1, due = ?2 WHERE seq = ?1")?
            .execute((found.seq, now.millis()))?;
        return Ok(CancelOutcome::Requested);
    }
    txn.conn
        .prepare_cached(
            "UPDATE tasks SET state = 4, at = ?2, blocked_by = NULL, failure = NULL, note = NULL WHERE seq = ?1",
        )?
        .execute((found.seq, now.millis()))?;
    if let Some(recording) = found.turn {
        give_up(txn, found.seq, recording)?;
    }
    if let Some(order) = &found.order {
        order::leave(txn, found.seq, &order.key)?;
    }
    txn.leaves(found.state);
    txn.enters(CANCELLED);
    Ok(CancelOutcome::Cancelled)
}

/// A task that waits for its turn holds none to pass on.
fn give_up(txn: &Txn<'_>, seq: i64, recording: RecordingId) -> rusqlite::Result<()> {
    let holds = txn
        .conn
        .prepare_cached("SELECT 1 FROM recordings WHERE id = ?1 AND turn = ?2")?
        .exists((recording.as_bytes(), seq))?;
    if holds {
        turn::pass_on(txn, seq, recording, false)?;
    }
    Ok(())
}

fn find(txn: &Txn<'_>, id: TaskId) -> rusqlite::Result<Option<Found>> {
    txn.conn
        .prepare_cached(
            "SELECT seq, state, CASE needs_turn WHEN 1 THEN recording END AS turn, order_key, order_blocks \
             FROM tasks WHERE id = ?1",
        )?
        .query_row([id.as_bytes()], |row| {
            Ok(Found {
                seq: row.get("seq")?,
                state: row.get::<_, usize>("state")?.min(CANCELLED),
                turn: recording(row.get("turn")?),
                order: Order::read(row)?,
            })
        })
        .optional()
}
