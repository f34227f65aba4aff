//! `aftertake tasks …`: what is queued, what happened, and what a person does about it.
//!
//! Reads and writes through a connection of its own, beside the service, which notices
//! within a second.

mod change;
mod row;
mod show;

use serde::{Serialize, Serializer};

use super::args::{Parsed, StoreFlag};
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags, at_most};
use super::store;
use crate::model::id::TaskId;
use crate::model::task::TaskState;
use crate::store::sqlite::{TaskFilter, TaskRow};

pub(super) use self::row::{TaskLine, rows_text};

/// List, show, retry and cancel tasks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tasks {
    /// List tasks, the newest first
    ///
    /// With --json, an array of objects with `id`, `event_id`, `rule`, `state`, `step` (the
    /// number of the step that is next, from 0), `tries` (spent on that step), `due` (null
    /// unless the task waits for a time) and `failure` (the last one's `kind` and `reason`,
    /// or null).
    #[command(after_help = "Examples:\n  aftertake tasks list --state dead\n  \
                      aftertake tasks list --json | jq -r '.[] | select(.state == \"dead\") | .id'")]
    List {
        /// Only tasks in this state
        #[arg(long, value_parser = TaskState::NAMES)]
        state: Option<String>,
        /// Only tasks of this rule
        #[arg(long)]
        rule: Option<String>,
        /// Only tasks of this room
        #[arg(long)]
        room: Option<String>,
        /// Tasks at the most
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: usize,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show everything that happened to a task
    ///
    /// Prints where it stands and why, every attempt with what was sent and what came
    /// back, every object that it moved, and where the recording is now.
    #[command(
        after_help = "Example:\n  aftertake tasks show task_6089239afa854f84ba02b1e9e028c8b7"
    )]
    Show {
        /// The task
        #[arg(value_parser = Parsed::of::<TaskId>())]
        id: TaskId,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Make dead or cancelled tasks ready again, at the step where they stopped
    ///
    /// Their tries and their time count anew. The exit code is 1 when a task is in
    /// another state, or not in the store.
    #[command(
        after_help = "Examples:\n  aftertake tasks retry task_6089239afa854f84ba02b1e9e028c8b7\n  \
                      aftertake tasks list --state dead --json | jq -r '.[].id' | xargs aftertake tasks retry"
    )]
    Retry(#[command(flatten)] Which),
    /// End tasks; one that runs is brought to a safe end by the service
    ///
    /// A dead task that holds back others by `order_blocks` can be ended, too.
    #[command(
        after_help = "Example:\n  aftertake tasks cancel task_6089239afa854f84ba02b1e9e028c8b7"
    )]
    Cancel(#[command(flatten)] Which),
}

/// The tasks to change.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The tasks
    #[arg(required = true, value_name = "ID", value_parser = Parsed::of::<TaskId>())]
    ids: Vec<TaskId>,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

impl Tasks {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List {
                state,
                rule,
                room,
                limit,
                store,
                out,
            } => {
                let filter = TaskFilter {
                    state,
                    rule,
                    room,
                    limit: limit.saturating_add(1),
                };
                let rows = store::desk(&store.store)?.tasks(&filter);
                let rows = at_most(limit, rows.map_err(store::unavailable)?);
                out.print(&Listed(rows))?;
                Ok(Exit::Fine)
            }
            Self::Show { id, store, out } => show::run(id, &store.store, out),
            Self::Retry(which) => change::retry(&which),
            Self::Cancel(which) => change::cancel(&which),
        }
    }
}

struct Listed(Vec<TaskRow>);

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(TaskLine::of))
    }
}

impl Answer for Listed {
    fn text(&self, width: Option<usize>) -> String {
        rows_text(&self.0, width)
    }
}
