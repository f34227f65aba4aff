//! The rules file: YAML text to buckets, destinations and rules in force.
//!
//! A text becomes a tree with places and variables filled in (`build`, `expand`, `tree`);
//! parts of the tree become wire types (`read`, `shape`, `scalar`), and those become what
//! is in force, one file for each section. Reads no file and no environment itself.

mod announce;
mod buckets;
mod callbacks;
mod compile;
mod destinations;
mod exposed;
mod load;
mod notify;
mod rename;
mod retry;
mod revision;
mod rooms;
mod rules;
mod scalar;
mod secrets;
mod steps;
mod tag;
mod target;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::callbacks::{Callbacks, Unsigned};
pub use crate::yaml::variables::Lookup;

use self::load::Loading;
use self::rules::{Names, PlacedRule};
use super::error::RulesError;
use super::plan::plan;
use super::rule::{RoomEntry, Rule, RuleSet};
use crate::model::bucket::Bucket;
use crate::model::destination::Destination;
use crate::model::event::Event;
use crate::model::notice::NOTICE;
use crate::model::plan::Plan;
use crate::model::retry::RetryPolicy;
use crate::model::secret::Mask;
use crate::model::task::RevisionId;
use crate::yaml::shape::{Later, Table};
use crate::yaml::tree::{NoTree, Tree};

/// A rules file in force.
#[derive(Debug)]
pub struct RulesFile {
    pub callbacks: Callbacks,
    pub buckets: BTreeMap<String, Bucket>,
    pub destinations: BTreeMap<String, Destination>,
    pub rules: RuleSet,
    /// Hides the file's secrets, and what came from the environment.
    pub mask: Mask,
    /// What is accepted and probably not meant.
    pub warnings: Vec<Warning>,
}

impl RulesFile {
    /// Plans an event as the service does. Reasons show no secret of the file.
    pub fn plan(&self, event: &Event, generation: u32) -> Plan {
        plan(&self.rules, event, generation).masked(&self.mask)
    }

    /// The names of the rules, in the order of the file.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.rules.iter().map(|rule| rule.name.as_str())
    }
}

/// Rules that tasks were planned under, loaded again from their text.
#[derive(Debug)]
pub struct Revision {
    /// Those that can be read.
    pub rules: RuleSet,
    /// Those that cannot be read today, though they could when they were in force.
    pub unreadable: Vec<Unreadable>,
    /// Hides what came from the environment into them.
    pub mask: Mask,
}

/// A rule that cannot be read today.
#[derive(Debug)]
pub struct Unreadable {
    /// `None` when the name is what cannot be read.
    pub name: Option<String>,
    pub why: String,
}

impl Revision {
    /// The rules in force, which can be read.
    pub fn in_force(rules: RuleSet, mask: Mask) -> Self {
        Self {
            rules,
            unreadable: Vec::new(),
            mask,
        }
    }

    /// The rule or notice of this name. Fails with the reason why it cannot be used.
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

    /// The notices of a rule are read with it.
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

/// Something that is accepted and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Who may call, which buckets and destinations exist, and what to do with which recording.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Aftertake rules file")]
pub(crate) struct Raw {
    /// Who may call.
    callbacks: Option<Later<callbacks::Raw>>,
    /// The only buckets that are ever touched, by name.
    buckets: Option<Later<Table<Later<buckets::Raw>>>>,
    /// Where notifications may go, by name.
    destinations: Option<Later<Table<Later<destinations::Raw>>>>,
    /// Tags and variables by room; the first match wins.
    rooms: Option<Later<Vec<Later<rooms::Raw>>>>,
    /// When a failed step is tried again, unless its rule says otherwise.
    retry: Option<Later<retry::Raw>>,
    /// What to do with which recording.
    rules: Later<Vec<Later<rules::Raw>>>,
}

/// The sections of a revision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevision {
    rooms: Option<Later<Vec<Later<rooms::Raw>>>>,
    retry: Option<Later<retry::Raw>>,
    rules: Later<Vec<Later<rules::Raw>>>,
}

