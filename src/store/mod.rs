//! The durable queue: what survives whatever happens to the process.
//!
//! [`Store`] is what the service needs; its documentation is the crash contract, and
//! one contract suite runs against every implementation. [`operator::Operator`] is what people
//! need. [`sqlite`] is the default.
//! Knows nothing of YAML, HTTP or buckets: it writes what it is told, fenced.

pub mod lists;
pub mod operator;
pub mod sqlite;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::attempt::AttemptRecord;
use crate::model::breaker::{LaneChange, LaneState, Pause, Whom};
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::id::{EventId, TaskId};
use crate::model::moment::Present;
use crate::model::moves::keys::Taken;
use crate::model::moves::{Earlier, MadeBy, Move, Outline};
use crate::model::plan::{Plan, Turn};
use crate::model::recording::{MovedBy, Place};
use crate::model::task::{Attempt, Lane, Outputs, RevisionId, StepNo, Task};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::model::wait::Outside;

/// The queue that the service runs on.
///
/// **Crash contract.** When a call that writes has returned `Ok`, its effect is
/// committed and synced to disk. When it returned [`Unavailable`], or the process died
/// before it returned, the effect happened whole or not at all. Calls made at the same
/// time share one commit. No call holds a transaction across anything but its own
/// statements.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps the text of a revision, so that its tasks can be run after a restart
    /// with other rules. Storing a revision again changes nothing.
    async fn keep_revision(&self, id: RevisionId, text: String) -> Result<(), Unavailable>;

    /// The text of a kept revision.
    async fn revision(&self, id: RevisionId) -> Result<Option<String>, Unavailable>;

    /// Stores an event with its plan and its tasks in one transaction, or recognises
    /// it as stored before and changes nothing.
    ///
    /// `start` names the new tasks for which the caller holds permits: those that need
    /// not wait for a turn or for order are stored as running, their first try spent,
    /// and come back as claims. All others are stored as ready, doomed ones as dead, with a
    /// task that tells of it where their rule asks for one.
    async fn record(&self, arrival: Arrival, start: Vec<TaskId>) -> Result<Recorded, Unavailable>;

    /// Takes up to `free` due tasks of each named lane, spending one try of each.
    /// A task whose turn is taken is set to wait for it instead. The cost does not
    /// grow with the backlog or with finished history.
    async fn claim(&self, room: Vec<LaneRoom>, now: Timestamp) -> Result<Claimed, Unavailable>;

    /// What the manifest of the claimed task's present step says in short; `None` while
    /// none is in force.
    async fn outline(&self, claim: &Claim) -> Result<Option<Outline>, Unavailable>;

    /// The moves of that manifest with these numbers, in their order.
    async fn moves(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable>;

    /// The moves with these numbers of a manifest in the making.
    async fn drafts(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable>;

    /// The newest completed move from each of these places that any step of any task of
    /// the same recording made.
    async fn earlier_moves(
        &self,
        claim: &Claim,
        from: Vec<Place>,
    ) -> Result<Vec<Earlier>, Unavailable>;

    /// The newest completed moves from each of these places that any task of any recording
    /// made, newest first.
    async fn made_from(&self, claim: &Claim, from: Vec<Place>) -> Result<Vec<MadeBy>, Unavailable>;

    /// Writes to the journal of the claimed task's present step. A page of a manifest holds
    /// every key that its moves read or write, until the step is settled or undone; where one
    /// is taken, nothing of the manifest is left.
    async fn journal(
        &self,
        claim: &Claim,
        entry: JournalEntry,
        now: Present,
    ) -> Result<(), JournalError>;

    /// The first of these keys that the claimed task may not write to now, if one is.
    async fn taken(
        &self,
        claim: &Claim,
        targets: Vec<Place>,
        now: Present,
    ) -> Result<Option<Taken>, Unavailable>;

    /// Until when a copy that the claimed task's moves have asked for may still arrive; `None`
    /// when none can any more.
    async fn late_until(
        &self,
        claim: &Claim,
        now: Present,
    ) -> Result<Option<Timestamp>, Unavailable>;

    /// Ends the claim with a transition. [`Transition::Advance`] with [`Hold::Keep`]
    /// goes on with the next step under a new claim, one try of it spent, unless that
    /// step has to wait for its turn. Whoever waited for the turn or the order that
    /// this gives up is released.
    async fn apply(
        &self,
        claim: Claim,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Applied, ApplyError>;

    /// Says which lanes there are. Tasks of all others wait, spend no tries and are shown
    /// with that reason, until a later call names their lane. Answers those of these lanes
    /// that tasks wait in. The cost does not grow with the backlog.
    async fn mark_unknown_lanes(&self, known: Vec<Lane>) -> Result<Vec<Lane>, Unavailable>;

    /// What tasks wait for outside them, each thing once. The cost grows with the number of
    /// things, not with that of tasks.
    async fn waits(&self) -> Result<Vec<Outside>, Unavailable>;

    /// Lets tasks go on that wait for this, a bounded number a call, those that have waited
    /// longest first; whether there may be more. They are due since they began to wait.
    async fn release(&self, on: Outside, now: Timestamp) -> Result<bool, Unavailable>;

    /// How lanes stand that are paused or whose breaker is open, or were so once.
    async fn lane_states(&self) -> Result<Vec<(Lane, LaneState)>, Unavailable>;

    /// Keeps a change of how a lane stands. A pause that is there already stays.
    async fn change_lane(&self, lane: Lane, change: LaneChange) -> Result<(), Unavailable>;

    /// The clock may have been set. Whatever is due further ahead than it was told to wait waits
    /// from `now` on; how many tasks that are. Those that are due as they were told to be stay
    /// as they are, so the call can be repeated. Requests of earlier processes count as sent at
    /// the first call.
    async fn correct_due(&self, now: Present) -> Result<usize, Unavailable>;

    /// The pauses that [`Store::lane_states`] told of hold from now on: whoever made one may be
    /// waiting for that.
    async fn heard_pauses(&self, paused: Vec<(Lane, Pause)>) -> Result<(), Unavailable>;

    /// Which of these running tasks a person asked to cancel.
    async fn cancel_requests(&self, running: Vec<TaskId>) -> Result<Vec<TaskId>, Unavailable>;

    /// Waits until another process, such as the command line, has written.
    async fn changed(&self);

    /// Removes what has outlived `keep` by a time that has come for certain, at most a bounded
    /// number of rows a call, however many an event has. Dead tasks stay. No event is looked at
    /// again for as long as nothing of it can be removed.
    async fn prune(&self, keep: Retention, now: Present) -> Result<Pruned, Unavailable>;

    /// The queue's figures, for metrics.
    async fn figures(&self, now: Timestamp) -> Result<Figures, Unavailable>;

    /// Whether the store can be trusted with a callback now: writes as much as one needs, and
    /// fails with the reason why it cannot. What failed before counts until a write has
    /// succeeded, damage to the file until the next start.
    async fn ready(&self) -> Result<(), Unavailable>;

    /// Waits until the store can never write again before the next start, and says why.
    async fn ended(&self) -> Unavailable;
}

/// An event with what the rules in force make of it.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub event: Arc<Event>,
    pub plan: Plan,
}

/// What became of an arrival.
#[derive(Debug)]
pub enum Recorded {
    /// Stored now; tasks among `start` that run from here on.
    New { claims: Vec<Claim> },
    /// Stored before, as this event.
    Duplicate { of: EventId },
}

/// A lane and how many tasks more it can run.
#[derive(Debug, Clone)]
pub struct LaneRoom {
    pub lane: Lane,
    pub free: usize,
    /// Which of the due ones come first.
    pub whom: Whom,
}

impl LaneRoom {
    /// Room for so many tasks of the lane, those that are due longest first.
    pub fn new(lane: Lane, free: usize) -> Self {
        Self {
            lane,
            free,
            whom: Whom::DueLongest,
        }
    }
}

/// What a claim call found.
#[derive(Debug)]
pub struct Claimed {
    pub claims: Vec<Claim>,
    /// When the next task of the lanes asked about is due; `None` when none waits for
    /// a time. At or before `now` when there was more than there was room for.
    pub next_due: Option<Timestamp>,
}

/// A worker's exclusive hold on a running task.
///
/// Only a store builds one, and it moves into [`Store::apply`]: a claim is settled once.
#[derive(Debug)]
#[must_use = "a claim holds its task; apply a settlement to it"]
pub struct Claim {
    /// The store's own key of the task.
    key: i64,
    task: Task,
    attempt: Attempt,
    event: Arc<Event>,
    located: Option<Located>,
    cancel: bool,
    given_up: Option<Failure>,
    /// The newest event that was stored when the claim began.
    known: i64,
    /// How many keys moves had ended with when it began.
    settled: u64,
}

impl Claim {
    /// The task as it stood when it was claimed.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The fence that every write under this claim carries.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The event that caused the task.
    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Where the recording is, and who moved it there; `None` when the event names no
    /// object. What only an earlier event's task moved is back at the place its event
    /// names. Nobody else moves it while the claim holds its turn.
    pub fn located(&self) -> Option<&Located> {
        self.located.as_ref()
    }

    /// Why the step was given up: all that is left to do is to remove what it left behind.
    pub fn given_up(&self) -> Option<&Failure> {
        self.given_up.as_ref()
    }

    /// Whether a person asked to cancel the task before it was claimed.
    pub fn cancel_requested(&self) -> bool {
        self.cancel
    }
}

/// Where a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    pub place: Place,
    /// The rule that moved it there; `None` while it is where its event says.
    pub moved_by: Option<MovedBy>,
}

