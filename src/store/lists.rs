//! What a person sees of the queue: rows of lists, and all that is known of one task or event.

use std::sync::Arc;

use serde::Serialize;

use crate::model::attempt::AttemptRecord;
use crate::model::breaker::LaneState;
use crate::model::event::Event;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Intervention;
use crate::model::moves::Move;
use crate::model::recording::Place;
use crate::model::task::{Lane, Outputs, StepNo};
use crate::model::time::Timestamp;

/// Which tasks are meant: by a list as by a bulk act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// In one of these states, of [`TaskState::NAMES`](crate::model::task::TaskState::NAMES); in any
    /// when there is none.
    pub states: Vec<String>,
    pub rule: Option<String>,
    pub room: Option<String>,
    /// Of events that arrived at this time or later.
    pub since: Option<Timestamp>,
    /// Of events that arrived before this time.
    pub until: Option<Timestamp>,
    /// What the last failure was.
    pub failure: Option<FailureKind>,
    /// The destination that the next step needs.
    pub destination: Option<String>,
    /// Only those that have left something behind in buckets.
    pub leaves: bool,
}

/// Which events are meant: by a list as by a bulk act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub room: Option<String>,
    /// Those that arrived at this time or later.
    pub since: Option<Timestamp>,
    /// Those that arrived before this time.
    pub until: Option<Timestamp>,
}

impl TaskFilter {
    /// Whether nothing but the states narrows the choice.
    pub fn is_everything(&self) -> bool {
        let states = self.states.clone();
        *self
            == Self {
                states,
                ..Self::default()
            }
    }
}

impl EventFilter {
    /// Whether nothing narrows the choice.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a task or an event is in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(super) i64);

/// A part of a list, which goes from the newest to older ones.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Maximum number of rows.
    pub limit: usize,
    /// Only what is older than this.
    pub before: Option<Cursor>,
}

impl Page {
    /// The newest rows.
    pub const fn newest(limit: usize) -> Self {
        Self {
            limit,
            before: None,
        }
    }
}

/// A walk through all that a filter means, the oldest first. It ends with what was there when
/// it began.
#[derive(Debug, Clone)]
pub struct Walk<Filter> {
    pub(super) filter: Filter,
    /// The last that was met.
    pub(super) after: Cursor,
    pub(super) last: Cursor,
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    pub id: TaskId,
    pub event: EventId,
    pub rule: String,
    pub room: Option<String>,
    pub state: &'static str,
    pub step: StepNo,
    pub tries: u32,
    /// When it is due; `None` unless it is ready, and while it waits for its turn or for
    /// something outside it.
    pub due: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// Why it waits, for a reason outside the task: for another task, if need be.
    pub note: Option<String>,
    /// What it has left behind in buckets, and where. A task that is given up ends once it
    /// could remove that.
    pub leaves: Option<String>,
}

/// Everything about a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    pub row: TaskRow,
    pub lane: String,
    pub outputs: Outputs,
    pub attempts: Vec<AttemptRecord>,
    pub moves: Vec<Move>,
    /// What people did to it, the oldest first.
    pub interventions: Vec<Intervention>,
    /// Where the recording was moved; `None` while it is where its event says.
    pub place: Option<Place>,
    /// The task whose recording has replaced it there.
    pub replaced_by: Option<TaskId>,
}

/// An event in a list, and in a document: keys may be added to it, never renamed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    pub id: EventId,
    pub received: Timestamp,
    pub event_type: String,
    pub room: Option<String>,
}

/// Everything about an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDetail {
    pub row: EventRow,
    /// `None` once retention removed its body.
    pub event: Option<Arc<Event>>,
    /// The text of the rules that it was planned under when it arrived, `${…}` unexpanded.
    pub rules: Option<String>,
    pub tasks: Vec<TaskRow>,
    /// What people did to its tasks.
    pub interventions: Vec<(TaskId, Intervention)>,
}

/// A lane in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    pub lane: Lane,
    pub state: LaneState,
    /// Tasks that wait for it, or for a time; not those that wait for a turn, or for something
    /// else outside them.
    pub waiting: u64,
}
