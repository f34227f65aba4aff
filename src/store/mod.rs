//! The durable queue.
//!
//! [`Store`] is the service's half: its documentation is the crash contract, and one contract test
//! suite runs against every implementation. [`operator::Operator`] is the half for people.
//! [`sqlite`] is the default. Knows nothing of YAML, HTTP or buckets.

pub mod lists;
pub mod operator;
pub mod sqlite;
mod task_key;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::task_key::TaskKey;
use crate::model::attempt::AttemptRecord;
use crate::model::breaker::{LaneChange, LaneState, Pause, Whom};
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::id::{EventId, TaskId};
use crate::model::moment::Present;
use crate::model::moves::keys::Taken;
use crate::model::moves::{Earlier, MadeBy, Move, Outline, PutBy};
use crate::model::plan::Plan;
use crate::model::recording::{MovedBy, Place, Replaced};
use crate::model::task::{Attempt, Lane, Outputs, RevisionId, Task};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::model::wait::Outside;

/// The queue that the service runs on.
///
/// **Crash contract.** When a call that writes has returned `Ok`, its effect is committed and
/// synced to disk. When it returned [`Unavailable`], or the process died before it returned, the
/// effect happened completely or not at all. Concurrent calls share one commit. No transaction
/// spans more than one call.
#[async_trait]
pub trait Store: Send + Sync {
    /// Stores the text of a revision, so that its tasks can run after a restart with other rules.
    /// Storing a revision again changes nothing.
    async fn keep_revision(&self, id: RevisionId, text: String) -> Result<(), Unavailable>;

    async fn revision(&self, id: RevisionId) -> Result<Option<String>, Unavailable>;

    /// Stores an event with its tasks in one transaction, or recognises it as stored before and
    /// changes nothing.
    ///
    /// `start` names the new tasks for which the caller holds permits. Those that need not wait for
    /// a turn or an order are stored as running, their first try spent, and returned as claims. All
    /// others are stored as ready; those that are dead on arrival as dead, with a notice if their
    /// rule asks for one.
    async fn record(&self, arrival: Arrival, start: Vec<TaskId>) -> Result<Recorded, Unavailable>;

    /// Claims up to `free` due tasks of each lane and spends one try of each. A task whose turn is
    /// taken waits for it instead. The cost does not grow with the backlog or with finished
    /// history.
    async fn claim(&self, room: Vec<LaneRoom>, now: Timestamp) -> Result<Claimed, Unavailable>;

    /// The outline of the manifest of the claimed task's current step; `None` while none is in
    /// force.
    async fn outline(&self, claim: &Claim) -> Result<Option<Outline>, Unavailable>;

