//! Warns of rules that may announce a recording's place before another rule changes it.
//!
//! Rules are independent of each other: a rule that only notifies does not wait for one
//! that renames. Said here where it can be told: when both are for the same events.

use std::collections::BTreeMap;

use super::load::Loading;
use super::rules::PlacedRule;
use crate::chat::Kind;
use crate::model::destination::Destination;
use crate::rules::rule::{Action, BodyTemplate, NotifyStep, Rule};
use crate::rules::template::Template;
use crate::yaml::json;

impl Loading<'_> {
    pub(super) fn warn_of_early_announcements(
        &mut self,
        rules: &[PlacedRule],
        destinations: &BTreeMap<String, Destination>,
    ) {
        let tree = self.tree;
        let when = |rule: &PlacedRule| rule.when.as_ref().map(|when| json::node(tree, when.at));
        for announcing in rules
            .iter()
            .filter(|rule| only_announces(&rule.rule, destinations))
        {
            let mover = rules
                .iter()
                .find(|rule| renames(&rule.rule) && when(rule) == when(announcing));
            if let Some(mover) = mover {
                let (one, other) = (self.shown(announcing.name.at), self.shown(mover.name.at));
                let message = format!(
                    "{one} may announce the place before {other} renames the recording: both are for the same events"
                );
                self.warn(announcing.name.at, message);
            }
        }
    }
}

fn renames(rule: &Rule) -> bool {
    rule.steps
        .iter()
        .any(|step| matches!(step.action, Action::Rename(_)))
}

fn only_announces(rule: &Rule, destinations: &BTreeMap<String, Destination>) -> bool {
    let notifies = |step: &NotifyStep| {
        destinations
            .get(&step.destination)
            .is_some_and(|to| tells_place(step, to))
    };
    let mut announces = false;
    for step in &rule.steps {
        match &step.action {
            Action::Notify(step) => announces |= notifies(step),
            Action::Rename(_) | Action::Tag(_) => return false,
        }
    }
    announces
}

/// Whether the request says where the recording is.
fn tells_place(step: &NotifyStep, destination: &Destination) -> bool {
    let named = |source: &str| source.contains("object.") || source.contains("signed_url");
    if let Some(body) = &step.body {
        return body_has(body, &named);
    }
    match step.format.unwrap_or(destination.format).into() {
        Kind::Document | Kind::CloudEvent => true,
        Kind::Callback => false,
        Kind::Message(_) => {
            let own = step.text.as_ref().map(Template::source);
            own.or(destination.text.as_deref()).is_some_and(named)
        }
    }
}

fn body_has(body: &BodyTemplate, named: &impl Fn(&str) -> bool) -> bool {
    match body {
        BodyTemplate::Literal(_) => false,
        BodyTemplate::Text(text) => named(text.source()),
        BodyTemplate::List(parts) => parts.iter().any(|part| body_has(part, named)),
        BodyTemplate::Map(parts) => parts.iter().any(|(_, part)| body_has(part, named)),
    }
}
