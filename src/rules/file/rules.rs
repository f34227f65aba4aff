//! `rules:` what to do with which recording.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::load::Loading;
use super::{Unreadable, retry, steps, when};
use crate::chat;
use crate::model::bucket::Bucket;
use crate::model::destination::{Destination, Format};
use crate::model::event::Fields;
use crate::model::retry::RetryPolicy;
use crate::model::work::NOTICE;
use crate::rules::rule::Rule;
use crate::yaml::problem::Problem;
use crate::yaml::shape::{At, Deferred};
use crate::yaml::spelling::did_you_mean;
use crate::yaml::tree::NodeId;

/// What to do with which recording.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(crate) struct Raw {
    /// The rule's name; unique in the file.
    name: At<String>,
    /// Which events it is for: every `RECORD_FILE_COMPLETE` when left out.
    pub(super) when: Option<Deferred<when::Raw>>,
    /// A field such as `room_id`: tasks with the same value run one at a time, in order of arrival.
    order_by: Option<At<String>>,
    /// Whether a dead task blocks the tasks after it; `false` by default.
    order_blocks: Option<At<bool>>,
    /// A destination that is notified when a task of this rule dies.
    on_dead: Option<At<String>>,
    /// Keys that override the file's `retry`.
    retry: Option<retry::Raw>,
    /// What to do, in this order.
    steps: Deferred<Vec<Deferred<steps::Raw>>>,
}

/// Names that rules may use.
#[derive(Debug)]
pub(super) struct KnownNames<'n> {
    pub(super) buckets: Vec<At<String>>,
    pub(super) destinations: Vec<At<String>>,
    /// Those without problems.
    pub(super) right_buckets: &'n BTreeMap<String, Bucket>,
    pub(super) right_destinations: &'n BTreeMap<String, Destination>,
}

#[derive(Debug)]
pub(super) struct PlacedRule {
    pub(super) name: At<String>,
    pub(super) when: Option<Deferred<when::Raw>>,
    pub(super) rule: Rule,
}

