//! Rows of the lists for people, and the details of one task or event.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::operator::Ending;
use crate::model::attempt::AttemptRecord;
use crate::model::breaker::LaneState;
use crate::model::event::Event;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Intervention;
use crate::model::moves::Move;
use crate::model::recording::{Place, Replaced};
use crate::model::task::{Lane, Outputs, StepNo};
use crate::model::time::Timestamp;
use crate::model::work::DeadTask;

/// Selects tasks, for lists and bulk acts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// In one of these [`TaskState::NAMES`](crate::model::task::TaskState::NAMES); empty means any.
    pub states: Vec<String>,
    pub rule: Option<String>,
    pub room: Option<String>,
    /// Event received at this time or later.
    pub since: Option<Timestamp>,
    /// Event received before this time.
    pub until: Option<Timestamp>,
    pub failure: Option<FailureKind>,
    pub destination: Option<String>,
    /// Only tasks that have left something behind in buckets.
    pub leaves: bool,
}

/// Selects events, for lists and bulk acts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub room: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl TaskFilter {
    /// Whether at most the states narrow the choice.
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
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// Position in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub(super) i64);

/// A page of a list, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub limit: usize,
    pub before: Option<Cursor>,
}

impl Page {
    pub const fn newest(limit: usize) -> Self {
        Self {
            limit,
            before: None,
        }
    }
}

/// A walk through all rows that match a filter, oldest first, up to the newest row at its
/// beginning.
#[derive(Debug, Clone)]
pub struct Walk<Filter> {
    pub(super) filter: Filter,
    pub(super) after: Cursor,
    pub(super) last: Cursor,
}

/// What a lane is that the rules file in force lacks, and the ways out.
pub const GONE: &str =
    "not in the rules file: add it there, or cancel its tasks and retry them with --current-rules";

/// Why a task waits, for a reason outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// The rules file in force lacks this lane's bucket or destination.
    UnknownLane(String),
    /// This lane is paused.
    Paused { lane: String, why: String },
    /// This lane's breaker is open.
    OpenBreaker { lane: String, why: String },
    /// It has its turn, or its place in the order, after this task.
    Task { id: TaskId, is_dead: bool },
    /// As its step reported it: a task, which may be dead, uses keys that it needs.
    Keys { note: String, is_dead: bool },
    /// As its step reported it.
    Note(String),
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLane(lane) => write!(f, "{lane} is {GONE}"),
            Self::Paused { lane, why } => write!(f, "{lane} is paused: {why}"),
            Self::OpenBreaker { lane, why } => {
                write!(f, "{lane} failed and is left alone for a while: {why}")
            }
            Self::Task { id, is_dead: true } => {
                write!(f, "waits for {id}, which is dead: retry it or cancel it")
            }
            Self::Task { id, .. } => write!(f, "waits for {id}"),
            Self::Keys {
                note,
                is_dead: true,
            } => {
                write!(f, "{note}, and is dead: retry it or cancel it")
            }
            Self::Keys { note, .. } | Self::Note(note) => f.write_str(note),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    pub id: TaskId,
    pub event: EventId,
    pub rule: String,
    pub room: Option<String>,
    pub state: &'static str,
    pub step: StepNo,
    pub tries: u32,
    /// When it is due; `None` unless it is ready and waits only for a time or its lane.
    pub due: Option<Timestamp>,
    pub failure: Option<Failure>,
    pub waits: Option<WaitReason>,
    /// What it has left behind in buckets, and where. A task that is given up ends once it has
    /// removed that.
    pub leaves: Option<String>,
    /// How it will end, if ending is all it is ready for.
    pub ending: Option<Ending>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TaskDetail {
    pub row: TaskRow,
    pub lane: String,
    pub outputs: Outputs,
    /// The death that it reports, if it is a notice.
    pub death: Option<DeadTask>,
    pub attempts: Vec<AttemptRecord>,
    pub moves: Vec<Move>,
    /// Oldest first.
    pub interventions: Vec<Intervention>,
    /// Where the recording was moved; `None` if it was not.
    pub place: Option<Place>,
    /// Whether another recording has overwritten it there.
    pub replaced: Option<Replaced>,
}

/// An event in a list, also as JSON: keys may be added, never renamed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    pub id: EventId,
    pub received: Timestamp,
    pub event_type: String,
    pub room: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct EventDetail {
    pub row: EventRow,
    /// `None` once retention has removed its body.
    pub event: Option<Arc<Event>>,
    /// The text of the rules that planned it on arrival, `${…}` unexpanded.
    pub rules: Option<String>,
    pub tasks: Vec<TaskRow>,
    pub interventions: Vec<(TaskId, Intervention)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    pub lane: Lane,
    /// Whether the rules file that was last served has it.
    pub is_served: bool,
    pub state: LaneState,
    /// Tasks that wait for the lane or for a time, not those that wait for a turn or something
    /// else.
    pub waiting: u64,
}

impl LaneRow {
    /// Whether tasks wait for it although the rules file lacks it.
    pub fn is_gone(&self) -> bool {
        !self.is_served && self.waiting > 0
    }
}
