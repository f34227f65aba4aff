//! Table of tasks.

use crate::cli::table::Table;
use crate::operate::tasks::TaskLine;

pub(in crate::cli) fn rows_text(tasks: &[TaskLine], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        "TASK", "RULE", "ROOM", "STATE", "STEP", "TRIES", "DUE", "WHY",
    ]);
    for task in tasks {
        table.row([
            task.id.to_string(),
            task.rule.clone(),
            task.room.clone().unwrap_or_default(),
            task.state.to_owned(),
            task.step.to_string(),
            task.tries.to_string(),
            task.due.map(|due| due.to_string()).unwrap_or_default(),
            why(task),
        ]);
    }
    table.text(width)
}

/// How a task is to end comes first. Why it waits matters more than its last failure. What it left
/// is added unless the text says so already.
fn why(task: &TaskLine) -> String {
    let failure = task.failure.as_ref().map(ToString::to_string);
    let text = task.waits.clone().or(failure);
    let says = |leaves: &&String| text.as_ref().is_some_and(|text| text.contains(*leaves));
    let leaves = task.leaves.as_ref().filter(|leaves| !says(leaves));
    let texts = task.ends.iter().chain(&text).chain(leaves);
    let texts: Vec<&str> = texts.map(String::as_str).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::{Failure, FailureKind};
    use crate::model::id::{EventId, TaskId};

    fn task() -> TaskLine {
        let event = EventId::derive(None, &[b"x"]);
        TaskLine {
            id: TaskId::derive(event, "r", 0),
            event_id: event,
            rule: "r".into(),
            room: None,
            state: "ready",
            step: 1,
            tries: 2,
            due: None,
            waits: None,
            failure: None,
            leaves: None,
            ends: None,
        }
    }

    #[test]
    fn table_says_what_a_task_waits_for_rather_than_what_failed() {
        let mut task = TaskLine {
            failure: Some(Failure::new(FailureKind::Timeout, "slow").into()),
            ..task()
        };
        assert!(rows_text(&[task.clone()], None).ends_with("timeout: slow\n"));
        task.waits = Some("bucket/b is gone".into());
        assert!(rows_text(&[task], None).ends_with("bucket/b is gone\n"));
    }

    #[test]
    fn table_says_first_that_a_task_is_given_up() {
        let task = TaskLine {
            ends: Some("is being given up".into()),
            waits: Some("bucket/b is paused".into()),
            leaves: Some("a copy may be left at b/k".into()),
            ..task()
        };
        let why = " is being given up; bucket/b is paused; a copy may be left at b/k\n";
        assert!(rows_text(&[task], None).ends_with(why));
    }

    #[test]
    fn table_says_once_what_a_task_has_left() {
        let failure = Failure::new(FailureKind::Denied, "no; a copy may be left at b/k; retry");
        let mut task = TaskLine {
            leaves: Some("a copy may be left at b/k".into()),
            failure: Some(failure.clone().into()),
            ..task()
        };
        assert!(rows_text(&[task.clone()], None).ends_with(&format!("{failure}\n")));
        task.failure = None;
        assert!(rows_text(&[task], None).ends_with(" a copy may be left at b/k\n"));
    }
}
