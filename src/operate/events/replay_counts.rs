//! Result of a replay or its dry run: counts, reasons and a sample.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Mode;
use crate::model::time::Timestamp;
use crate::operate::bulk::{Refusals, SAMPLE};
use crate::store::operator::{ReplayOutcome, Replayed};

#[derive(Debug, Serialize)]
pub struct ReplayCounts {
    pub dry_run: bool,
    pub events: usize,
    pub tasks: usize,
    #[serde(serialize_with = "groups")]
    pub groups: BTreeMap<String, ReplayGroup>,
    /// Events that already have every task that the rules give them.
    pub complete: usize,
    pub unmatched: usize,
    /// Tasks not repeated because an earlier one is not settled.
    pub unfinished: usize,
    pub refused: Refusals<EventId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<ReplayedTask>,
    /// When the last event that the walk reached was received.
    #[serde(skip)]
    pub last: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub struct ReplayGroup {
    pub tasks: usize,
    /// Number of tasks that are dead at once.
    pub dead: usize,
}

#[derive(Debug, Serialize)]
pub struct ReplayedTask {
    pub id: TaskId,
    pub event_id: EventId,
    pub rule: String,
}

#[derive(Serialize)]
struct GroupLine<'a> {
    rule: &'a str,
    tasks: usize,
    dead: usize,
}

fn groups<S: Serializer>(
    groups: &BTreeMap<String, ReplayGroup>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().map(|(rule, group)| GroupLine {
        rule,
        tasks: group.tasks,
        dead: group.dead,
    }))
}

impl ReplayCounts {
    pub(super) fn new(mode: Mode<'_>) -> Self {
        Self {
            dry_run: matches!(mode, Mode::DryRun),
            events: 0,
            tasks: 0,
            groups: BTreeMap::new(),
            complete: 0,
            unmatched: 0,
            unfinished: 0,
            refused: Refusals::default(),
            sample: Vec::new(),
            last: None,
        }
    }

    pub(super) fn add(
        &mut self,
        event: EventId,
        received: Option<Timestamp>,
        outcome: &ReplayOutcome,
    ) {
        self.events += 1;
        self.last = received;
        let refused = match outcome {
            ReplayOutcome::Planned(replayed) => return self.planned(event, replayed),
            ReplayOutcome::HalfMoved(task) => {
                format!("has objects half moved by {task}: retry or cancel that task first")
            }
            ReplayOutcome::Forgotten => {
                "is too old: --retention has removed its callback's body".to_owned()
            }
            ReplayOutcome::Full => "has as many tasks as an event can have".to_owned(),
            ReplayOutcome::Unknown => {
                "is not in the store; `aftertake events list` shows those that are".to_owned()
            }
        };
        self.refused.add(&refused, event);
    }

    fn planned(&mut self, event: EventId, replayed: &Replayed) {
        self.tasks += replayed.tasks.len();
        for task in &replayed.tasks {
            let group = self.groups.entry(task.rule.clone()).or_default();
            group.tasks += 1;
            group.dead += usize::from(task.dead_on_arrival.is_some());
            if self.dry_run && self.sample.len() < SAMPLE {
                self.sample.push(ReplayedTask {
                    id: task.id,
                    event_id: event,
                    rule: task.rule.clone(),
                });
            }
        }
        if replayed.matches == 0 {
            self.unmatched += 1;
        } else if replayed.tasks.is_empty() && replayed.unfinished == 0 {
            self.complete += 1;
        }
        self.unfinished += replayed.unfinished;
    }
}
