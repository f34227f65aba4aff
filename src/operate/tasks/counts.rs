//! Result of a bulk change or its dry run: counts, reasons and a sample.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::TaskLine;
use super::change::Change;
use crate::model::failure::FailureKind;
use crate::model::id::TaskId;
use crate::model::intervention::{Act, Mode};
use crate::operate::bulk::{Refusals, SAMPLE};
use crate::store::lists::TaskRow;

pub type TaskGroups = BTreeMap<(String, Option<&'static str>), usize>;

#[derive(Debug, Serialize)]
pub struct TaskCounts {
    pub dry_run: bool,
    #[serde(skip)]
    pub act: Act,
    pub matched: usize,
    pub changed: usize,
    #[serde(serialize_with = "groups")]
    pub groups: TaskGroups,
    pub refused: Refusals<TaskId>,
    /// The first tasks that a dry run would change, in their present state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<TaskLine>,
    /// The last task that the walk has reached.
    #[serde(skip)]
    pub last: Option<TaskId>,
}

#[derive(Serialize)]
struct Group<'a> {
    rule: &'a str,
    failure: Option<&'static str>,
    tasks: usize,
}

fn groups<S: Serializer>(groups: &TaskGroups, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().map(|((rule, failure), tasks)| Group {
        rule,
        failure: *failure,
        tasks: *tasks,
    }))
}

impl TaskCounts {
    pub(super) fn new(act: Act, mode: Mode<'_>) -> Self {
        Self {
            dry_run: matches!(mode, Mode::DryRun),
            act,
            matched: 0,
            changed: 0,
            groups: BTreeMap::new(),
            refused: Refusals::default(),
            sample: Vec::new(),
            last: None,
        }
    }

    /// Counts the task, as it was before the change.
    pub(super) fn add(&mut self, row: Option<&TaskRow>, change: &Change) {
        self.matched += 1;
        let Some(row) = row.filter(|_| change.changed) else {
            self.refused.add(&change.message, change.id);
            return;
        };
        self.changed += 1;
        let failure = row.failure.as_ref().map(|failure| failure.kind);
        let group = (row.rule.clone(), failure.map(FailureKind::name));
        *self.groups.entry(group).or_default() += 1;
        if self.dry_run && self.sample.len() < SAMPLE {
            self.sample.push(row.clone().into());
        }
    }
}
