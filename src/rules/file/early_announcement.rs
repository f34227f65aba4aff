//! Warns of rules that may announce a recording's place before another rule changes it.
//!
//! Rules run independently: a rule that notifies does not wait for one that renames. We only detect
//! rules for the same events.

use std::collections::BTreeMap;

use super::load::Loading;
use super::rules::PlacedRule;
use crate::chat::Kind;
use crate::model::destination::Destination;
use crate::rules::rule::{Action, NotifyStep, Rule, Step};
use crate::rules::template::{Scope, Template};
use crate::yaml::json;

impl Loading<'_> {
    pub(super) fn warn_of_early_announcements(
        &mut self,
        rules: &[PlacedRule],
        destinations: &BTreeMap<String, Destination>,
    ) {
        let tree = self.tree;
        let when = |rule: &PlacedRule| rule.when.as_ref().map(|when| json::node(tree, when.at));
        let renames = |rule: &&PlacedRule| rule.rule.steps.iter().any(|step| step.action.moves());
        for announcing in rules {
            if !only_announces(&announcing.rule, destinations) {
                continue;
            }
            let mover = rules
                .iter()
                .filter(renames)
                .find(|rule| when(rule) == when(announcing));
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

fn only_announces(rule: &Rule, destinations: &BTreeMap<String, Destination>) -> bool {
    let announces = |step: &Step| {
        let Action::Notify(notify) = &step.action else {
            return false;
        };
        let to = destinations.get(&notify.destination);
        to.is_some_and(|to| tells_place(notify, to))
    };
    !rule.changes_object() && rule.steps.iter().any(announces)
}

fn tells_place(step: &NotifyStep, destination: &Destination) -> bool {
    if let Some(body) = &step.body {
        return body.names_object();
    }
    match step.format.unwrap_or(destination.format).into() {
        Kind::Document | Kind::CloudEvent => true,
        Kind::Callback => false,
        Kind::Message(_) => match (&step.text, &destination.text) {
            (Some(own), _) => own.names_object(),
            (None, Some(text)) => {
                Template::parse(text, Scope::MESSAGE).is_ok_and(|text| text.names_object())
            }
            (None, None) => false,
        },
    }
}
