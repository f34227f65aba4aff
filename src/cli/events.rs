//! `aftertake events …`: what was announced, and what came of it.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{RulesFlag, StoreFlag};
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags};
use super::table::Table;
use super::{load, store, tasks};
use crate::model::id::EventId;
use crate::model::plan::Plan;
use crate::rules::plan::plan;
use crate::store::sqlite::{EventDetail, EventFilter, EventRow};
use crate::store::{Arrival, Recorded};

/// List, show and add events
#[derive(Debug, clap::Subcommand)]
pub(super) enum Events {
    /// List events, the newest first
    #[command(after_help = "Example:\n  aftertake events list --room class-7")]
    List {
        /// Only events of this room
        #[arg(long)]
        room: Option<String>,
        /// Events at the most
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show an event: its body, its tasks, and why other rules did not match
    #[command(after_help = "Example:\n  aftertake events show evt_…")]
    Show {
        id: EventId,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Enter a callback by hand that was lost on its way
    #[command(after_help = "Example:\n  aftertake events add callback.json --rules rules.yaml")]
    Add {
        /// The callback's body as SparkRTC sends it; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        rules: RulesFlag,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
}

impl Events {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List {
                room,
                limit,
                store,
                out,
            } => {
                let rows = store::desk(&store.store)?.events(&EventFilter { room, limit });
                out.print(&Listed(rows.map_err(store::unavailable)?))?;
            }
            Self::Show { id, store, out } => {
                let detail = store::desk(&store.store)?
                    .event(id)
                    .map_err(store::unavailable)?;
                let detail = detail
                    .ok_or_else(|| Stop::say(Exit::Failed, format!("{id} is not in the store")))?;
                out.print(&Shown(detail))?;
            }
            Self::Add {
                file,
                rules,
                store,
                out,
            } => {
                let rules = load::rules(&rules.rules)?.rules;
                let event = Arc::new(load::event(&file)?);
                let arrival = Arrival {
                    plan: plan(&rules, &event, 0),
                    event,
                };
                let recorded = store::desk(&store.store)?.record(&arrival, &rules.text);
                let new = matches!(recorded.map_err(store::unavailable)?, Recorded::New { .. });
                out.print(&Added {
                    id: arrival.event.id,
                    new,
                    plan: arrival.plan,
                })?;
            }
        }
        Ok(Exit::Fine)
    }
}

fn row_json(row: &EventRow) -> Value {
    json!({ "id": row.id, "received": row.received, "event_type": row.event_type, "room": row.room })
}

struct Listed(Vec<EventRow>);

impl Serialize for Listed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(row_json))
    }
}

impl Answer for Listed {
    fn text(&self, width: Option<usize>) -> String {
        let mut table = Table::new(&["EVENT", "RECEIVED", "ROOM", "TYPE"]);
        for row in &self.0 {
            let room = row.room.clone().unwrap_or_default();
            table.row([
                row.id.to_string(),
                row.received.to_string(),
                room,
                row.event_type.clone(),
            ]);
        }
        table.text(width)
    }
}

struct Shown(EventDetail);

impl Shown {
    fn body(&self) -> Option<String> {
        self.0
            .body
            .as_ref()
            .map(|body| String::from_utf8_lossy(body).into_owned())
    }
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tasks: Value = self.0.tasks.iter().map(tasks::row_json).collect();
        json!({ "event": row_json(&self.0.row), "body": self.body(), "tasks": tasks, "skipped": self.0.skipped })
            .serialize(serializer)
    }
}

impl Answer for Shown {
    fn text(&self, width: Option<usize>) -> String {
        let row = &self.0.row;
        let mut text = format!(
            "{}  {}  received {}\n",
            row.id, row.event_type, row.received
        );
        if !self.0.tasks.is_empty() {
            text.push_str(&tasks::rows_text(&self.0.tasks, width));
        }
        for skipped in &self.0.skipped {
            let _ = writeln!(
                text,
                "rule {} did not match: {}",
                skipped.rule, skipped.reason
            );
        }
        let _ = writeln!(
            text,
            "{}",
            self.body()
                .unwrap_or_else(|| "(the body was pruned)".to_owned())
        );
        text
    }
}

struct Added {
    id: EventId,
    new: bool,
    plan: Plan,
}

impl Serialize for Added {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tasks: Value = self
            .plan
            .tasks
            .iter()
            .map(|task| json!({ "id": task.id, "rule": task.rule }))
            .collect();
        json!({ "id": self.id, "new": self.new, "tasks": tasks, "skipped": self.plan.skipped })
            .serialize(serializer)
    }
}

impl Answer for Added {
    fn text(&self, _width: Option<usize>) -> String {
        if !self.new {
            return format!("{} was stored before; nothing changed\n", self.id);
        }
        let mut text = format!("{} is stored\n", self.id);
        for task in &self.plan.tasks {
            let _ = writeln!(text, "rule {} matched: {}", task.rule, task.id);
        }
        for skipped in &self.plan.skipped {
            let _ = writeln!(
                text,
                "rule {} did not match: {}",
                skipped.rule, skipped.reason
            );
        }
        text
    }
}
