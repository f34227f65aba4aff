//! What a task can wait for besides a time.
//!
//! A task that waits for keys or for something outside is not looked at until that is there; then
//! it is due as if it had not waited.

use std::fmt;
use std::str::FromStr;

use super::id::TaskId;
use super::moves::keys::TakenBy;
use super::task::{Lane, RevisionId};
use super::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitsFor {
    /// Until its lane lets it through again. It keeps its place among the lane's tasks, which wait
    /// with it.
    ItsLane,
    /// Until a request for a key that it needs can no longer arrive.
    Until(Timestamp),
    /// Until this task releases the keys that it uses. The store ends this wait itself.
    Keys(TaskId),
    Outside(Outside),
}

impl WaitsFor {
    /// Whether the task keeps the keys of its drafted moves. A task that waits for a key holds
    /// none, so that no two wait for each other.
    pub fn keeps_keys(&self) -> bool {
        match self {
            Self::ItsLane | Self::Outside(_) => true,
            Self::Until(_) | Self::Keys(_) => false,
        }
    }
}

impl From<TakenBy> for WaitsFor {
    fn from(by: TakenBy) -> Self {
        match by {
            TakenBy::Move(id) | TakenBy::Wanted(id) => Self::Keys(id),
            TakenBy::Late(until) => Self::Until(until),
            // The step refuses to wait in a circle. If it ever did, it would check again.
            TakenBy::Circle(_) => Self::ItsLane,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outside {
    /// This rule of a revision cannot be read: a variable that it uses is gone.
    Rule { revision: RevisionId, name: String },
    /// The rules file in force lacks this bucket or destination.
    Lane(Lane),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is nothing to wait for (rule/REVISION/NAME or lane/LANE)")]
pub struct InvalidOutside(String);

impl From<Outside> for WaitsFor {
    fn from(outside: Outside) -> Self {
        Self::Outside(outside)
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { revision, name } => write!(f, "rule/{revision}/{name}"),
            Self::Lane(lane) => write!(f, "lane/{lane}"),
        }
    }
}

impl FromStr for Outside {
    type Err = InvalidOutside;

    fn from_str(text: &str) -> Result<Self, InvalidOutside> {
        let read = || match text.split_once('/')? {
            ("rule", rest) => {
                let (revision, name) = rest.split_once('/')?;
                Some(Self::Rule {
                    revision: revision.parse().ok()?,
                    name: name.to_owned(),
                })
            }
            ("lane", lane) => lane.parse().ok().map(Self::Lane),
            _ => None,
        };
        read().ok_or_else(|| InvalidOutside(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_parses_as_it_prints() {
        for outside in [
            Outside::Rule {
                revision: RevisionId::of("rules"),
                name: "a/b c".into(),
            },
            Outside::Rule {
                revision: RevisionId::from_number(-1),
                name: String::new(),
            },
            Outside::Lane(Lane::Bucket("a/b".into())),
        ] {
            assert_eq!(outside.to_string().parse(), Ok(outside.clone()));
        }
        for text in ["", "rule", "rule/rev_1", "rule/x/y", "lane/lms", "key/a"] {
            assert!(text.parse::<Outside>().is_err(), "{text}");
        }
    }
}