/// A write to the journal of a rename.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalEntry {
    /// A page of a manifest in the making, of which nothing is begun: its moves are copied
    /// where the object is present, else planned. Until all is in force, it is nobody's
    /// manifest. The page with the move 0 replaces what was there: a draft that was left, or
    /// a manifest that was undone.
    Draft(Vec<Move>),
    /// The last page of the manifest, or the only one: puts the drafted pages in force with
    /// it, before anything is copied. Replaces what was there as a draft does.
    Manifest(Vec<Move>),
    /// Rows that changed, by number.
    Progress(Vec<Move>),
    /// The commit point: from now on the recording is at this place.
    Commit(Place),
    /// No other playlist names the sources of these moves any more. Those that no other task
    /// reads are no longer shared: they go with this move.
    Last(Vec<Move>),
    /// A run takes the manifest up. Where the one before did not write `Ended`, its requests
    /// may still arrive for as long as `lingers`, and all keys of the step stay taken meanwhile.
    Begun { lingers: Duration },
    /// A run has ended without completing the step. Of its requests only those that change
    /// `late` may still arrive, for as long as `lingers`.
    Ended { late: Vec<Place>, lingers: Duration },
}

/// How a claim ends.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub transition: Transition,
    /// The attempt to log; `None` when nothing was tried.
    pub attempt: Option<AttemptRecord>,
    /// The task's outputs from now on.
    pub outputs: Outputs,
    /// What the task has left behind and where, for a person; `None` when nothing.
    pub leaves: Option<String>,
    /// Where [`Transition::Advance`] leads, or the step that tells of the death that is
    /// [`Transition::Bury`]: of a task of its own, which the same call stores.
    pub next: Option<NextStep>,
}

