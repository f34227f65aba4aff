//! All that is known of one event: its fields, its tasks, and why no other rule matched.

use std::fmt::Write;

use serde::{Serialize, Serializer};

use super::EventLine;
use crate::cli::fields::FieldList;
use crate::cli::out::Answer;
use crate::cli::table::one_line;
use crate::cli::tasks::{TaskLine, intervention_text, rows_text};
use crate::model::id::TaskId;
use crate::model::intervention::Intervention;
use crate::model::plan::Skipped;
use crate::store::lists::{EventDetail, TaskRow};

#[derive(Debug, Serialize)]
pub(super) struct Story<'a> {
    #[serde(flatten)]
    event: EventLine<'a>,
    /// `null` once retention removed the body.
    fields: Option<FieldList>,
    /// The body as it came.
    body: Option<String>,
    #[serde(serialize_with = "task_lines")]
    tasks: &'a [TaskRow],
    /// Rules that did not match.
    skipped: &'a [Skipped],
    /// What people did to its tasks.
    interventions: Vec<ByHand<'a>>,
}

#[derive(Debug, Serialize)]
struct ByHand<'a> {
    task: TaskId,
    #[serde(flatten)]
    intervention: &'a Intervention,
}

fn task_lines<S: Serializer>(tasks: &[TaskRow], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tasks.iter().map(TaskLine::of))
}

impl<'a> Story<'a> {
    pub(super) fn of(detail: &'a EventDetail) -> Self {
        let row = &detail.row;
        let event = detail.event.as_deref();
        Self {
            event: EventLine::of(row),
            fields: event.map(|event| FieldList(event.fields.clone())),
            body: event.map(|event| String::from_utf8_lossy(&event.body).into_owned()),
            tasks: &detail.tasks,
            skipped: &detail.skipped,
            interventions: detail.interventions.iter().map(by_hand).collect(),
        }
    }
}

fn by_hand((task, intervention): &(TaskId, Intervention)) -> ByHand<'_> {
    ByHand {
        task: *task,
        intervention,
    }
}

impl Answer for Story<'_> {
    fn text(&self, width: Option<usize>) -> String {
        let EventLine {
            id,
            received,
            event_type,
            ..
        } = &self.event;
        let event_type = one_line(event_type);
        let mut text = format!("{id}  {event_type}, received {received}\n");
        match &self.fields {
            Some(fields) => text.push_str(&fields.text()),
            None => text.push_str("  its body has outlived --retention and is removed\n"),
        }
        if !self.tasks.is_empty() {
            text.push('\n');
            text.push_str(&rows_text(self.tasks, width));
        }
        if !self.skipped.is_empty() {
            text.push_str("\nrules that did not match\n");
        }
        for Skipped { rule, reason } in self.skipped {
            let _ = writeln!(text, "  {}", one_line(&format!("{rule}: {reason}")));
        }
        if !self.interventions.is_empty() {
            text.push_str("\nby hand\n");
        }
        for ByHand { task, intervention } in &self.interventions {
            let line = intervention_text(intervention);
            let _ = writeln!(text, "  {task}  {}", one_line(&line));
        }
        text
    }
}