    /// The moves of that manifest with these numbers, in order.
    async fn moves(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable>;

    /// The moves with these numbers of a manifest that is not in force yet.
    async fn drafts(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable>;

    /// The newest completed move from each of these places by any task of the same recording.
    async fn earlier_moves(
        &self,
        claim: &Claim,
        from: Vec<Place>,
    ) -> Result<Vec<Earlier>, Unavailable>;

    /// The newest completed moves from each of these places by tasks of any recording, newest
    /// first.
    async fn made_from(&self, claim: &Claim, from: Vec<Place>) -> Result<Vec<MadeBy>, Unavailable>;

    /// What tasks of other recordings have put at this place, as far as it is still noted to be
    /// there.
    async fn put_by_others(&self, claim: &Claim, place: Place) -> Result<Vec<PutBy>, Unavailable>;

    /// Writes to the journal of the claimed task's current step. A page of a manifest holds every
    /// key that its moves read or write until the step is settled or undone. If one of them is
    /// taken, the whole manifest is removed.
    async fn journal(
        &self,
        claim: &Claim,
        entry: JournalEntry,
        now: Present,
    ) -> Result<(), JournalError>;

    /// The first of these keys that the claimed task may not write to now, if any.
    async fn taken(
        &self,
        claim: &Claim,
        targets: Vec<Place>,
        now: Present,
    ) -> Result<Option<Taken>, Unavailable>;

    /// Until when a copy requested by the claimed task's moves may still arrive; `None` if none
    /// can.
    async fn late_until(
        &self,
        claim: &Claim,
        now: Present,
    ) -> Result<Option<Timestamp>, Unavailable>;

    /// Ends the claim with a transition. [`Transition::Advance`] with `Hold::Keep` continues with
    /// the next step under a new claim and spends one try of it, unless that step has to wait for
    /// its turn. Releases the task that waited for a turn or order that this one gives up.
    async fn apply(
        &self,
        claim: Claim,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Applied, ApplyError>;

    /// Sets which lanes exist. Tasks of other lanes wait, spend no tries and are shown with that
    /// reason until a later call names their lane. Returns the other lanes in which tasks wait. The
    /// cost does not grow with the backlog.
    async fn mark_unknown_lanes(&self, known: Vec<Lane>) -> Result<Vec<Lane>, Unavailable>;

    /// The id of the directory that a folder bucket is; `None` if none is stored. Without one,
    /// stores `found` first.
    async fn bucket_id(
        &self,
        bucket: String,
        found: Option<String>,
    ) -> Result<Option<String>, Unavailable>;

    /// What tasks wait for outside the queue, each thing once. The cost grows with the number of
    /// things, not of tasks.
    async fn waits(&self) -> Result<Vec<Outside>, Unavailable>;

    /// Releases some of the tasks that wait for this, the longest waiting first. Answers whether
    /// there may be more.
    async fn release(&self, on: Outside, now: Timestamp) -> Result<bool, Unavailable>;

    /// The states of all lanes that are paused or whose breaker is open, or once were.
    async fn lane_states(&self) -> Result<Vec<(Lane, LaneState)>, Unavailable>;

    /// Stores a change of a lane's state. An existing pause is kept.
    async fn change_lane(&self, lane: Lane, change: LaneChange) -> Result<(), Unavailable>;

    /// Call after the clock may have been set: tasks that are due further ahead than their stored
    /// wait wait that long from `now`. Answers how many changed; repeating the call changes nothing
    /// more. The first call also counts requests of earlier processes as sent now.
    async fn correct_due(&self, now: Present) -> Result<usize, Unavailable>;

    /// Confirms that the service obeys these pauses from [`Store::lane_states`]: the commands that
    /// made them may wait for it.
    async fn acknowledge_pauses(&self, paused: Vec<(Lane, Pause)>) -> Result<(), Unavailable>;

    /// Which of these running tasks a person asked to cancel.
    async fn cancel_requests(&self, running: Vec<TaskId>) -> Result<Vec<TaskId>, Unavailable>;

    /// Waits until another process, such as the command line, has written.
    async fn changed(&self);

    /// Removes what has certainly been kept for longer than `keep`, a bounded number of rows per
    /// call. Dead tasks stay. An event from which nothing can be removed yet is not visited again
    /// until something can.
    async fn prune(&self, keep: Retention, now: Present) -> Result<Pruned, Unavailable>;

    async fn figures(&self, now: Timestamp) -> Result<Figures, Unavailable>;

    /// Whether the store can take a callback now: writes as much as one needs, and fails with the
    /// reason. An earlier failure counts until a write succeeds, damage to the file until the next
    /// start.
    async fn ready(&self) -> Result<(), Unavailable>;

    /// Waits until nothing can be written before the next start, and says why.
    async fn ended(&self) -> Unavailable;
}

/// An event with its plan under the rules in force.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub event: Arc<Event>,
    pub plan: Plan,
}

#[derive(Debug)]
pub enum Recorded {
    /// Stored now, with the claims of the tasks of `start` that run.
    New { claims: Vec<Claim> },
    /// Stored before as this event.
    Duplicate { of: EventId },
}

/// A lane and how many more tasks it can run.
#[derive(Debug, Clone)]
pub struct LaneRoom {
    pub lane: Lane,
    pub free: usize,
    /// Which due tasks come first.
    pub whom: Whom,
}

impl LaneRoom {
    /// Room for `free` tasks of the lane, the longest due first.
    pub fn new(lane: Lane, free: usize) -> Self {
        Self {
            lane,
            free,
            whom: Whom::DueLongest,
        }
    }
}

#[derive(Debug)]
pub struct Claimed {
    pub claims: Vec<Claim>,
    /// When the next task of these lanes is due; `None` when none waits for a time. At or before
    /// `now` when more tasks are due than there was room for.
    pub next_due: Option<Timestamp>,
}

/// A worker's exclusive hold on a running task.
///
/// Only a store builds one, and it moves into [`Store::apply`]: a claim is settled once.
#[derive(Debug)]
#[must_use = "a claim holds its task; apply a settlement to it"]
pub struct Claim {
    key: TaskKey,
    task: Task,
    attempt: Attempt,
    event: Arc<Event>,
    located: Option<Located>,
    cancel: bool,
    given_up: Option<Failure>,
    /// The newest event that was stored when the claim began.
    known: i64,
    /// How many target keys of moves had been released when the claim began.
    settled: u64,
}

impl Claim {
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The fence that every write under this claim carries.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Where the recording is, and who moved it there; `None` when the event names no object. A
    /// move that a task of an earlier event committed before this event does not count: the
    /// recorder has written the object again. Nobody else moves the recording while the claim holds
    /// its turn.
    pub fn located(&self) -> Option<&Located> {
        self.located.as_ref()
    }

    /// Why the step was given up: it only has to remove its copies.
    pub fn given_up(&self) -> Option<&Failure> {
        self.given_up.as_ref()
    }

    /// Whether a person asked to cancel the task before it was claimed.
    pub fn cancel_requested(&self) -> bool {
        self.cancel
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub place: Place,
    /// The rule that moved it there; `None` while it is where its event says.
    pub moved_by: Option<MovedBy>,
    /// Whether another recording has replaced it there.
    pub replaced: Option<Replaced>,
}

/// A write to the journal of a rename.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalEntry {
    /// A page of a manifest that is not in force: nothing of it has begun. Its moves are copied
    /// where the object is already at the target, else planned. The page with move 0 replaces an
    /// older draft or an undone manifest.
    Draft(Vec<Move>),
    /// The last or only page of the manifest: puts the drafted pages in force with it, before
    /// anything is copied. Replaces like a draft.
    Manifest(Vec<Move>),
    Progress(Vec<Move>),
    /// The commit point: from now on the recording is at this place.
    Commit(Place),
    /// No other playlist names the sources of these moves any more. Those that no other task reads
    /// are no longer shared: this move deletes them.
    Last(Vec<Move>),
    /// A run begins. If the run before it did not write `Ended`, its requests may still arrive for
    /// `lingers`, and all keys of the step stay taken until then.
    Begun {
        lingers: Duration,
    },
    /// A run has ended without completing the step. Of its requests, only those that change `late`
    /// may still arrive, for `lingers`.
    Ended {
        late: Vec<Place>,
        lingers: Duration,
    },
}

#[derive(Debug, Clone)]
pub struct Settlement {
    pub transition: Transition,
    /// The attempt to log; `None` when nothing was tried.
    pub attempt: Option<AttemptRecord>,
    /// The task's outputs after the claim.
    pub outputs: Outputs,
    /// What the task has left behind and where, for a person.
    pub leaves: Option<String>,
}

#[derive(Debug)]
pub enum Applied {
    /// The caller no longer holds the task.
    Settled,
    Continues(Box<Claim>),
}

#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// For bodies and attempts of finished tasks.
    pub history: Duration,
    /// For ids and places: within it, a duplicate is recognised.
    pub dedup_horizon: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub looked: usize,
    pub bodies: usize,
    pub tasks: usize,
    pub events: usize,
    /// Whether one call could not remove all.
    pub more: bool,
    /// Whether it stopped at an event from the future of the clock, which is behind the certain
    /// time.
    pub awaits_clock: bool,
}

/// The queue in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    pub ready: u64,
    pub running: u64,
    pub done: u64,
    pub dead: u64,
    pub cancelled: u64,
    /// For how long the longest due task has been due.
    pub oldest_due: Option<Duration>,
    /// Tasks in any state that have left something behind in buckets.
    pub leaving: u64,
    /// For how long the longest waiting task has waited for something outside the queue.
    pub oldest_waiting: Option<Duration>,
}

/// The store cannot answer now: the disk is full or fails, or the service stops.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store {path}: {reason}")]
pub struct Unavailable {
    pub path: PathBuf,
    pub reason: String,
    /// Whether the file is damaged. Then all later calls fail, too.
    pub is_malformed: bool,
}

impl Unavailable {
    pub fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.into(),
            is_malformed: false,
        }
    }
}

/// A write under a claim did not happen.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A newer claim of the task exists, or it was settled: drop it.
    #[error("task {0} belongs to a newer claim")]
    Lost(TaskId),
    #[error("{} is taken", .0.key)]
    Taken(Box<Taken>),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A newer claim of the task exists, or it was settled: drop it.
    #[error("task {0} belongs to a newer claim")]
    Lost(TaskId),
    /// Nothing was written; apply the claim again.
    #[error("{cause}")]
    Unavailable {
        claim: Box<Claim>,
        cause: Unavailable,
    },
}
