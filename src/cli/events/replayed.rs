//! What a replay did, or would do: counts, reasons and a sample.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Serialize, Serializer};

use crate::cli::bulk::{Refusals, SAMPLE, counted};
use crate::cli::exit::Exit;
use crate::cli::out::Answer;
use crate::cli::table::Table;
use crate::model::id::{EventId, TaskId};
use crate::model::time::Timestamp;
use crate::store::operator::{ReplayOutcome, Replayed};

/// Events that were planned again, or would be.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    dry_run: bool,
    events: usize,
    /// Tasks that were made, or would be.
    tasks: usize,
    /// The tasks by rule.
    #[serde(serialize_with = "groups")]
    groups: BTreeMap<String, Group>,
    /// Events that have every task that the rules give them.
    complete: usize,
    /// Events that no rule matches.
    unmatched: usize,
    /// Tasks that were not made again because an earlier one is not settled.
    unfinished: usize,
    refused: Refusals<EventId>,
    /// The first tasks that a dry run would make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sample: Vec<Sample>,
    #[serde(skip)]
    last: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Group {
    tasks: usize,
    /// Those of them that are dead from the beginning.
    dead: usize,
}

#[derive(Debug, Serialize)]
struct Sample {
    id: TaskId,
    event_id: EventId,
    rule: String,
}

#[derive(Serialize)]
struct GroupLine<'a> {
    rule: &'a str,
    tasks: usize,
    dead: usize,
}

fn groups<S: Serializer>(
    groups: &BTreeMap<String, Group>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().map(|(rule, group)| GroupLine {
        rule,
        tasks: group.tasks,
        dead: group.dead,
    }))
}

impl Tally {
    pub(super) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
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
            group.dead += usize::from(task.doomed.is_some());
            if self.dry_run && self.sample.len() < SAMPLE {
                self.sample.push(Sample {
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

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks
    }

    /// When the last event was received that was reached by a filter.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    pub(super) fn exit(&self) -> Exit {
        self.refused.exit()
    }

    fn heading(&self) -> String {
        let (events, tasks) = (counted(self.events, "event"), counted(self.tasks, "task"));
        match (self.events, self.dry_run) {
            (0, _) => "no event matches\n".to_owned(),
            (_, true) => format!("would make {tasks} of {events}; nothing is changed\n"),
            (_, false) => format!("made {tasks} of {events}\n"),
        }
    }
}

impl Answer for Tally {
    fn text(&self, width: Option<usize>) -> String {
        let mut text = self.heading();
        for (count, thing, told) in [
            (self.complete, "event", "nothing missing"),
            (self.unmatched, "event", "no rule that matches"),
            (
                self.unfinished,
                "task",
                "not made, as an earlier one of the rule still waits or runs",
            ),
        ] {
            if count > 0 {
                let _ = writeln!(text, "{}: {told}", counted(count, thing));
            }
        }
        text.push_str(&self.refused.text());
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
