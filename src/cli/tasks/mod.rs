//! `aftertake tasks …`: what is queued, what happened, and what a person does about it.
//!
//! Reads and writes through a connection of its own, beside the service, which notices
//! within a second.

mod by_hand;
mod change;
mod current;
mod matching;
mod moves;
mod pick;
mod row;
mod show;
mod tally;

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use self::change::Act;
use self::current::CurrentRules;
use self::pick::Pick;
use super::args::{Parsed, StoreFlag};
use super::bulk::{self, BulkFlags};
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags, at_most};
use super::store;
use crate::model::id::TaskId;
use crate::model::task::TaskState;
use crate::store::lists::{Page, TaskFilter, TaskRow};

pub(super) use self::by_hand::intervention_text;
pub(super) use self::row::{TaskLine, rows_text};

/// List, show, retry and cancel tasks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tasks {
    /// List tasks, the newest first
    ///
    /// With --json, an array of objects with `id`, `event_id`, `rule`, `state`, `step` (the
    /// number of the step that is next, from 0), `tries` (spent on that step), `due` (null
    /// unless the task waits for a time) and `failure` (the last one's `kind` and `reason`,
    /// or null). `leaves` says what the task has left in buckets, if anything.
    #[command(after_help = "Examples:\n  aftertake tasks list --state dead\n  \
                      aftertake tasks list --state dead --failure timeout --since 1d\n  \
                      aftertake tasks list --json | jq -r '.[] | select(.state == \"dead\") | .id'")]
    List {
        /// Only tasks in this state
        #[arg(long, value_parser = TaskState::NAMES)]
        state: Option<String>,
        /// Only tasks that have left copies in buckets, which could not be removed yet
        #[arg(long)]
        leaves: bool,
        #[command(flatten)]
        pick: Pick,
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
    /// Name tasks, or give a filter, which means dead tasks unless --state says otherwise.
    /// Their tries and their time count anew, and each goes on under the rules that were in
    /// force when its callback arrived, or under those of --current-rules. They are as any
    /// others then: the lanes decide how many run at a time. A task that waits for a time is
    /// made due now, and its tries and its time go on.
    ///
    /// Look first: --dry-run counts by rule and failure, shows the first few, and changes
    /// nothing. It goes in small steps, between which the service commits what comes; a run
    /// that is interrupted has done whole steps, and the same command goes on. With --json and
    /// a filter or --dry-run, an object with `matched`, `changed`, `groups`, `refused` and
    /// `sample`; with ids, an array of what became of each.
    ///
    /// The exit code is 1 when a task is in another state, is due already, is not in the store,
    /// or cannot be retried.
    #[command(
        after_help = "Examples:\n  aftertake tasks retry task_6089239afa854f84ba02b1e9e028c8b7\n  \
                      aftertake tasks retry --rule archive --failure timeout --since 12h --dry-run\n  \
                      aftertake tasks retry --destination lms --why 'lms is back'\n  \
                      aftertake tasks retry --rule archive --current-rules rules.yaml"
    )]
    Retry {
        /// Only tasks in this state; dead ones, unless said
        #[arg(long, value_parser = ["dead", "cancelled", "ready"])]
        state: Option<String>,
        /// Go on under the rules of this file instead of the tasks' own
        ///
        /// A task goes on at the step with the id of the one where it stopped; steps before
        /// it count as done. One that passed no step yet begins at the first. A task is left
        /// alone, with the reason, when the file has not its rule or that step any more, when
        /// the rule does not match its callback any more, or when its rename is half done,
        /// which only its own rules can end.
        #[arg(long, value_name = "FILE")]
        current_rules: Option<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// End tasks; one that runs is brought to a safe end by the service
    ///
    /// Name tasks, or give a filter, which means tasks that wait or run unless --state says
    /// otherwise. A dead task that is cancelled does not wait for a person any more, holds
    /// nobody back by `order_blocks`, and is forgotten in time. A cancelled task can be retried. --dry-run, steps and --json are
    /// those of `tasks retry`.
    ///
    /// The exit code is 1 when a task is done or cancelled already, or not in the store.
    #[command(
        after_help = "Examples:\n  aftertake tasks cancel task_6089239afa854f84ba02b1e9e028c8b7\n  \
                      aftertake tasks cancel --destination old-lms --dry-run\n  \
                      aftertake tasks cancel --state dead --until 30d"
    )]
    Cancel {
        /// Only tasks in this state; ready and running ones, unless said
        #[arg(long, value_parser = ["ready", "running", "dead"])]
        state: Option<String>,
        #[command(flatten)]
        which: Which,
    },
}

/// The tasks to change.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The tasks, unless a filter tells them
    #[arg(value_name = "ID", value_parser = Parsed::of::<TaskId>())]
    ids: Vec<TaskId>,
    #[command(flatten)]
    pick: Pick,
    #[command(flatten)]
    bulk: BulkFlags,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

impl Which {
    fn change(&self, act: &Act, state: Option<&str>) -> Result<Exit, Stop> {
        if self.ids.is_empty() {
            matching::matching(act, self, state)
        } else if self.pick.is_empty() && state.is_none() {
            change::named(act, self)
        } else {
            Err(bulk::refuse_both("tasks"))
        }
    }
}

impl Tasks {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List {
                state,
                leaves,
                pick,
                limit,
                store,
                out,
            } => {
                let filter = TaskFilter {
                    states: state.into_iter().collect(),
                    leaves,
                    ..pick.filter()?
                };
                let page = Page::newest(limit.saturating_add(1));
                let rows = store::operator(&store.store)?.tasks(&filter, page);
                let rows = at_most(limit, rows.map_err(store::unavailable)?);
                out.print(&Listed(rows))?;
                Ok(Exit::Fine)
            }
            Self::Show { id, store, out } => show::run(id, &store.store, out),
            Self::Retry {
                state,
                current_rules,
                which,
            } => {
                let rules = current_rules.as_deref().map(CurrentRules::load);
                let act = Act::Retry(rules.transpose()?.map(Box::new));
                which.change(&act, state.as_deref())
            }
            Self::Cancel { state, which } => which.change(&Act::Cancel, state.as_deref()),
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