/// Loads the rules file `name` from its text. Relative paths in it start from the folder
/// `base`; `env` gives the values of `${NAME}`. The error names everything that is wrong.
pub fn parse(
    name: &str,
    text: &str,
    base: &Path,
    env: &dyn Lookup,
) -> Result<RulesFile, RulesError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = Tree::parse(text, env).map_err(|wrong| no_tree(name, text, wrong))?;
    let mut loading = Loading::new(&tree, base, env);
    let file = loading.whole();
    loading.finish(name, text, file)
}

/// Loads the rules of a revision from its text. `buckets` are the names in the file in force.
/// Names that are gone are accepted: tasks that need one wait until it is back. A rule that
/// cannot be read is left out; what all rules share, `rooms` and `retry`, must be readable.
pub fn parse_revision(
    text: &str,
    buckets: &BTreeSet<String>,
    env: &dyn Lookup,
) -> Result<Revision, RulesError> {
    let name = RevisionId::of(text).to_string();
    let tree = Tree::parse_apart(text, env).map_err(|wrong| no_tree(&name, text, wrong))?;
    // A revision has no paths.
    let mut loading = Loading::new(&tree, Path::new(""), env);
    let revision = loading.revision(buckets);
    loading.finish(&name, text, revision)
}

fn no_tree(name: &str, text: &str, wrong: NoTree) -> RulesError {
    RulesError::new(name, text, wrong.secrets.as_deref(), wrong.problems)
}

impl Loading<'_> {
    /// What was loaded, when nothing is wrong with it.
    fn finish<T>(self, name: &str, text: &str, loaded: Option<T>) -> Result<T, RulesError> {
        let (secrets, problems) = (self.tree.secrets(), self.problems);
        let wrong = || RulesError::new(name, text, Some(&secrets), problems.clone());
        loaded.filter(|_| problems.is_empty()).ok_or_else(wrong)
    }

    fn whole(&mut self) -> Option<RulesFile> {
        let raw: Raw = self.read_node(self.tree.root)?;
        let callbacks = self.callbacks(raw.callbacks.as_ref());
        let buckets = self.buckets(raw.buckets.as_ref());
        let destinations = self.destinations(raw.destinations.as_ref());
        let rooms = self.rooms(raw.rooms.as_ref());
        let policy = self.policy(raw.retry.as_ref());
        let names = Names {
            buckets: self.names(raw.buckets.as_ref()),
            destinations: self.names(raw.destinations.as_ref()),
            right_buckets: &buckets,
            right_destinations: &destinations,
        };
        let rules = self.rules(&raw.rules, policy, Some(&names));
        self.warn_of_early_announcements(&rules, &destinations);
        self.warn_of_exposed_files();
        self.warnings
            .sort_by_key(|warning| (warning.line, warning.column));
        Some(RulesFile {
            callbacks: callbacks?,
            rules: self.rule_set(rules, rooms, policy, buckets.keys().cloned().collect()),
            buckets,
            destinations,
            mask: self.mask(),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

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

    fn policy(&mut self, section: Option<&Later<retry::Raw>>) -> RetryPolicy {
        let raw = self.read_or_default(section).unwrap_or_default();
        raw.over(RetryPolicy::default())
    }

    fn rule_set(
        &self,
        rules: Vec<PlacedRule>,
        rooms: Vec<RoomEntry>,
        policy: RetryPolicy,
        buckets: BTreeSet<String>,
    ) -> RuleSet {
        let text = revision::text(self.tree);
        let rules: Vec<_> = rules.into_iter().map(|placed| placed.rule).collect();
        let notices = rules.iter().filter_map(|rule| rule.notices(policy));
        RuleSet {
            revision: RevisionId::of(&text),
            text,
            notices: notices.collect(),
            rules,
            rooms,
            buckets,
        }
    }
}
