//! `aftertake events replay`: plans past events again under the rules file of today.

use crate::cli::args::{Parsed, RulesFlag, StoreFlag, filled};
use crate::cli::bulk::{self, BulkFlags, counted};
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{OutFlags, print_progress};
use crate::cli::time_flags::TimeFlags;
use crate::cli::{load, store};
use crate::clock::{self, System};
use crate::model::id::EventId;
use crate::operate::bulk::{Bulk, BulkRefused};
use crate::operate::events::replay::Replaying;
use crate::operate::events::replay_counts::ReplayCounts;
use crate::rules::file::RulesFile;
use crate::store::Unavailable;
use crate::store::lists::EventFilter;
use crate::store::operator::Scope;

const FLAGS: &str = "--room, --rule, --since or --until";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// The events, unless you give a filter
    #[arg(value_name = "ID", value_parser = Parsed::of::<EventId>())]
    ids: Vec<EventId>,
    /// Only events of this room
    #[arg(long, value_parser = Parsed::by(filled))]
    room: Option<String>,
    #[command(flatten)]
    time: TimeFlags,
    /// Only the tasks of this rule
    #[arg(long, value_parser = Parsed::by(filled))]
    rule: Option<String>,
    /// Also for rules that already have a task: every rule that matches does its work again
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    rules: RulesFlag,
    #[command(flatten)]
    bulk: BulkFlags,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    out: OutFlags,
}

pub(super) fn run(flags: &Flags) -> Result<Exit, Stop> {
    let file = load::rules(&flags.rules.rules)?;
    flags.refuse_unknown_rule(&file)?;
    let filter = flags.filter()?;
    let mut store = store::operator(&flags.store.store)?;
    let by = flags.bulk.by();
    let mut replaying = Replaying {
        store: &mut *store,
        file: &file,
        rule: flags.rule.as_deref(),
        scope: flags.scope(),
        mode: flags.bulk.mode(&by),
        clock: &System,
    };
    let replayed = match flags.ids.as_slice() {
        [] => replaying.matching(filter, flags.bulk.consent(), &mut progress),
        ids => Ok(replaying.named(ids)),
    };
    let Bulk { answer, stopped } = replayed.map_err(refused)?;
    flags.out.print(&answer)?;
    match stopped {
        Some(error) => Err(flags.stopped(&answer, error)),
        None => Ok(bulk::exit_of(&answer.refused)),
    }
}

impl Flags {
    const fn scope(&self) -> Scope {
        if self.all { Scope::All } else { Scope::Missing }
    }

    fn filter(&self) -> Result<EventFilter, Stop> {
        let (since, until) = self.time.bounds(clock::now())?;
        let filter = EventFilter {
            room: self.room.clone(),
            since,
            until,
        };
        if !self.ids.is_empty() && !filter.is_everything() {
            return Err(bulk::refuse_both("events"));
        }
        Ok(filter)
    }

    fn refuse_unknown_rule(&self, file: &RulesFile) -> Result<(), Stop> {
        let names: Vec<&str> = file.rule_names().collect();
        let unknown = self.rule.as_deref().filter(|name| !names.contains(name));
        let Some(name) = unknown else {
            return Ok(());
        };
        let (path, names) = (self.rules.rules.display(), names.join(", "));
        let sentence = format!("{path} has no rule {name:?}; it has {names}");
        Err(Stop::with_message(Exit::Usage, sentence))
    }

    fn stopped(&self, counts: &ReplayCounts, error: Unavailable) -> Stop {
        let rest = match (self.scope(), counts.last) {
            (Scope::All, Some(last)) => {
                format!("continue with --since {last}: without it, their tasks are made again")
            }
            _ => "run the same command again for the rest".to_owned(),
        };
        bulk::stopped(&counted(counts.events, "event"), &rest, error)
    }
}

fn progress(counts: &ReplayCounts) {
    let so_far = counted(counts.events, "event");
    print_progress(&match counts.last {
        Some(last) => format!("{so_far} so far, received until {last}"),
        None => so_far,
    });
}

fn refused(refused: BulkRefused<Box<ReplayCounts>>) -> Stop {
    match refused {
        BulkRefused::Unavailable(error) => store::unavailable(error),
        BulkRefused::Everything(counts) => {
            let (events, tasks) = (
                counted(counts.events, "event"),
                counted(counts.tasks, "task"),
            );
            let would = format!("look at every event, {events}, and make {tasks}");
            bulk::refuse_everything(&would, FLAGS)
        }
    }
}