impl Loading<'_> {
    /// The rules of the file. `names` is `None` for a revision: its names are not checked, and
    /// tasks wait for missing ones.
    pub(super) fn rules(
        &mut self,
        section: &Deferred<Vec<Deferred<Raw>>>,
        policy: RetryPolicy,
        names: Option<&KnownNames<'_>>,
    ) -> Vec<PlacedRule> {
        let entries = self.read(section).unwrap_or_default();
        let mut taken = HashSet::new();
        let mut rules = Vec::new();
        for entry in &entries {
            rules.extend(self.rule(entry, &mut taken, policy, names));
        }
        rules
    }

    /// The rules of a revision, each read separately, and those that cannot be read.
    pub(super) fn rules_apart(
        &mut self,
        section: &Deferred<Vec<Deferred<Raw>>>,
        policy: RetryPolicy,
    ) -> (Vec<PlacedRule>, Vec<Unreadable>) {
        let entries = self.read(section).unwrap_or_default();
        let mut taken = HashSet::new();
        let (mut rules, mut unreadable) = (Vec::new(), Vec::new());
        for entry in &entries {
            let before = self.problems.len();
            self.problems.extend(self.tree.wrong_in(entry.at));
            let is_whole = self.problems.len() == before;
            let rule = if is_whole {
                self.rule(entry, &mut taken, policy, None)
            } else {
                None
            };
            let wrong = self.problems.split_off(before);
            match rule {
                Some(rule) if wrong.is_empty() => rules.push(rule),
                _ => unreadable.push(self.unreadable(entry.at, &wrong)),
            }
        }
        (rules, unreadable)
    }

    fn unreadable(&self, rule: NodeId, wrong: &[Problem]) -> Unreadable {
        let name = self.tree.get(rule, "name");
        let name = name.filter(|name| self.tree.wrong_in(*name).is_empty());
        let told = wrong.iter().map(|problem| match &problem.help {
            Some(help) => format!("{}; {help}", problem.message),
            None => problem.message.clone(),
        });
        Unreadable {
            name: name
                .and_then(|name| self.tree.value(name))
                .map(str::to_owned),
            why: told.collect::<Vec<_>>().join("; "),
        }
    }

    fn rule(
        &mut self,
        entry: &Deferred<Raw>,
        taken: &mut HashSet<String>,
        policy: RetryPolicy,
        names: Option<&KnownNames<'_>>,
    ) -> Option<PlacedRule> {
        let raw = self.read(entry)?;
        if !taken.insert(raw.name.value.clone()) {
            let message = format!("a second rule is named {}", self.shown(raw.name.at));
            self.refuse(
                raw.name.at,
                message,
                "tasks are known by their rule: give it a name of its own",
            );
        }
        self.compile(raw, policy, names)
    }

    fn compile(
        &mut self,
        raw: Raw,
        policy: RetryPolicy,
        names: Option<&KnownNames<'_>>,
    ) -> Option<PlacedRule> {
        let name = self.filled(&raw.name, "the rule's name");
        self.refuse_name_of_notices(&raw.name);
        let condition = self.condition(raw.when.as_ref());
        let order_by = raw.order_by.as_ref().map(|field| self.field(field));
        let blocks = raw.order_blocks.filter(|blocks| blocks.value);
        if let (Some(blocks), None) = (&blocks, &order_by) {
            let help = "add `order_by: room_id`";
            self.refuse(
                blocks.at,
                "`order_blocks` means nothing without `order_by`",
                help,
            );
        }
        let on_dead = raw.on_dead.map(|destination| match names {
            Some(names) => self.teller(&destination, names),
            None => Some(destination.value),
        });
        let steps = self.steps(&raw.steps, names, condition.as_ref());
        let rule = Rule {
            name: name?,
            when: condition?,
            order_by: order_by.unwrap_or_default(),
            order_blocks: blocks.is_some(),
            on_dead: on_dead.unwrap_or_default(),
            retry: raw.retry.unwrap_or_default().over(policy),
            steps: steps?,
        };
        Some(PlacedRule {
            name: raw.name,
            when: raw.when,
            rule,
        })
    }

    fn refuse_name_of_notices(&mut self, name: &At<String>) {
        if name.value.starts_with(NOTICE) {
            let message = format!("{} is a name of notices", self.shown(name.at));
            let help = format!("{NOTICE} is reserved for notices of dead tasks");
            self.refuse(name.at, message, help);
        }
    }

    /// A destination that can receive notices of dead tasks.
    fn teller(&mut self, name: &At<String>, names: &KnownNames<'_>) -> Option<String> {
        let known = self.known(name, "destination", &names.destinations)?;
        match names.right_destinations.get(&known) {
            Some(to) if to.format == Format::Callback => {
                let help = "use a destination with another `format`";
                self.refuse(name.at, "a callback cannot report that a task died", help);
            }
            Some(to) if chat::of(to.format).is_some() && to.text.is_none() => {
                let message = format!(
                    "the format {} needs a `text`, and the destination has none",
                    to.format.name()
                );
                let help = "add `text: \"{{ room_id }}: {{ rule }}{% if failure is defined %} is dead: {{ failure.reason }}{% endif %}\"`";
                self.refuse(name.at, message, help);
            }
            _ => {}
        }
        Some(known)
    }

    /// The name of an event field.
    fn field(&mut self, name: &At<String>) -> Option<String> {
        if Fields::NAMES.contains(&name.value.as_str()) {
            return Some(name.value.clone());
        }
        let public = self.tree.is_public(name.at);
        let meant = did_you_mean(&name.value, Fields::NAMES.into_iter().filter(|_| public));
        let help =
            meant.unwrap_or_else(|| format!("fields of an event: {}", Fields::NAMES.join(", ")));
        self.refuse(
            name.at,
            format!("unknown field {}", self.shown(name.at)),
            help,
        );
        None
    }
}
