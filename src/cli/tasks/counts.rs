//! Text of a bulk change's result, or of its dry run.

use std::fmt::Write;

use super::change::verb;
use super::row::rows_text;
use crate::cli::bulk::{counted, refusals_text};
use crate::cli::out::Answer;
use crate::cli::table::Table;
use crate::operate::tasks::counts::TaskCounts;

impl Answer for TaskCounts {
    fn text(&self, width: Option<usize>) -> String {
        let mut text = heading(self);
        text.push_str(&refusals_text(&self.refused));
        if self.changed == 0 {
            return text;
        }
        let mut table = Table::new(&["TASKS", "RULE", "FAILURE"]);
        for ((rule, failure), tasks) in &self.groups {
            let failure = failure.unwrap_or_default().to_owned();
            table.row([tasks.to_string(), rule.clone(), failure]);
        }
        let _ = write!(text, "\n{}", table.text(width));
        if !self.sample.is_empty() {
            let sample = rows_text(&self.sample, width);
            let _ = write!(text, "\nthe first of them\n{sample}");
        }
        text
    }
}

fn heading(counts: &TaskCounts) -> String {
    let count = counted(counts.changed, "task");
    match (counts.matched, counts.dry_run) {
        (0, _) => "no task matches\n".to_owned(),
        (_, true) => format!("would {} {count}; nothing is changed\n", verb(counts.act)),
        (_, false) => format!("{} {count}\n", counts.act.name()),
    }
}
