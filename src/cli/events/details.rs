//! Text of `aftertake events show`: everything that is known about one event.

use std::fmt::Write;

use crate::cli::out::Answer;
use crate::cli::table::{fields_text, one_line};
use crate::cli::tasks::{intervention_text, rows_text};
use crate::model::plan::Skipped;
use crate::operate::events::{EventStory, TaskIntervention};
use crate::store::lists::EventRow;

impl Answer for EventStory {
    fn text(&self, width: Option<usize>) -> String {
        let EventRow {
            id,
            received,
            event_type,
            ..
        } = &self.event;
        let event_type = one_line(event_type);
        let mut text = format!("{id}  {event_type}, received {received}\n");
        match &self.fields {
            Some(fields) => text.push_str(&fields_text(fields)),
            None => text.push_str("  its body has outlived --retention and is removed\n"),
        }
        if !self.unusable.is_empty() {
            let names = self.unusable.join(", ");
            let _ = writeln!(text, "  sent with a value that cannot be used: {names}");
        }
        if !self.tasks.is_empty() {
            text.push('\n');
            text.push_str(&rows_text(&self.tasks, width));
        }
        let skipped = self.skipped.as_deref().unwrap_or_default();
        if !skipped.is_empty() || self.skipped_unknown.is_some() {
            text.push_str("\nrules that did not match\n");
        }
        for Skipped { rule, reason } in skipped {
            let _ = writeln!(text, "  {}", one_line(&format!("{rule}: {reason}")));
        }
        if let Some(why) = &self.skipped_unknown {
            let _ = writeln!(text, "  unknown: {}", one_line(why));
        }
        if !self.interventions.is_empty() {
            text.push_str("\nby hand\n");
        }
        for TaskIntervention { task, intervention } in &self.interventions {
            let line = intervention_text(intervention);
            let _ = writeln!(text, "  {task}  {}", one_line(&line));
        }
        text
    }
}
