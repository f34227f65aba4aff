//! Loading in progress: reads parts of the YAML tree and collects the problems.
//!
//! A part with a problem is read as `None` and loading continues, so one run reports all
//! independent problems.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{Lookup, Warning, redact};
use crate::model::bucket::{Overlap, Whereabouts};
use crate::rules::error::RulesError;
use crate::yaml::problem::Problem;
use crate::yaml::read::read;
use crate::yaml::shape::{At, Deferred};
use crate::yaml::spelling::did_you_mean;
use crate::yaml::tree::{Content, NodeId, Tree};

pub(super) struct Loading<'a> {
    pub(super) tree: &'a Tree,
    /// Relative paths start from this folder.
    base: &'a Path,
    env: &'a dyn Lookup,
    /// The folder buckets so far, each with its displayed name.
    folders: Vec<(String, Whereabouts)>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    /// Masked even when they are short.
    pub(super) secrets: Vec<String>,
}

/// Loads a file with `read`, which adds problems to the [`Loading`].
pub(super) fn load<T>(
    name: &str,
    text: &str,
    base: &Path,
    env: &dyn Lookup,
    read: impl FnOnce(&mut Loading<'_>) -> Option<T>,
) -> Result<T, RulesError> {
    let tree = Tree::parse(text, env)
        .map_err(|problems| RulesError::new(name, redact::by_name(text), problems))?;
    let mut loading = Loading {
        tree: &tree,
        base,
        env,
        folders: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
        secrets: Vec::new(),
    };
    let loaded = read(&mut loading);
    let problems = loading.problems;
    loaded
        .filter(|_| problems.is_empty())
        .ok_or_else(|| RulesError::new(name, redact::literals(&tree, text), problems))
}

impl Loading<'_> {
    pub(super) fn read<T: DeserializeOwned>(&mut self, part: &Deferred<T>) -> Option<T> {
        self.read_node(part.at)
    }

    pub(super) fn read_node<T: DeserializeOwned>(&mut self, id: NodeId) -> Option<T> {
        read(self.tree, id)
            .map_err(|problem| self.problems.push(problem))
            .ok()
    }

    /// Reads an optional part: the default when absent, `None` when wrong.
    pub(super) fn read_or_default<T: DeserializeOwned + Default>(
        &mut self,
        part: Option<&Deferred<T>>,
    ) -> Option<T> {
        part.map_or_else(|| Some(T::default()), |part| self.read(part))
    }

    pub(super) fn refuse(
        &mut self,
        at: NodeId,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.refuse_range(self.tree.node(at).span.clone(), message, Some(help.into()));
    }

    pub(super) fn refuse_range(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let message = message.into();
        self.problems.push(Problem {
            span,
            message,
            help,
        });
    }

    /// Refuses part of a scalar; `range` is in bytes of its value.
    pub(super) fn refuse_part(
        &mut self,
        at: NodeId,
        range: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.refuse_range(self.tree.locate(at, range), message, Some(help.into()));
    }

    /// Warns of something that is accepted, but probably a mistake.
    pub(super) fn warn(&mut self, at: NodeId, message: impl Into<String>) {
        let (line, column) = self.tree.position(at);
        let message = message.into();
        self.warnings.push(Warning {
            line,
            column,
            message,
        });
    }

    /// The scalar in backquotes, with values from the environment hidden.
    pub(super) fn shown(&self, at: NodeId) -> String {
        self.tree.shown(at)
    }

    /// The names that a section defines, including those with wrong content.
    pub(super) fn names<T>(&self, section: Option<&Deferred<T>>) -> Vec<At<String>> {
        let Some(Content::Map(entries)) =
            section.map(|section| &self.tree.node(section.at).content)
        else {
            return Vec::new();
        };
        let named = |(key, _): &(NodeId, NodeId)| {
            let value = self.tree.value(*key)?.to_owned();
            Some(At { at: *key, value })
        };
        entries.iter().filter_map(named).collect()
    }

    /// `name` if it is in `known`; otherwise it is refused as an unknown `kind`.
    pub(super) fn known(
        &mut self,
        name: &At<String>,
        kind: &str,
        known: &[At<String>],
    ) -> Option<String> {
        if known.iter().any(|known| known.value == name.value) {
            return Some(name.value.clone());
        }
        // Names from the environment are neither shown nor suggested.
        let public = |name: &At<String>| self.tree.is_public(name.at);
        let candidates = known.iter().filter(|known| public(known) && public(name));
        let meant = did_you_mean(&name.value, candidates.map(|known| known.value.as_str()));
        let help = meant
            .unwrap_or_else(|| format!("define it under `{kind}s`, or name one that is there"));
        self.refuse(
            name.at,
            format!("unknown {kind} {}", self.shown(name.at)),
            help,
        );
        None
    }

    pub(super) fn filled(&mut self, text: &At<String>, what: &str) -> Option<String> {
        if text.value.is_empty() {
            self.refuse(text.at, format!("{what} is empty"), "give it a value");
            return None;
        }
        Some(text.value.clone())
    }

    /// A secret that must not be empty. It is masked from now on.
    pub(super) fn secret(&mut self, text: &At<String>, what: &str) -> Option<String> {
        let secret = self.filled(text, what)?;
        self.secrets.push(secret.clone());
        Some(secret)
    }

    pub(super) fn path(&mut self, text: &At<String>) -> Option<PathBuf> {
        self.filled(text, "the path")
            .map(|path| self.base.join(path))
    }

    /// The directory of the folder bucket `name`. Buckets must not overlap: a file reachable under
    /// two names could be the target of its own move and then be deleted as the source.
    pub(super) fn folder_of(&mut self, name: &At<String>, text: &At<String>) -> Option<PathBuf> {
        let path = self.path(text)?;
        let (shown, here) = (self.shown(name.at), self.env.locate(&path));
        let is_absent = here.is_absent();
        let overlap = self.folders.iter().find_map(|(other, there)| {
            let how = match here.overlap(there)? {
                Overlap::Same => "has the same directory as",
                Overlap::Inside => "is inside the directory of",
                Overlap::Around => "holds the directory of",
            };
            Some(format!(
                "bucket {shown} {how} bucket {other}, links followed"
            ))
        });
        self.folders.push((shown, here));
        if let Some(message) = overlap {
            let help = "remove one of the two, or give it a directory outside the other's";
            self.refuse(text.at, message, help);
            return None;
        }
        if is_absent {
            let (name, path) = (self.shown(name.at), self.shown(text.at));
            let message = format!(
                "bucket {name}: no directory is at {path}; tasks that need it wait until one is there: \
                 make it, correct the path, or mount its disk"
            );
            self.warn(text.at, message);
        }
        Some(path)
    }
}
