//! `aftertake tasks …`: lists, shows, retries and cancels tasks.
//!
//! Uses its own connection to the store. A running service notices a change within a second.

mod change;
mod counts;
mod filter_flags;
mod history;
mod moves;
mod row;
mod show;

use std::path::PathBuf;

use self::filter_flags::FilterFlags;
use super::args::{Parsed, StoreFlag};
use super::bulk::{self, BulkFlags};
use super::exit::{Exit, Stop};
use super::load;
use super::out::{Answer, OutFlags};
use super::store;
use crate::config::Environment;
use crate::model::id::TaskId;
use crate::model::task::TaskState;
use crate::operate::tasks::change::TaskAct;
use crate::operate::tasks::other_rules::OtherRules;
use crate::operate::tasks::{self, TaskLine};
use crate::store::lists::TaskFilter;

pub(super) use self::history::intervention_text;
pub(super) use self::row::rows_text;

/// List, show, retry and cancel tasks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tasks {
    /// List tasks, the newest first
    ///
    /// With --json, an array of objects with `id`, `event_id`, `rule`, `room`, `state`, `step`
    /// (number of the next step, from 0), `tries` (spent on that step), `due` (null unless the task
    /// waits for a time), `waits` (why it waits, if the reason is outside the task, or null) and
    /// `failure` (the last one's `kind` and `reason`, or null). `leaves` says what the task has
    /// left in buckets, if anything, and `ends` how a task ends that is being given up.
    #[command(after_help = "Examples:\n  aftertake tasks list --state dead\n  \
                      aftertake tasks list --state dead --failure timeout --since 1d\n  \
                      aftertake tasks list --json | jq -r '.[] | select(.state == \"dead\") | .id'")]
    List {
        /// Only tasks in this state
        #[arg(long, value_parser = TaskState::NAMES)]
        state: Option<String>,
        /// Only tasks that left copies in buckets, or an older recording incomplete
        #[arg(long)]
        leaves: bool,
        #[command(flatten)]
        filter: FilterFlags,
        /// Maximum number of tasks
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: usize,
        /// Only tasks that are older than this one: continues a list
        #[arg(long, value_name = "ID", value_parser = Parsed::of::<TaskId>())]
        before: Option<TaskId>,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show everything that happened to a task
    ///
    /// Prints its state and why, every attempt with its request and response, every object that it
    /// moved, and where the recording is now.
    #[command(
        after_help = "Example:\n  aftertake tasks show task_6089239abc2e2142ba02b1e9e028c8b7"
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
    /// Name tasks, or give a filter, which matches dead tasks unless --state says otherwise. Their
    /// tries and their time start anew, and each continues under the rules that were in force when
    /// its callback arrived, or under those of --current-rules. They are then like all others: the
    /// lanes limit how many run at a time. A task that waits for a time becomes due now, and keeps
    /// its tries and its time.
    ///
    /// Try --dry-run first: it counts by rule and failure, shows the first few, and changes
    /// nothing. A retry commits in small steps, so that new callbacks are stored in between; if it
    /// is interrupted, the steps before are done, and the same command does the rest. With --json
    /// and a filter or --dry-run, an object with `matched`, `changed`, `groups`, `refused` and
    /// `sample`; with ids, an array with the result of each.
    ///
    /// The exit code is 1 when a task is in another state, is due already, is not in the store, or
    /// cannot be retried.
    #[command(
        after_help = "Examples:\n  aftertake tasks retry task_6089239abc2e2142ba02b1e9e028c8b7\n  \
                      aftertake tasks retry --rule archive --failure timeout --since 12h --dry-run\n  \
                      aftertake tasks retry --destination lms --why 'lms is back'\n  \
                      aftertake tasks retry --rule archive --current-rules rules.yaml"
    )]
    Retry {
        /// Only tasks in this state; dead ones by default
        #[arg(long, value_parser = ["dead", "cancelled", "ready"])]
        state: Option<String>,
        /// Continue under the rules of this file instead of the tasks' own
        ///
        /// A task continues at the step that has the id of the one where it stopped; earlier steps
        /// count as done. A task that has finished no step begins at the first. A task is left
        /// alone, with the reason, when the file has no longer its rule or that step, when the rule
        /// no longer matches its callback, or when its rename is half done, which only its own
        /// rules can finish.
        #[arg(long, value_name = "FILE")]
        current_rules: Option<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// End tasks; the service stops a running one at a safe point
    ///
    /// Name tasks, or give a filter, which matches waiting and running tasks unless --state says
    /// otherwise. A dead task that is cancelled no longer waits for a person, no longer blocks
    /// others by `order_blocks`, and is pruned after --retention. A cancelled task can be retried.
    /// --dry-run, steps and --json are as in `tasks retry`.
    ///
    /// The exit code is 1 when a task is done or cancelled already, or not in the store.
    #[command(
        after_help = "Examples:\n  aftertake tasks cancel task_6089239abc2e2142ba02b1e9e028c8b7\n  \
                      aftertake tasks cancel --destination old-lms --dry-run\n  \
                      aftertake tasks cancel --state dead --until 30d"
    )]
    Cancel {
        /// Only tasks in this state; ready and running ones by default
        #[arg(long, value_parser = ["ready", "running", "dead"])]
        state: Option<String>,
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The tasks, unless you give a filter
    #[arg(value_name = "ID", value_parser = Parsed::of::<TaskId>())]
    ids: Vec<TaskId>,
    #[command(flatten)]
    filter: FilterFlags,
    #[command(flatten)]
    bulk: BulkFlags,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

impl Which {
    fn change(&self, act: TaskAct<'_>, state: Option<String>) -> Result<Exit, Stop> {
        if self.ids.is_empty() {
            change::matching(act, self, state)
        } else if self.filter.filter()?.is_everything() && state.is_none() {
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
                filter,
                limit,
                before,
                store,
                out,
            } => {
                let filter = TaskFilter {
                    states: state.into_iter().collect(),
                    leaves,
                    ..filter.filter()?
                };
                let list = tasks::list(&*store::operator(&store.store)?, &filter, limit, before);
                out.print_list(list.map_err(store::not_listed)?, |task| task.id)
            }
            Self::Show { id, store, out } => show::run(id, &store.store, out),
            Self::Retry {
                state,
                current_rules,
                which,
            } => {
                let file = current_rules.as_deref().map(load::rules).transpose()?;
                let rules = file
                    .as_ref()
                    .map(|file| OtherRules::new(file, &Environment));
                which.change(TaskAct::Retry(rules.as_ref()), state)
            }
            Self::Cancel { state, which } => which.change(TaskAct::Cancel, state),
        }
    }
}

impl Answer for Vec<TaskLine> {
    fn text(&self, width: Option<usize>) -> String {
        rows_text(self, width)
    }
}
