//! `aftertake events …`: lists and shows events, adds lost callbacks, and replays.

mod add;
mod details;
mod replay;
mod replay_counts;

use std::path::PathBuf;

use super::args::{Parsed, RecorderFlag, RulesFlag, StoreFlag, filled};
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags};
use super::store;
use super::table::Table;
use super::time_flags::TimeFlags;
use crate::clock;
use crate::config::Environment;
use crate::model::id::EventId;
use crate::operate::events;
use crate::store::lists::{EventFilter, EventRow};

/// List, show, add and replay events
#[derive(Debug, clap::Subcommand)]
pub(super) enum Events {
    /// List events, the newest first
    #[command(
        after_help = "Examples:\n  aftertake events list --room class-7\n  aftertake events list --since 2h"
    )]
    List {
        /// Only events of this room
        #[arg(long, value_parser = Parsed::by(filled))]
        room: Option<String>,
        #[command(flatten)]
        time: TimeFlags,
        /// Maximum number of events
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        limit: usize,
        /// Only events that are older than this one: continues a list
        #[arg(long, value_name = "ID", value_parser = Parsed::of::<EventId>())]
        before: Option<EventId>,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show an event: its fields, its tasks, and why each other rule did not match
    #[command(
        after_help = "Example:\n  aftertake events show evt_6089239abc2e2142601366dba4427b1a"
    )]
    Show {
        /// The event
        #[arg(value_parser = Parsed::of::<EventId>())]
        id: EventId,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Enter a callback manually that never arrived
    ///
    /// Plans it under the rules file as the service would, and stores it with its tasks; a running
    /// service starts them within a second. If the callback did arrive, its object and times show
    /// that, and nothing changes.
    #[command(
        after_help = "Examples:\n  aftertake events add callback.json --rules rules.yaml\n  \
                      curl … | aftertake events add - --rules rules.yaml"
    )]
    Add {
        /// The callback's body as the recorder sends it; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        from: RecorderFlag,
        #[command(flatten)]
        rules: RulesFlag,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Plan past events again under the rules file of today
    ///
    /// For a rule that was added or corrected too late: each event that you name, or that the
    /// filter matches, gets a task for every rule of the file that matches it and has no task for
    /// it yet. With --all, rules that have one get another: their work is done again, except where
    /// an earlier task of the rule is still waiting or running.
    ///
    /// The new tasks are ready like those of new events, and the lanes limit how many run at a
    /// time; `tasks show` says who replayed them, when and why. Try --dry-run first: it counts by
    /// rule, shows the first few, and changes nothing. A replay commits in small steps, so that new
    /// callbacks are stored in between; if it is interrupted, the steps before are done. Run it
    /// again without --all, and it does the rest and repeats nothing.
    ///
    /// The exit code is 1 when an event cannot be planned again: it is not in the store,
    /// --retention has removed its body, or one of its settled tasks left objects half moved. To
    /// run a dead task again, use `tasks retry`.
    #[command(
        after_help = "Examples:\n  aftertake events replay --rule notify-crm --since 7d --dry-run\n  \
                      aftertake events replay --rule notify-crm --since 7d --why 'crm was added late'\n  \
                      aftertake events replay evt_6089239abc2e2142601366dba4427b1a --all"
    )]
    Replay(#[command(flatten)] Box<replay::Flags>),
}

impl Events {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List {
                room,
                time,
                limit,
                before,
                store,
                out,
            } => {
                let (since, until) = time.bounds(clock::now())?;
                let filter = EventFilter { room, since, until };
                let list = events::list(&*store::operator(&store.store)?, &filter, limit, before);
                return out.print_list(list.map_err(store::not_listed)?, |event| event.id);
            }
            Self::Show { id, store, out } => {
                let url = &store.store;
                let found = events::show(&*store::operator(url)?, id, &Environment)
                    .map_err(store::unavailable)?;
                out.print(&found.ok_or_else(|| {
                    let sentence = format!(
                        "{id} is not in {url}; `aftertake events list` shows those that are"
                    );
                    Stop::with_message(Exit::Failed, sentence)
                })?)?;
            }
            Self::Add {
                file,
                from,
                rules,
                store,
                out,
            } => add::run((&file, from.recorder), &rules.rules, &store.store, out)?,
            Self::Replay(flags) => return replay::run(&flags),
        }
        Ok(Exit::Fine)
    }
}

impl Answer for Vec<EventRow> {
    fn text(&self, width: Option<usize>) -> String {
        let mut table = Table::new(&["EVENT", "RECEIVED", "ROOM", "TYPE"]);
        for row in self {
            table.row([
                row.id.to_string(),
                row.received.to_string(),
                row.room.clone().unwrap_or_default(),
                row.event_type.clone(),
            ]);
        }
        table.text(width)
    }
}
