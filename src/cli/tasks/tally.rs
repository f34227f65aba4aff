//! What a command did to many tasks, or would do: counts, reasons and a sample.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Serialize, Serializer};

use super::change::{Act, Change};
use super::row::{TaskLine, rows_text};
use crate::cli::bulk::{Refusals, SAMPLE, counted};
use crate::cli::exit::Exit;
use crate::cli::out::Answer;
use crate::cli::table::Table;
use crate::model::failure::FailureKind;
use crate::model::id::TaskId;
use crate::model::intervention::Mode;
use crate::store::lists::TaskRow;

/// Tasks that were changed, or would be.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    dry_run: bool,
    #[serde(skip)]
    verb: &'static str,
    #[serde(skip)]
    done: &'static str,
    matched: usize,
    changed: usize,
    /// The changed ones by rule and last failure.
    #[serde(serialize_with = "groups")]
    groups: BTreeMap<(String, Option<&'static str>), usize>,
    refused: Refusals<TaskId>,
    /// The first that a dry run would change, as they are.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "lines")]
    sample: Vec<TaskRow>,
}

#[derive(Serialize)]
struct Group<'a> {
    rule: &'a str,
    failure: Option<&'static str>,
    tasks: usize,
}

fn groups<S: Serializer>(
    groups: &BTreeMap<(String, Option<&'static str>), usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().map(|((rule, failure), tasks)| Group {
        rule,
        failure: *failure,
        tasks: *tasks,
    }))
}

fn lines<S: Serializer>(rows: &[TaskRow], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(TaskLine::of))
}

impl Tally {
    pub(super) fn of(act: &Act, mode: Mode<'_>) -> Self {
        Self {
            dry_run: matches!(mode, Mode::DryRun),
            verb: act.verb(),
            done: act.done(),
            matched: 0,
            changed: 0,
            groups: BTreeMap::new(),
            refused: Refusals::default(),
            sample: Vec::new(),
        }
    }

    /// Counts the task, as it was before the change.
    pub(super) fn add(&mut self, row: Option<&TaskRow>, change: &Change) {
        self.matched += 1;
        let Some(row) = row.filter(|_| change.changed) else {
            self.refused.add(&change.told, change.id);
            return;
        };
        self.changed += 1;
        let failure = row.failure.as_ref().map(|failure| failure.kind);
        let group = (row.rule.clone(), failure.map(FailureKind::name));
        *self.groups.entry(group).or_default() += 1;
        if self.dry_run && self.sample.len() < SAMPLE {
            self.sample.push(row.clone());
        }
    }

    pub(super) fn matched(&self) -> usize {
        self.matched
    }

    pub(super) fn exit(&self) -> Exit {
        self.refused.exit()
    }

    fn heading(&self) -> String {
        let count = counted(self.changed, "task");
        match (self.matched, self.dry_run) {
            (0, _) => "no task matches\n".to_owned(),
            (_, true) => format!("would {} {count}; nothing is changed\n", self.verb),
            (_, false) => format!("{} {count}\n", self.done),
        }
    }
}

impl Answer for Tally {
    fn text(&self, width: Option<usize>) -> String {
        let mut text = self.heading();
        text.push_str(&self.refused.text());
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
