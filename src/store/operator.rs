//! What a person can ask of the queue and do to it, next to a running service.
//!
//! Calls block, and wait for no worker. A bulk act makes one call for every few tasks: no lock is
//! held between two calls.

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

/// Maximum number of rows per call of a walk.
pub const CHUNK: usize = 500;

/// Number of tasks or events that one call should change at most, because the service's commits
/// wait for it.
pub const STEP: usize = 40;

/// The half of a store for people.
///
/// An act returns one outcome for each id, in their order. It is one transaction. With
/// [`Mode::DryRun`] it returns the same and changes nothing.
pub trait Operator: Send {
    /// Tasks, newest first.
    fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Vec<TaskRow>, Unavailable>;

    /// The cursor behind this task; `None` when it is not in the store.
    fn task_cursor(&self, id: TaskId) -> Result<Option<Cursor>, Unavailable>;

    /// One task with its history.
    fn task(&self, id: TaskId) -> Result<Option<TaskDetail>, Unavailable>;

    /// Events, newest first.
    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<EventRow>, Unavailable>;

    /// The cursor behind this event; `None` when it is not in the store.
    fn event_cursor(&self, id: EventId) -> Result<Option<Cursor>, Unavailable>;

    /// One event with its tasks and the rules it was planned under.
    fn event(&self, id: EventId) -> Result<Option<EventDetail>, Unavailable>;

    fn walk_tasks(&self, filter: TaskFilter) -> Result<Walk<TaskFilter>, Unavailable>;

    /// The next tasks, at most [`CHUNK`]; empty at the end.
    fn next_tasks(&self, walk: &mut Walk<TaskFilter>) -> Result<Vec<TaskRow>, Unavailable>;

    fn walk_events(&self, filter: EventFilter) -> Result<Walk<EventFilter>, Unavailable>;

    /// The next events, at most [`CHUNK`]; empty at the end.
    fn next_events(&self, walk: &mut Walk<EventFilter>) -> Result<Vec<EventRow>, Unavailable>;

    /// Makes dead or cancelled tasks ready at the step where they stopped, on their own rules or
    /// `under` others. Tasks that wait for a time become due.
    fn retry(
        &mut self,
        ids: &[TaskId],
        under: Option<&Under<'_>>,
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<RetryOutcome>, Unavailable>;

    /// Ends tasks: at once, or through the service where a move is half done.
    fn cancel(
        &mut self,
        ids: &[TaskId],
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<CancelOutcome>, Unavailable>;

    fn replay(
        &mut self,
        events: &[EventId],
        replay: &Replay<'_>,
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<ReplayOutcome>, Unavailable>;

    /// Stores an event as the service would, with the text of the rules that planned it.
    fn record(&mut self, arrival: &Arrival, rules: &str) -> Result<Recorded, Unavailable>;

    /// All lanes of the rules file that was last served, and all others in which tasks wait or that
    /// are paused or open, sorted by name.
    fn lanes(&self) -> Result<Vec<LaneRow>, Unavailable>;

    /// Pauses the lane until it is resumed.
    fn pause(&mut self, lane: &Lane, why: &str, now: Timestamp)
    -> Result<LaneOutcome, Unavailable>;

    /// Whether the service has heard of the lane's pause, or there is none.
    fn holds(&self, lane: &Lane) -> Result<bool, Unavailable>;

    /// Ends the lane's pause and closes its breaker.
    fn resume(&mut self, lane: &Lane) -> Result<LaneOutcome, Unavailable>;
}

pub struct Under<'a> {
    pub revision: RevisionId,
    pub text: &'a str,
    /// Where the task continues under them, or why it cannot.
    pub restart: &'a dyn Fn(&StoppedTask) -> Result<Restart, String>,
}

/// A stopped task, with what its restart depends on.
#[derive(Debug, Clone)]
pub struct StoppedTask {
    pub task: Task,
    pub event: Arc<Event>,
    pub place: Option<Place>,
    /// The text of the rules that planned it.
    pub rules: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOutcome {
    /// Ready again, with new tries and a new time limit.
    Requeued,
    /// It waited for a time and is due now; tries and time limit stay.
    DueNow,
    /// The service is ending it; it cannot be retried before it has ended.
    Ending(Ending),
    /// Nothing to retry: it is in this state, and if ready, already due or behind another task.
    InState(&'static str),
    /// Retention has removed the callback's body, on which the task works.
    Forgotten,
    /// It cannot continue under the other rules, for this reason.
    Refused(String),
    Unknown,
}

/// How a task with a begun move will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Its final state.
    pub state: &'static str,
    /// Whether its move is past the commit point, or has replaced an object, and will be completed if
    /// that is possible. Else it is undone.
    pub goes_forward: bool,
    /// Whether it waited for a time and is due now.
    pub due_now: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    Cancelled,
    /// It runs or has a half-done move: the service will end it safely.
    Requested,
    /// It is already done or cancelled.
    InState(&'static str),
    Unknown,
}

pub struct Replay<'a> {
    pub scope: Scope,
    /// Plans an event as this generation under the current rules.
    pub plan: &'a dyn Fn(&Event, u32) -> Plan,
    pub rules: &'a str,
}

/// Which tasks a replay makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Tasks of rules that have none yet.
    Missing,
    /// A new generation for all matching rules, except those with an unfinished task: it would do
    /// the same work twice.
    All,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ReplayOutcome {
    Planned(Replayed),
    /// This task is settled and has a half-done move: retry or cancel it first.
    HalfMoved(TaskId),
    Forgotten,
    /// The event has as many tasks as it can have.
    Full,
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    pub tasks: Vec<PlannedTask>,
    pub matches: usize,
    /// Of these, rules without a new task under [`Scope::All`], because an earlier one is
    /// unfinished.
    pub unfinished: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOutcome {
    Changed,
    Unchanged,
    /// No rules file in force and no task names it.
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
