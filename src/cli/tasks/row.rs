//! A task as one line of a table, and as one object of a document.
//!
//! Scripts read the document: keys may be added to it, never renamed or removed.

use serde::Serialize;

use crate::cli::table::Table;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EventId, TaskId};
use crate::model::task::StepNo;
use crate::model::time::Timestamp;
use crate::store::lists::TaskRow;

/// A task in a document.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct TaskLine<'a> {
    id: TaskId,
    event_id: EventId,
    rule: &'a str,
    state: &'static str,
    /// The number of the step that is next, from 0.
    step: StepNo,
    tries: u32,
    due: Option<Timestamp>,
    failure: Option<FailureLine<'a>>,
    /// What it has left behind in buckets, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaves: Option<&'a str>,
}

/// A failure in a document.
#[derive(Debug, Serialize)]
pub(super) struct FailureLine<'a> {
    kind: FailureKind,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
}

impl<'a> TaskLine<'a> {
    pub(in crate::cli) fn of(row: &'a TaskRow) -> Self {
        Self {
            id: row.id,
            event_id: row.event,
            rule: &row.rule,
            state: row.state,
            step: row.step,
            tries: row.tries,
            due: row.due,
            failure: row.failure.as_ref().map(FailureLine::of),
            leaves: row.leaves.as_deref(),
        }
    }
}

impl<'a> FailureLine<'a> {
    pub(super) fn of(failure: &'a Failure) -> Self {
        Self {
            kind: failure.kind,
            reason: &failure.reason,
            retry_after_ms: failure.retry_after.map(|wait| wait.as_millis()),
        }
    }
}

/// Tasks as a table.
pub(in crate::cli) fn rows_text(rows: &[TaskRow], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        "TASK", "RULE", "ROOM", "STATE", "STEP", "TRIES", "DUE", "WHY",
    ]);
    for row in rows {
        table.row([
            row.id.to_string(),
            row.rule.clone(),
            row.room.clone().unwrap_or_default(),
            row.state.to_owned(),
            row.step.to_string(),
            row.tries.to_string(),
            row.due.map(|due| due.to_string()).unwrap_or_default(),
            why(row),
        ]);
    }
    table.text(width)
}

/// What keeps a task waiting says more than what failed before. What a dead task has left its
/// failure says, too.
fn why(row: &TaskRow) -> String {
    let failure = row.failure.as_ref().map(ToString::to_string);
    let text = row.note.clone().or(failure);
    let told = |leaves: &&String| text.as_ref().is_some_and(|text| text.contains(*leaves));
    let leaves = row.leaves.as_ref().filter(|leaves| !told(leaves));
    let texts: Vec<&str> = text.iter().chain(leaves).map(String::as_str).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn row() -> TaskRow {
        let event = EventId::derive(None, &[b"x"]);
        TaskRow {
            id: TaskId::derive(event, "r", 0),
            event,
            rule: "r".into(),
            room: Some("class-7".into()),
            state: "ready",
            step: 1,
            tries: 2,
            due: Some(Timestamp::from_millis(0)),
            failure: None,
            note: None,
            leaves: None,
        }
    }

    #[test]
    fn document_has_exactly_the_keys_that_scripts_read() {
        let row = row();
        assert_eq!(
            serde_json::to_value(TaskLine::of(&row)).unwrap(),
            json!({
                "id": row.id, "event_id": row.event, "rule": "r", "state": "ready", "step": 1, "tries": 2,
                "due": "1970-01-01T00:00:00Z", "failure": null,
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
            serde_json::to_value(FailureLine::of(&failure)).unwrap(),
            json!({ "kind": "throttled", "reason": "429", "retry_after_ms": 3000 })
        );
    }

    #[test]
    fn table_says_what_a_task_waits_for_rather_than_what_failed() {
        let failure = Failure::new(FailureKind::Timeout, "slow");
        let mut row = TaskRow {
            failure: Some(failure),
            ..row()
        };
        assert!(rows_text(&[row.clone()], None).ends_with("timeout: slow\n"));
        row.note = Some("bucket/b is gone".into());
        assert!(rows_text(&[row], None).ends_with("bucket/b is gone\n"));
    }

    #[test]
    fn table_says_once_what_a_task_has_left() {
        let failure = Failure::new(FailureKind::Denied, "no; a copy may be left at b/k; retry");
        let mut row = TaskRow {
            leaves: Some("a copy may be left at b/k".into()),
            failure: Some(failure.clone()),
            ..row()
        };
        assert!(rows_text(&[row.clone()], None).ends_with(&format!("{failure}\n")));
        row.failure = None;
        assert!(rows_text(&[row], None).ends_with(" a copy may be left at b/k\n"));
    }
}
