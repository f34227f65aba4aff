//! The rules file: from YAML text to buckets, destinations and rules.
//!
//! Each section and action has a file. `load` reads parts of the YAML and collects problems,
//! `compile` handles globs and templates, `scalar` durations, sizes and the like. Reads no files
//! and no environment itself; see [`Lookup`].

mod buckets;
mod callbacks;
mod compile;
mod destinations;
mod early_announcement;
mod exposed;
mod load;
mod redact;
mod retry;
mod revision;
mod rooms;
mod rules;
mod scalar;
mod secrets;
mod steps;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::revision::{Revision, Unreadable, parse_revision};

use self::load::Loading;
use self::rules::{KnownNames, PlacedRule};
use super::error::RulesError;
use super::plan;
use super::rule::{RoomEntry, RuleSet};
use crate::model::bucket::{Bucket, Whereabouts};
use crate::model::destination::Destination;
use crate::model::event::Event;
use crate::model::plan::{Plan, Skipped};
use crate::model::retry::RetryPolicy;
use crate::model::secret::Mask;
use crate::model::task::RevisionId;
use crate::recorder::Callers;
use crate::yaml::shape::{Deferred, Table};
use crate::yaml::variables::Variables;

/// What parsing a rules file reads from the machine: variables and directories.
pub trait Lookup: Variables {
    /// Where the directory at `path` is. By default only its name is compared.
    fn locate(&self, path: &Path) -> Whereabouts {
        Whereabouts::by_name(path)
    }
}

impl Lookup for BTreeMap<&str, &str> {}

#[derive(Debug)]
pub struct RulesFile {
    pub callers: Callers,
    pub buckets: BTreeMap<String, Bucket>,
    pub destinations: BTreeMap<String, Destination>,
    pub rules: RuleSet,
    /// Hides the file's secrets and all values from the environment.
    pub mask: Mask,
    /// Accepted, but probably a mistake.
    pub warnings: Vec<Warning>,
}

impl RulesFile {
    /// Plans an event as the service does. Skip reasons show no secrets.
    pub fn plan(&self, event: &Event, generation: u32) -> Plan {
        plan::plan(&self.rules, event, generation).masked(&self.mask)
    }

    /// Every rule that does not match the event, and why. The reasons show no secrets.
    pub fn skipped(&self, event: &Event) -> Vec<Skipped> {
        skipped(&self.rules, event, &self.mask)
    }

    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.rules.iter().map(|rule| rule.name.as_str())
    }
}

fn skipped(rules: &RuleSet, event: &Event, mask: &Mask) -> Vec<Skipped> {
    let mut skipped = plan::skipped(rules, event);
    for one in &mut skipped {
        mask.hide(&mut one.reason);
    }
    skipped
}

/// Something that is accepted, but probably a mistake.
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

/// Who may send callbacks, which buckets and destinations exist, and what to do with recordings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Aftertake rules file")]
pub(crate) struct Raw {
    /// Who may send callbacks.
    callbacks: Option<Deferred<callbacks::Raw>>,
    /// The only buckets that are ever touched, by name.
    buckets: Option<Deferred<Table<Deferred<buckets::Raw>>>>,
    /// Where notifications may go, by name.
    destinations: Option<Deferred<Table<Deferred<destinations::Raw>>>>,
    /// Tags and variables by room; the first match wins.
    rooms: Option<Deferred<Vec<Deferred<rooms::Raw>>>>,
    /// When a failed step is retried, unless its rule differs.
    retry: Option<Deferred<retry::Raw>>,
    /// What to do with recordings.
    rules: Deferred<Vec<Deferred<rules::Raw>>>,
}

/// Parses the rules file `name`. Relative paths start from the folder `base`; `env` gives the
/// values of `${NAME}`. The error lists all problems.
pub fn parse(
    name: &str,
    text: &str,
    base: &Path,
    env: &dyn Lookup,
) -> Result<RulesFile, RulesError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    load::load(name, text, base, env, |loading| {
        loading.problems = loading.tree.wrong();
        if loading.problems.is_empty() {
            loading.whole()
        } else {
            None
        }
    })
}

impl Loading<'_> {
    fn whole(&mut self) -> Option<RulesFile> {
        let raw: Raw = self.read_node(self.tree.root)?;
        let callers = self.callbacks(raw.callbacks.as_ref());
        let buckets = self.buckets(raw.buckets.as_ref());
        let destinations = self.destinations(raw.destinations.as_ref());
        let rooms = self.rooms(raw.rooms.as_ref());
        let policy = self.policy(raw.retry.as_ref());
        let names = KnownNames {
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
            callers: callers?,
            rules: self.rule_set(rules, rooms, policy, buckets.keys().cloned().collect()),
            buckets,
            destinations,
            mask: self.mask(),
            warnings: std::mem::take(&mut self.warnings),
        })
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
