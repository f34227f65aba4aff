//! Why a node cannot be read, as serde's error type.
//!
//! Says only what was expected. The reader adds what was found, because the tree knows which values
//! came from the environment.

use std::fmt;

use serde::de;

use super::problem::Problem;
use super::spelling::did_you_mean;
use super::tree::{Content, NodeId, Tree};

/// Why a node cannot be read. The reader adds the position.
#[derive(Debug)]
pub(super) enum Fault {
    Expected(String),
    UnknownKey(&'static [&'static str]),
    UnknownWord(&'static [&'static str]),
    Missing(&'static str),
    Placed(Box<Problem>),
}

impl Fault {
    /// Converts it to a problem at `id`.
    pub(super) fn into_problem(self, tree: &Tree, id: NodeId) -> Problem {
        // A suggestion would reveal the environment's value.
        let word = tree.value(id).filter(|_| tree.is_public(id));
        let meant = |known: &'static [&'static str]| {
            let close = word.and_then(|word| did_you_mean(word, known.iter().copied()));
            close.unwrap_or_else(|| format!("known here: {}", known.join(", ")))
        };
        let (message, help) = match self {
            Self::Placed(problem) => return *problem,
            Self::Expected(_) if matches!(tree.node(id).content, Content::Null) => (
                "there is no value here".to_owned(),
                Some("give the key a value, or leave it out".to_owned()),
            ),
            Self::Expected(what) => {
                let empty = tree.value(id).is_some_and(str::is_empty);
                let found = if empty {
                    "an empty text".to_owned()
                } else {
                    tree.shown(id)
                };
                (format!("expected {what}, found {found}"), None)
            }
            Self::UnknownKey(known) => (
                format!("unknown key {}", tree.shown(id)),
                Some(meant(known)),
            ),
            Self::UnknownWord(known) => (
                format!("unknown value {}", tree.shown(id)),
                Some(meant(known)),
            ),
            Self::Missing(key) => (format!("`{key}` is missing here"), None),
        };
        let span = tree.node(id).span.clone();
        Problem {
            span,
            message,
            help,
        }
    }

    /// Adds the position `id`, unless it already has one.
    pub(super) fn at(self, tree: &Tree, id: NodeId) -> Self {
        Self::Placed(Box::new(self.into_problem(tree, id)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// Scalars say what they expect; the reader adds what it found.
    fn custom<T: fmt::Display>(expected: T) -> Self {
        Self::Expected(expected.to_string())
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Expected(expected.to_string())
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownWord(known)
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey(known)
    }

    fn missing_field(key: &'static str) -> Self {
        Self::Missing(key)
    }
}
