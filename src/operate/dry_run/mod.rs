//! What a rules file would do with a callback.
//!
//! Plans and renders with the functions of the service, and executes nothing. Tasks of one
//! recording take turns in the order of the rules, so a later rule sees where an earlier one moved
//! it.

mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::rename::refuse_second_move;
use crate::model::bucket;
use crate::model::destination::Destination;
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::plan::{PlannedTask, Skipped};
use crate::model::recording::{MovedBy, Place};
use crate::model::step::Rendered;
use crate::model::task::StepNo;
use crate::model::transition::OnFailure;
use crate::object;
use crate::rules::context::Context;
use crate::rules::file::RulesFile;
use crate::rules::render::{Rendering, render};
use crate::rules::rule::Rule;

pub use self::report::{Effect, EventReport, Outcome, Report, RuleReport, StepReport};

pub fn dry_run(file: &RulesFile, event: &Event) -> Report {
    let (plan, skipped) = (file.plan(event, 0), file.skipped(event));
    let destinations = file
        .destinations
        .iter()
        .map(|(name, to)| (name.clone(), Arc::new(to.clone())));
    let mut dry_run = DryRun {
        file,
        destinations: destinations.collect(),
        event,
        place: event.fields.place(),
        moved_by: None,
    };
    let rules = file.rules.rules.iter().map(|rule| {
        let mut tasks = plan.tasks.iter();
        match tasks.find(|task| task.rule == rule.name) {
            Some(task) => dry_run.rule(rule, task),
            None => RuleReport::skipped(&rule.name, reason(&skipped, rule)),
        }
    });
    Report {
        rules: rules.collect(),
        event: EventReport::new(event),
    }
}

struct DryRun<'a> {
    file: &'a RulesFile,
    destinations: BTreeMap<String, Arc<Destination>>,
    event: &'a Event,
    /// Where the recording is after the rules so far.
    place: Option<Place>,
    moved_by: Option<MovedBy>,
}

impl DryRun<'_> {
    fn rule(&mut self, rule: &Rule, task: &PlannedTask) -> RuleReport {
        if let Some(failure) = &task.dead_on_arrival {
            return RuleReport::dead(&rule.name, task.id, failure.to_string());
        }
        let place = self.place.clone();
        if !rule.changes_object() {
            // Its task waits for no turn, so it runs before any rename has finished.
            self.place = self.event.fields.place();
        }
        let steps = self.steps(rule, task);
        if !rule.changes_object() {
            self.place = place;
        }
        RuleReport::matched(&rule.name, task.id, steps)
    }

    fn steps(&mut self, rule: &Rule, task: &PlannedTask) -> Vec<StepReport> {
        let mut steps = Vec::new();
        let mut stopped = false;
        for (number, step) in (0..).zip(&rule.steps) {
            let outcome = if stopped {
                Outcome::NotReached
            } else {
                self.step(rule, number, task)
            };
            let failed = matches!(outcome, Outcome::Fails { .. });
            stopped |= failed && step.on_failure == OnFailure::Stop;
            steps.push(StepReport::new(number, step, outcome));
        }
        steps
    }

    fn step(&mut self, rule: &Rule, number: StepNo, task: &PlannedTask) -> Outcome {
        let context = Context {
            place: self.place.clone(),
            url: self.place.as_ref().and_then(|place| self.url(place)),
            ..Context::before_running(self.event, task.id)
        };
        let rendering = render(&self.file.rules, rule, number, &context, &self.destinations);
        match rendering.and_then(|rendering| self.check(rule, rendering)) {
            Ok(Rendering::Skip(reason)) => Outcome::Skipped {
                reason: self.file.mask.apply(&reason).into_owned(),
            },
            Ok(Rendering::Run(rendered)) => {
                let (destinations, mask) = (&self.file.destinations, &self.file.mask);
                Outcome::Runs(Effect::of(&rendered, destinations, mask))
            }
            Err(failure) => Outcome::Fails {
                reason: self.file.mask.apply(&failure.to_string()).into_owned(),
            },
        }
    }

    /// Checks what an action would refuse before its first request to a bucket.
    fn check(&mut self, rule: &Rule, rendering: Rendering) -> Result<Rendering, Failure> {
        if let Rendering::Run(Rendered::Rename(_) | Rendered::Tag(_)) = &rendering {
            self.place.iter().try_for_each(|place| self.permit(place))?;
        }
        if let Rendering::Run(Rendered::Rename(rename)) = &rendering {
            self.permit(&rename.to)?;
            refuse_second_move(&rule.name, self.moved_by.as_ref())?;
            self.place = Some(rename.to.clone());
            self.moved_by = Some(MovedBy {
                rule: rule.name.clone(),
                same_planning: true,
                took_it_whole: false,
            });
        }
        Ok(rendering)
    }

    fn permit(&self, place: &Place) -> Result<(), Failure> {
        bucket::named(&self.file.buckets, &place.bucket)?.permit(&place.key)
    }

    /// The plain link that the service gives to an object.
    fn url(&self, place: &Place) -> Option<String> {
        let bucket = self.file.buckets.get(&place.bucket)?;
        let store = object::open([bucket], None).remove(&bucket.name)?.ok()?;
        Some(store.url(&place.key))
    }
}

fn reason(skipped: &[Skipped], rule: &Rule) -> String {
    let mut skipped = skipped.iter();
    let skipped = skipped.find(|skipped| skipped.rule == rule.name);
    skipped.map_or_else(String::new, |skipped| skipped.reason.clone())
}