/// The step a task goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    pub step: StepNo,
    pub lane: Lane,
    pub turn: Turn,
    pub hold: Hold,
}

/// Whether the worker has room to go on with the next step itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Keep,
    Leave,
}

/// What became of an applied claim.
#[derive(Debug)]
pub enum Applied {
    /// The task is no longer the caller's.
    Settled,
    /// The caller runs the next step.
    Continues(Box<Claim>),
}

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bodies and attempts of finished tasks.
    pub history: Duration,
    /// Ids and places, so that a late duplicate still changes nothing.
    pub dedup_horizon: Duration,
}

/// What a prune call removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events that it looked at, be it for nothing.
    pub looked: usize,
    pub bodies: usize,
    pub tasks: usize,
    pub events: usize,
    /// Whether there was more than one call may remove.
    pub more: bool,
    /// Whether it stopped at an event that came later than the clock says, which is behind the
    /// time that has come for certain.
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
    /// How long the longest-due task has been due.
    pub oldest_due: Option<Duration>,
    /// Tasks, in whatever state, that have left something behind in buckets.
    pub leaving: u64,
    /// How long the task has waited that waits longest for something outside it.
    pub oldest_waiting: Option<Duration>,
}

/// The store cannot answer now: the disk is full or fails, or the service stops.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store {path}: {reason}")]
pub struct Unavailable {
    pub path: PathBuf,
    pub reason: String,
    /// Whether its file is damaged: no later call is answered either.
    pub is_malformed: bool,
}

impl Unavailable {
    /// The store at `path` cannot answer for this reason, for now.
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
    /// A key of the manifest is taken.
    #[error("{} is taken", .0.key)]
    Taken(Box<Taken>),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A settlement was not written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A newer claim of the task exists, or it was settled: drop it.
    #[error("task {0} belongs to a newer claim")]
    Lost(TaskId),
    /// Nothing was written; the claim comes back to be applied again.
    #[error("{cause}")]
    Unavailable {
        claim: Box<Claim>,
        cause: Unavailable,
    },
}
