//! Text of a replay's result, or of its dry run.

use std::fmt::Write;

use crate::cli::bulk::{counted, refusals_text};
use crate::cli::out::Answer;
use crate::cli::table::Table;
use crate::operate::events::replay_counts::ReplayCounts;

impl Answer for ReplayCounts {
    fn text(&self, width: Option<usize>) -> String {
        let mut text = heading(self);
        for (count, thing, why) in [
            (self.complete, "event", "nothing missing"),
            (self.unmatched, "event", "no rule that matches"),
            (
                self.unfinished,
                "task",
                "not made, as an earlier one of the rule still waits or runs",
            ),
        ] {
            if count > 0 {
                let _ = writeln!(text, "{}: {why}", counted(count, thing));
            }
        }
        text.push_str(&refusals_text(&self.refused));
        if self.tasks == 0 {
            return text;
        }
        let mut table = Table::new(&["TASKS", "DEAD", "RULE"]);
        for (rule, group) in &self.groups {
            table.row([
                group.tasks.to_string(),
                group.dead.to_string(),
                rule.clone(),
            ]);
        }
        let _ = write!(text, "\n{}", table.text(width));
        if !self.sample.is_empty() {
            let mut table = Table::new(&["TASK", "EVENT", "RULE"]);
            for one in &self.sample {
                table.row([
                    one.id.to_string(),
                    one.event_id.to_string(),
                    one.rule.clone(),
                ]);
            }
            let _ = write!(text, "\nthe first of them\n{}", table.text(width));
        }
        text
    }
}

fn heading(counts: &ReplayCounts) -> String {
    let (events, tasks) = (
        counted(counts.events, "event"),
        counted(counts.tasks, "task"),
    );
    match (counts.events, counts.dry_run) {
        (0, _) => "no event matches\n".to_owned(),
        (_, true) => format!("would make {tasks} of {events}; nothing is changed\n"),
        (_, false) => format!("made {tasks} of {events}\n"),
    }
}
