//! Plans past events again under the rules in force.

use std::fmt;

use super::replay_counts::ReplayCounts;
use crate::clock::Clock;
use crate::model::event::Event;
use crate::model::id::EventId;
use crate::model::intervention::Mode;
use crate::model::plan::Plan;
use crate::model::time::Timestamp;
use crate::operate::bulk::{Bulk, BulkRefused, Consent, in_steps, unique};
use crate::rules::file::RulesFile;
use crate::store::Unavailable;
use crate::store::lists::{EventFilter, EventRow};
use crate::store::operator::{CHUNK, Operator, Replay, Scope};

pub struct Replaying<'a> {
    pub store: &'a mut dyn Operator,
    pub file: &'a RulesFile,
    pub rule: Option<&'a str>,
    pub scope: Scope,
    pub mode: Mode<'a>,
    pub clock: &'a dyn Clock,
}

impl Replaying<'_> {
    /// Plans the named events again, each at most once.
    pub fn named(&mut self, ids: &[EventId]) -> Bulk<ReplayCounts> {
        let mut counts = ReplayCounts::new(self.mode);
        let ids: Vec<_> = unique(ids).into_iter().map(|id| (id, None)).collect();
        let stopped = self.all(&ids, &mut counts).err();
        Bulk {
            answer: counts,
            stopped,
        }
    }

    /// Plans the events again that match the filter. Calls `progress` now and then. Without consent
    /// it refuses to repeat every task of every event, and returns how much that would be.
    pub fn matching(
        &mut self,
        filter: EventFilter,
        consent: Consent,
        progress: &mut dyn FnMut(&ReplayCounts),
    ) -> Result<Bulk<ReplayCounts>, BulkRefused<Box<ReplayCounts>>> {
        let is_everything = filter.is_everything() && self.rule.is_none();
        if let (true, Mode::Real(_), Consent::Missing) = (is_everything, self.mode, consent) {
            self.mode = Mode::DryRun;
            let mut counts = ReplayCounts::new(self.mode);
            self.walk(filter, &mut counts, progress)?;
            return Err(BulkRefused::Everything(Box::new(counts)));
        }
        let mut counts = ReplayCounts::new(self.mode);
        let stopped = self.walk(filter, &mut counts, progress).err();
        Ok(Bulk {
            answer: counts,
            stopped,
        })
    }

    fn walk(
        &mut self,
        filter: EventFilter,
        counts: &mut ReplayCounts,
        progress: &mut dyn FnMut(&ReplayCounts),
    ) -> Result<(), Unavailable> {
        let mut walk = self.store.walk_events(filter)?;
        loop {
            let events = self.store.next_events(&mut walk)?;
            if events.is_empty() {
                return Ok(());
            }
            let known = |event: &EventRow| (event.id, Some(event.received));
            self.all(&events.iter().map(known).collect::<Vec<_>>(), counts)?;
            if events.len() == CHUNK {
                progress(counts);
            }
        }
    }

    fn all(
        &mut self,
        events: &[(EventId, Option<Timestamp>)],
        counts: &mut ReplayCounts,
    ) -> Result<(), Unavailable> {
        let (file, rule, mode) = (self.file, self.rule, self.mode);
        let replay = Replay {
            scope: self.scope,
            plan: &|event: &Event, generation| plan(file, rule, event, generation),
            rules: &file.rules.text,
        };
        let few = |events: &[(EventId, Option<Timestamp>)]| {
            let ids: Vec<EventId> = events.iter().map(|(id, _)| *id).collect();
            self.store.replay(&ids, &replay, mode, self.clock.now())
        };
        in_steps(events, mode, few, |events, outcomes| {
            for ((id, received), outcome) in events.iter().zip(outcomes) {
                counts.add(*id, *received, &outcome);
            }
        })
    }
}

impl fmt::Debug for Replaying<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaying")
            .field("rule", &self.rule)
            .field("scope", &self.scope)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

fn plan(file: &RulesFile, rule: Option<&str>, event: &Event, generation: u32) -> Plan {
    let mut plan = file.plan(event, generation);
    if let Some(rule) = rule {
        plan.tasks.retain(|task| task.rule == rule);
    }
    plan
}
