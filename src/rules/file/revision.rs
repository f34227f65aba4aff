//! A revision: the rules that tasks were planned under, stored as text and loaded again.
//!
//! The text is `rooms`, `retry` and `rules` as JSON with variables unexpanded, so layout, comments
//! and other sections do not change it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::load::{self, Loading};
use super::{Lookup, retry, rooms, rules, skipped};
use crate::model::event::Event;
use crate::model::plan::{Plan, Skipped};
use crate::model::secret::Mask;
use crate::model::task::RevisionId;
use crate::model::work::NOTICE;
use crate::rules::error::RulesError;
use crate::rules::plan::plan;
use crate::rules::rule::{Rule, RuleSet};
use crate::yaml::json;
use crate::yaml::shape::Deferred;
use crate::yaml::tree::Tree;

const SECTIONS: [&str; 3] = ["rooms", "retry", "rules"];

/// Rules that tasks were planned under, loaded from their stored text.
#[derive(Debug)]
pub struct Revision {
    pub rules: RuleSet,
    /// Rules that cannot be read today, although they could when they were in force.
    pub unreadable: Vec<Unreadable>,
    /// Hides the values that the rules took from the environment.
    pub mask: Mask,
}

#[derive(Debug)]
pub struct Unreadable {
    /// `None` when the name itself cannot be read.
    pub name: Option<String>,
    pub why: String,
}

impl Revision {
    /// The rules in force, all readable.
    pub fn in_force(rules: RuleSet, mask: Mask) -> Self {
        Self {
            rules,
            unreadable: Vec::new(),
            mask,
        }
    }

    pub fn plan(&self, event: &Event, generation: u32) -> Plan {
        plan(&self.rules, event, generation).masked(&self.mask)
    }

    /// The rule or notice rule of this name, or the reason why it cannot be used.
    pub fn rule(&self, name: &str) -> Result<&Rule, String> {
        self.rules.rule(name).ok_or_else(|| {
            let revision = self.rules.revision;
            match self.why_not(name) {
                Some(why) => format!(
                    "rule {name:?} of {revision}, which is no longer in force, cannot be read: {why}"
                ),
                None => format!("{revision} has no rule {name:?}"),
            }
        })
    }

    /// Every rule that does not match the event, and why. The reasons are those at arrival, as long
    /// as the environment has not changed. Secrets are masked, because reasons quote the rules'
    /// patterns.
    pub fn skipped(&self, event: &Event) -> Vec<Skipped> {
        let mut skipped = skipped(&self.rules, event, &self.mask);
        let unreadable = self.unreadable.iter().map(|one| Skipped {
            rule: one.name.clone().unwrap_or_default(),
            reason: format!("cannot be read today: {}", one.why),
        });
        skipped.extend(unreadable);
        skipped
    }

    /// Why the rule cannot be read. Its notice rule shares the reason.
    fn why_not(&self, name: &str) -> Option<&str> {
        let name = name.strip_prefix(NOTICE).unwrap_or(name);
        let named = |known: Option<&str>| {
            let mut all = self.unreadable.iter();
            all.find(|one| one.name.as_deref() == known)
        };
        let found = named(Some(name)).or_else(|| named(None))?;
        Some(&found.why)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevision {
    rooms: Option<Deferred<Vec<Deferred<rooms::Raw>>>>,
    retry: Option<Deferred<retry::Raw>>,
    rules: Deferred<Vec<Deferred<rules::Raw>>>,
}

/// Loads the rules of a revision from its text. `buckets` are the names in the file in force.
/// Missing names are accepted: tasks wait until they are back. A rule that cannot be read is left
/// out, but `rooms` and `retry`, which all rules share, must be readable.
pub fn parse_revision(
    text: &str,
    buckets: &BTreeSet<String>,
    env: &dyn Lookup,
) -> Result<Revision, RulesError> {
    let name = RevisionId::of(text).to_string();
    // A revision has no paths.
    load::load(&name, text, Path::new(""), env, |loading| {
        loading.revision(buckets)
    })
}

impl Loading<'_> {
    fn revision(&mut self, buckets: &BTreeSet<String>) -> Option<Revision> {
        let raw: RawRevision = self.read_node(self.tree.root)?;
        let rooms = raw.rooms.as_ref().map(|rooms| rooms.at);
        let retry = raw.retry.as_ref().map(|retry| retry.at);
        for shared in [rooms, retry].into_iter().flatten() {
            self.problems.extend(self.tree.wrong_in(shared));
        }
        let rooms = self.rooms(raw.rooms.as_ref());
        let policy = self.policy(raw.retry.as_ref());
        let (rules, mut unreadable) = self.rules_apart(&raw.rules, policy);
        let mask = self.mask();
        for one in &mut unreadable {
            mask.hide(&mut one.why);
        }
        Some(Revision {
            rules: self.rule_set(rules, rooms, policy, buckets.clone()),
            unreadable,
            mask,
        })
    }
}

/// The text of a file's revision.
pub(super) fn text(tree: &Tree) -> String {
    let sections = SECTIONS.iter().filter_map(|section| {
        let id = tree.get(tree.root, section)?;
        Some(format!("\"{section}\":{}", json::node(tree, id)))
    });
    format!("{{{}}}", sections.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree(source: &str) -> Tree {
        Tree::parse(source, &BTreeMap::from([("SET", "value")])).unwrap()
    }

    #[test]
    fn layout_comments_quotes_and_other_sections_are_not_in_it() {
        let one = "retry: {tries: 8}\nbuckets: {a: b}\nrules:\n  - name: 'x'  # why\n    text: |-\n      ${SET} $$\n";
        let other = "\"rules\": [{name: x, text: \"${SET} $$\"}]\nretry:\n  tries: 8\n";
        let expected = r#"{"retry":{"tries":8},"rules":[{"name":"x","text":"${SET} $$"}]}"#;
        assert_eq!(
            (text(&tree(one)), text(&tree(other))),
            (expected.into(), expected.into())
        );
    }
}
