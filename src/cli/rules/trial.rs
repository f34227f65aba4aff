//! `aftertake rules try`: what a rules file would do with a callback.
//!
//! Plans and renders with the very functions of the service and carries nothing out.
//! Tasks of one recording take their turns in the order of the rules, so a later rule
//! sees the place that an earlier one moved it to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::tried::{Outcome, Tried, TriedEvent, TriedRule, TriedStep, Work};
use crate::cli::exit::{Exit, Stop};
use crate::cli::load;
use crate::cli::out::OutFlags;
use crate::model::bucket::BucketStore;
use crate::model::destination::Destination;
use crate::model::event::Event;
use crate::model::failure::{Failure, FailureKind};
use crate::model::plan::{Plan, PlannedTask};
use crate::model::recording::Place;
use crate::model::step::Rendered;
use crate::model::task::StepNo;
use crate::model::transition::OnFailure;
use crate::object::obs::ObsStore;
use crate::object::{ObjectStore, folder};
use crate::rules::context::Context;
use crate::rules::file::RulesFile;
use crate::rules::plan::plan;
use crate::rules::render::{Rendering, render};
use crate::rules::rule::{Action, Rule};

pub(super) fn run(
    rules: &Path,
    event: &Path,
    expect: Option<&str>,
    out: OutFlags,
) -> Result<Exit, Stop> {
    let file = load::rules(rules)?;
    if let Some(name) = expect {
        known(&file, rules, name)?;
    }
    let event = load::event(event)?;
    let tried = attempt(&file, &event);
    out.print(&tried)?;
    let failing = tried.failing();
    let sentence = match expect {
        Some(name) if !tried.matches(name) => format!("rule {name:?} does not match this event"),
        _ if failing.is_empty() => return Ok(Exit::Fine),
        _ => format!("steps would fail, of: {}", failing.join(", ")),
    };
    Err(Stop::say(Exit::Failed, sentence))
}

fn known(file: &RulesFile, path: &Path, name: &str) -> Result<(), Stop> {
    let names: Vec<&str> = file
        .rules
        .rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    if names.contains(&name) {
        return Ok(());
    }
    let (path, names) = (path.display(), names.join(", "));
    let sentence = format!("--expect {name:?}: {path} has no such rule, only {names}");
    Err(Stop::say(Exit::Usage, sentence))
}

/// What `file` makes of `event`.
fn attempt(file: &RulesFile, event: &Event) -> Tried {
    let plan = plan(&file.rules, event, 0);
    let destinations = file
        .destinations
        .iter()
        .map(|(name, to)| (name.clone(), Arc::new(to.clone())));
    let mut trial = Trial {
        file,
        destinations: destinations.collect(),
        event,
        place: event.fields.place(),
        moved_by: None,
    };
    let rules = file.rules.rules.iter().map(|rule| {
        let mut tasks = plan.tasks.iter();
        match tasks.find(|task| task.rule == rule.name) {
            Some(task) => trial.rule(rule, task),
            None => TriedRule::skipped(&rule.name, trial.reason(&plan, rule)),
        }
    });
    Tried {
        rules: rules.collect(),
        event: TriedEvent::new(event),
    }
}

/// A trial in progress.
struct Trial<'a> {
    file: &'a RulesFile,
    destinations: BTreeMap<String, Arc<Destination>>,
    event: &'a Event,
    /// Where the recording is after the rules so far.
    place: Option<Place>,
    /// The rule that moves it.
    moved_by: Option<String>,
}

impl Trial<'_> {
    /// Why a rule is skipped.
    fn reason(&self, plan: &Plan, rule: &Rule) -> String {
        let mut skipped = plan.skipped.iter();
        let skipped = skipped.find(|skipped| skipped.rule == rule.name);
        let reason = skipped.map(|skipped| self.file.mask.apply(&skipped.reason));
        reason.unwrap_or_default().into_owned()
    }

    fn rule(&mut self, rule: &Rule, task: &PlannedTask) -> TriedRule {
        if let Some(failure) = &task.doomed {
            return TriedRule::dead(&rule.name, task.id, failure.to_string());
        }
        let place = self.place.clone();
        let only_notifies = rule
            .steps
            .iter()
            .all(|step| matches!(step.action, Action::Notify(_)));
        if only_notifies {
            // Its task waits for no turn, so it runs before any rename has ended.
            self.place = self.event.fields.place();
        }
        let steps = self.steps(rule, task);
        if only_notifies {
            self.place = place;
        }
        TriedRule::matched(&rule.name, task.id, steps)
    }

    fn steps(&mut self, rule: &Rule, task: &PlannedTask) -> Vec<TriedStep> {
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
            steps.push(TriedStep::new(number, step, outcome));
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
            Ok(Rendering::Run(rendered)) => Outcome::Runs(self.work(rendered)),
            Err(failure) => Outcome::Fails {
                reason: self.file.mask.apply(&failure.to_string()).into_owned(),
            },
        }
    }

    /// Checks what an action would refuse before it asks any bucket.
    fn check(&mut self, rule: &Rule, rendering: Rendering) -> Result<Rendering, Failure> {
        if let Rendering::Run(Rendered::Rename(_) | Rendered::Tag(_)) = &rendering {
            self.place.iter().try_for_each(|place| self.permit(place))?;
        }
        if let Rendering::Run(Rendered::Rename(rename)) = &rendering {
            self.permit(&rename.to)?;
            self.moves(rule, &rename.to)?;
        }
        Ok(rendering)
    }

    /// Whether the configuration lets an object be touched.
    fn permit(&self, place: &Place) -> Result<(), Failure> {
        let forbidden = |reason| Failure::new(FailureKind::Forbidden, reason);
        let bucket = self.file.buckets.get(&place.bucket).ok_or_else(|| {
            forbidden(format!(
                "bucket {:?} is not in the rules file",
                place.bucket
            ))
        })?;
        if bucket.allows(&place.key) {
            return Ok(());
        }
        let prefixes = bucket.only_under.join(", ");
        Err(forbidden(format!(
            "{place} is outside only_under of the bucket ({prefixes})"
        )))
    }

    /// One planning moves a recording once.
    fn moves(&mut self, rule: &Rule, to: &Place) -> Result<(), Failure> {
        let other = self.moved_by.as_ref().filter(|other| **other != rule.name);
        if let Some(other) = other {
            let reason = format!("rule {other:?} moves the recording already");
            return Err(Failure::new(FailureKind::AlreadyMoved, reason));
        }
        self.place = Some(to.clone());
        self.moved_by = Some(rule.name.clone());
        Ok(())
    }

    fn work(&self, rendered: Rendered) -> Work {
        let mask = &self.file.mask;
        match rendered {
            Rendered::Rename(rename) => Work::rename(&rename, mask),
            Rendered::Tag(tag) => Work::tag(&tag, mask),
            Rendered::Notify(notify) => {
                let destination = self.file.destinations.get(&notify.destination);
                Work::notify(&notify, destination, mask)
            }
        }
    }

    /// The plain link that the service gives for an object.
    fn url(&self, place: &Place) -> Option<String> {
        let bucket = self.file.buckets.get(&place.bucket)?;
        match &bucket.store {
            BucketStore::Obs(obs) => Some(ObsStore::new(bucket, obs).ok()?.url(&place.key)),
            BucketStore::Folder { path } => {
                let paths = [(bucket.name.clone(), path.clone())].into();
                Some(folder::open(paths).get(&bucket.name)?.url(&place.key))
            }
        }
    }
}
