//! A task: one event under one matching rule.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::id::{EventId, TaskId};
use super::recording::RecordingId;
use super::time::Timestamp;
use super::work::Work;

/// Fencing token: grows with every claim of a task. Only the newest may write.
pub type Attempt = i64;

pub type StepNo = u16;

/// What earlier steps produced, by step id: `steps.<id>.<output>` in templates.
pub type Outputs = Map<String, Value>;

/// Identifies a content of the rules file: a digest of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionId(i64);

impl RevisionId {
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        Self(i64::from_be_bytes(bytes))
    }

    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rev_{:016x}", self.0)
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a revision (rev_ and 16 hexadecimal digits)")]
pub struct InvalidRevision(String);

impl FromStr for RevisionId {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        let digits = text
            .strip_prefix("rev_")
            .filter(|digits| digits.len() == 16);
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let number = number.ok_or_else(|| InvalidRevision(text.to_owned()))?;
        Ok(Self(number.cast_signed()))
    }
}

/// What a task's next step needs: a bucket or a destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Lane {
    Bucket(String),
    Destination(String),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a lane (bucket/NAME or destination/NAME)")]
pub struct InvalidLane(String);

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(name) => write!(f, "bucket/{name}"),
            Self::Destination(name) => write!(f, "destination/{name}"),
        }
    }
}

impl FromStr for Lane {
    type Err = InvalidLane;

    fn from_str(text: &str) -> Result<Self, InvalidLane> {
        match text.split_once('/') {
            Some(("bucket", name)) => Ok(Self::Bucket(name.to_owned())),
            Some(("destination", name)) => Ok(Self::Destination(name.to_owned())),
            _ => Err(InvalidLane(text.to_owned())),
        }
    }
}

impl From<Lane> for String {
    fn from(lane: Lane) -> Self {
        lane.to_string()
    }
}

impl TryFrom<String> for Lane {
    type Error = InvalidLane;

    fn try_from(text: String) -> Result<Self, InvalidLane> {
        text.parse()
    }
}

/// What a worker needs to run the task's next step.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: TaskId,
    pub event: EventId,
    pub work: Work,
    /// 0 for the event's first planning, plus one for each full replay.
    pub generation: u32,
    pub revision: RevisionId,
    pub step: StepNo,
    /// Tries spent on that step, including a running one.
    pub tries: u32,
    /// The event's arrival, or the last `tasks retry`: `give_up_after` counts from here.
    pub since: Timestamp,
    pub outputs: Outputs,
    pub lane: Lane,
    /// `None` if the event names no object.
    pub recording: Option<RecordingId>,
}

/// What a task does. It is stored as its place in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Waits to be claimed: for a time, for its turn or order, or for something outside it.
    Ready,
    /// A worker runs it. After a crash it is due at once.
    Running,
    Done,
    Dead,
    Cancelled,
}

impl TaskState {
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
    ];

    pub const NAMES: [&'static str; 5] = ["ready", "running", "done", "dead", "cancelled"];

    /// The name in metrics, JSON and tables.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing happens to the task by itself any more.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Ready | Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_is_read_back_by_its_number() {
        let revision = RevisionId::of("rules");
        assert_eq!(RevisionId::from_number(revision.number()), revision);
    }

    #[test]
    fn state_is_found_by_its_name_and_its_place() {
        for (place, state) in TaskState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place);
            assert_eq!(TaskState::named(state.name()), Some(state));
        }
        assert_eq!(TaskState::Cancelled.name(), "cancelled");
        assert_eq!(TaskState::named("lost"), None);
    }

    #[test]
    fn lane_parses_as_it_prints() {
        for lane in [Lane::Bucket("a/b".into()), Lane::Destination("lms".into())] {
            assert_eq!(lane.to_string().parse(), Ok(lane.clone()));
            assert_eq!(String::from(lane.clone()), lane.to_string());
        }
        assert!("lms".parse::<Lane>().is_err());
    }
}
