//! `aftertake events replay`: plans events of the past again under the rules of today.

use super::replayed::Tally;
use crate::cli::args::{Parsed, RulesFlag, StoreFlag, filled};
use crate::cli::bulk::{self, BulkFlags, counted};
use crate::cli::exit::{Exit, Stop};
use crate::cli::moment::TimeFlags;
use crate::cli::out::{OutFlags, tell};
use crate::cli::{load, store};
use crate::clock;
use crate::model::event::Event;
use crate::model::id::EventId;
use crate::model::intervention::Mode;
use crate::model::plan::Plan;
use crate::model::time::Timestamp;
use crate::rules::file::RulesFile;
use crate::rules::plan::plan;
use crate::store::Unavailable;
use crate::store::lists::{EventFilter, EventRow, Walk};
use crate::store::operator::{CHUNK, Operator, Replay, Scope};

const FLAGS: &str = "--room, --rule, --since or --until";

/// Which events, and how.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// The events, unless a filter tells them
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
    /// Also the tasks that the events have: every rule that matches does its work again
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
    let mut operator = store::operator(&flags.store.store)?;
    let planned = |event: &Event, generation| flags.plan(&file, event, generation);
    let by = flags.bulk.by();
    let mut replaying = Replaying {
        operator: &mut *operator,
        replay: Replay {
            scope: if flags.all {
                Scope::All
            } else {
                Scope::Missing
            },
            plan: &planned,
            rules: &file.rules.text,
        },
        mode: flags.bulk.mode(&by),
        tally: Tally::new(flags.bulk.dry_run),
    };
    if flags.ids.is_empty() && flags.is_unfiltered() && flags.bulk.needs_yes() {
        return Err(replaying.refuse_everything(filter));
    }
    let done = match flags.ids.as_slice() {
        [] => replaying.matching(filter),
        ids => replaying.named(ids),
    };
    flags.out.print(&replaying.tally)?;
    done.map_err(|error| replaying.stopped(error))?;
    Ok(replaying.tally.exit())
}

impl Flags {
    fn is_unfiltered(&self) -> bool {
        self.room.is_none() && self.rule.is_none() && self.time.is_empty()
    }

    fn filter(&self) -> Result<EventFilter, Stop> {
        if !self.ids.is_empty() && (self.room.is_some() || !self.time.is_empty()) {
            return Err(bulk::refuse_both("events"));
        }
        let (since, until) = self.time.bounds(clock::now())?;
        Ok(EventFilter {
            room: self.room.clone(),
            since,
            until,
        })
    }

    fn refuse_unknown_rule(&self, file: &RulesFile) -> Result<(), Stop> {
        let Some(name) = &self.rule else {
            return Ok(());
        };
        if file.rules.rules.iter().any(|rule| rule.name == *name) {
            return Ok(());
        }
        let path = self.rules.rules.display();
        let names: Vec<&str> = file
            .rules
            .rules
            .iter()
            .map(|rule| rule.name.as_str())
            .collect();
        let sentence = format!("{path} has no rule {name:?}; it has {}", names.join(", "));
        Err(Stop::say(Exit::Usage, sentence))
    }

    fn plan(&self, file: &RulesFile, event: &Event, generation: u32) -> Plan {
        let mut plan = plan(&file.rules, event, generation).masked(&file.mask);
        if let Some(name) = &self.rule {
            plan.tasks.retain(|task| task.rule == *name);
        }
        plan
    }
}

/// A replay on its way.
struct Replaying<'a> {
    operator: &'a mut dyn Operator,
    replay: Replay<'a>,
    mode: Mode<'a>,
    tally: Tally,
}

impl Replaying<'_> {
    fn named(&mut self, ids: &[EventId]) -> Result<(), Unavailable> {
        let ids: Vec<_> = bulk::unique(ids).into_iter().map(|id| (id, None)).collect();
        self.all(&ids)
    }

    fn matching(&mut self, filter: EventFilter) -> Result<(), Unavailable> {
        let mut walk = self.operator.walk_events(filter)?;
        while let Some(events) = self.next(&mut walk)? {
            let known = |event: &EventRow| (event.id, Some(event.received));
            self.all(&events.iter().map(known).collect::<Vec<_>>())?;
            if events.len() == CHUNK {
                tell(&self.so_far());
            }
        }
        Ok(())
    }

    fn next(&self, walk: &mut Walk<EventFilter>) -> Result<Option<Vec<EventRow>>, Unavailable> {
        let events = self.operator.next_events(walk)?;
        Ok((!events.is_empty()).then_some(events))
    }

    fn all(&mut self, events: &[(EventId, Option<Timestamp>)]) -> Result<(), Unavailable> {
        let (mode, tally) = (self.mode, &mut self.tally);
        let (operator, replay) = (&mut *self.operator, &self.replay);
        let few = |events: &[(EventId, Option<Timestamp>)]| {
            let ids: Vec<EventId> = events.iter().map(|(id, _)| *id).collect();
            operator.replay(&ids, replay, mode, clock::now())
        };
        bulk::in_steps(events, mode, few, |events, outcomes| {
            for ((id, received), outcome) in events.iter().zip(outcomes) {
                tally.add(*id, *received, &outcome);
            }
        })
    }

    fn refuse_everything(&mut self, filter: EventFilter) -> Stop {
        self.mode = Mode::DryRun;
        if let Err(error) = self.matching(filter) {
            return store::unavailable(error);
        }
        let (tasks, events) = (self.tally.tasks(), self.tally.events());
        let would = format!(
            "look at every event, {}, and make {}",
            counted(events, "event"),
            counted(tasks, "task")
        );
        bulk::refuse_everything(&would, FLAGS)
    }

    fn so_far(&self) -> String {
        let so_far = counted(self.tally.events(), "event");
        match self.tally.last() {
            Some(last) => format!("{so_far} so far, received until {last}"),
            None => so_far,
        }
    }

    fn stopped(&self, error: Unavailable) -> Stop {
        let rest = match (self.replay.scope, self.tally.last()) {
            (Scope::All, Some(last)) => {
                format!("go on with --since {last}, or their tasks are made again")
            }
            _ => "the same command goes on with the others".to_owned(),
        };
        bulk::stopped(&counted(self.tally.events(), "event"), &rest, error)
    }
}
