//! A task as JSON. Scripts read it: keys may be added, never renamed or removed.

use std::fmt;

use serde::Serialize;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EventId, TaskId};
use crate::model::task::StepNo;
use crate::model::time::Timestamp;
use crate::store::lists::TaskRow;
use crate::store::operator::Ending;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskLine {
    pub id: TaskId,
    pub event_id: EventId,
    pub rule: String,
    pub room: Option<String>,
    pub state: &'static str,
    /// The number of the next step, from 0.
    pub step: StepNo,
    pub tries: u32,
    pub due: Option<Timestamp>,
    /// Why it waits, if the reason is outside the task.
    pub waits: Option<String>,
    pub failure: Option<FailureLine>,
    /// What it left in buckets, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<String>,
    /// How it is to end, where that is decided and something of it is left to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureLine {
    pub kind: FailureKind,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u128>,
}

impl From<TaskRow> for TaskLine {
    fn from(row: TaskRow) -> Self {
        Self {
            id: row.id,
            event_id: row.event,
            rule: row.rule,
            room: row.room,
            state: row.state,
            step: row.step,
            tries: row.tries,
            due: row.due,
            waits: row.waits.map(|reason| reason.to_string()),
            failure: row.failure.map(FailureLine::from),
            ends: row.ending.map(|ending| ends(ending, row.leaves.is_some())),
            leaves: row.leaves,
        }
    }
}

fn ends(ending: Ending, leaves: bool) -> String {
    let state = ending.state;
    if ending.goes_forward {
        format!("can only be completed; then it is {state}")
    } else if leaves {
        format!("is being given up; it is {state} once nothing of its copies is left")
    } else {
        format!("is being given up; then it is {state}")
    }
}

impl From<Failure> for FailureLine {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            reason: failure.reason,
            retry_after_ms: failure.retry_after.map(|wait| wait.as_millis()),
        }
    }
}

impl fmt::Display for FailureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.reason)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn document_has_exactly_the_keys_that_scripts_read() {
        let event = EventId::derive(None, &[b"x"]);
        let row = TaskRow {
            id: TaskId::derive(event, "r", 0),
            event,
            rule: "r".into(),
            room: Some("class-7".into()),
            state: "ready",
            step: 1,
            tries: 2,
            due: Some(Timestamp::from_millis(0)),
            failure: None,
            waits: None,
            leaves: None,
            ending: None,
        };
        assert_eq!(
            serde_json::to_value(TaskLine::from(row.clone())).unwrap(),
            json!({
                "id": row.id, "event_id": event, "rule": "r", "room": "class-7", "state": "ready", "step": 1,
                "tries": 2, "due": "1970-01-01T00:00:00Z", "waits": null, "failure": null,
            })
        );
    }

    #[test]
    fn failure_says_its_wish_in_milliseconds() {
        let failure = Failure {
            retry_after: Some(Duration::from_secs(3)),
            ..Failure::new(FailureKind::Throttled, "429")
        };
        assert_eq!(
            FailureLine::from(failure.clone()).to_string(),
            failure.to_string()
        );
        assert_eq!(
            serde_json::to_value(FailureLine::from(failure)).unwrap(),
            json!({ "kind": "throttled", "reason": "429", "retry_after_ms": 3000 })
        );
    }
}
