//! What a person asks of the queue and does to it, beside the service.
//!
//! [`Operator`] is the other half of a store: [`Store`](super::Store) is the service's. Calls
//! block, and wait for no worker. An act on many is one call for each few: nothing is held
//! between two calls.

use std::fmt;
use std::sync::Arc;

use super::lists::{
    Cursor, EventDetail, EventFilter, EventRow, LaneRow, Page, TaskDetail, TaskFilter, TaskRow,
    Walk,
};
use super::{Arrival, Recorded, Unavailable};
use crate::model::event::Event;
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Mode;
use crate::model::plan::{Plan, PlannedTask};
use crate::model::recording::Place;
use crate::model::restart::Restart;
use crate::model::task::{Lane, RevisionId, Task};
use crate::model::time::Timestamp;

/// Rows that one call of a walk answers at most.
pub const CHUNK: usize = 500;

/// Tasks or events that one call should change at most: the service's own commits wait no
/// longer than that takes.
pub const STEP: usize = 40;

/// The half of a store that people use.
///
/// An act answers one outcome for each id, in their order. It is one transaction. With
/// [`Mode::DryRun`] it answers the same and changes nothing.
pub trait Operator: Send {
    /// Tasks, the newest first.
    fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Vec<TaskRow>, Unavailable>;

    /// Where a list goes on after this task; `None` when it is not in the store.
    fn task_cursor(&self, id: TaskId) -> Result<Option<Cursor>, Unavailable>;

    /// One task with all that happened.
    fn task(&self, id: TaskId) -> Result<Option<TaskDetail>, Unavailable>;

    /// Events, the newest first.
    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<EventRow>, Unavailable>;

    /// Where a list goes on after this event; `None` when it is not in the store.
    fn event_cursor(&self, id: EventId) -> Result<Option<Cursor>, Unavailable>;

    /// One event with its tasks, and why other rules did not match.
    fn event(&self, id: EventId) -> Result<Option<EventDetail>, Unavailable>;

    /// Begins a walk through tasks.
    fn walk_tasks(&self, filter: TaskFilter) -> Result<Walk<TaskFilter>, Unavailable>;

    /// The next tasks, at most [`CHUNK`]; none at the end.
    fn next_tasks(&self, walk: &mut Walk<TaskFilter>) -> Result<Vec<TaskRow>, Unavailable>;

    /// Begins a walk through events.
    fn walk_events(&self, filter: EventFilter) -> Result<Walk<EventFilter>, Unavailable>;

    /// The next events, at most [`CHUNK`]; none at the end.
    fn next_events(&self, walk: &mut Walk<EventFilter>) -> Result<Vec<EventRow>, Unavailable>;

    /// Makes dead or cancelled tasks ready, each at the step where it stopped, on its own rules
    /// or `under` others, and those due that wait for a time.
    fn retry(
        &mut self,
        ids: &[TaskId],
        under: Option<&Under<'_>>,
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<RetryOutcome>, Unavailable>;

    /// Ends tasks, at once or, where something is half done, through the service.
    fn cancel(
        &mut self,
        ids: &[TaskId],
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<CancelOutcome>, Unavailable>;

    /// Plans events again.
    fn replay(
        &mut self,
        events: &[EventId],
        replay: &Replay<'_>,
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<ReplayOutcome>, Unavailable>;

    /// Stores an event as the service would, with the text of the rules that planned it.
    fn record(&mut self, arrival: &Arrival, rules: &str) -> Result<Recorded, Unavailable>;

    /// Every lane of the rules file that was last served, and every other one that tasks wait
    /// in or that does not let everything through, in order of their names.
    fn lanes(&self) -> Result<Vec<LaneRow>, Unavailable>;

    /// Lets nothing of the lane through until it is resumed.
    fn pause(&mut self, lane: &Lane, why: &str, now: Timestamp)
    -> Result<LaneOutcome, Unavailable>;

    /// Whether the lane's pause holds: the service knows it, or there is none.
    fn holds(&self, lane: &Lane) -> Result<bool, Unavailable>;

    /// Ends the lane's pause, and closes its breaker: a person who resumes a lane wants it tried.
    fn resume(&mut self, lane: &Lane) -> Result<LaneOutcome, Unavailable>;
}

/// Rules that tasks are to go on under instead of their own.
pub struct Under<'a> {
    pub revision: RevisionId,
    /// The revision's text.
    pub text: &'a str,
    /// Where a task goes on under them, or why it cannot.
    pub restart: &'a dyn Fn(&StoppedTask) -> Result<Restart, String>,
}

/// A task that stopped, with what its restart depends on.
#[derive(Debug, Clone)]
pub struct StoppedTask {
    pub task: Task,
    pub event: Arc<Event>,
    /// Where its recording is.
    pub place: Option<Place>,
    /// The text of the rules that it was planned under.
    pub rules: Option<String>,
}

/// What came of a retry.
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

/// What came of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    Cancelled,
    /// It runs or has objects half moved: the service brings it to a safe end.
    Requested,
    /// It is done or cancelled already.
    InState(&'static str),
    Unknown,
}

/// How events are planned again.
pub struct Replay<'a> {
    pub scope: Scope,
    /// Plans an event in a generation under the rules of today.
    pub plan: &'a dyn Fn(&Event, u32) -> Plan,
    /// The text of those rules.
    pub rules: &'a str,
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

/// What came of pausing or resuming a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOutcome {
    Changed,
    /// It was so already.
    Unchanged,
    /// Neither a rules file in force nor a task names it.
    Unknown,
}

impl fmt::Debug for Under<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Under")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
