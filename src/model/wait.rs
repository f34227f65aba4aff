//! What a task can wait for that has to come from outside it.
//!
//! One that waits for keys or for something outside is kept apart from those that wait for a
//! time: nothing looks at it until what it waits for is there, and then it is due as if it had
//! not waited.

use std::fmt;
use std::str::FromStr;

use super::id::TaskId;
use super::moves::keys::TakenBy;
use super::task::{Lane, RevisionId};
use super::time::Timestamp;

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitsFor {
    /// That its lane lets it through again. It keeps its place among the tasks of the lane,
    /// which are left alone with it.
    ItsLane,
    /// That a request which was sent for a key that it needs can no longer arrive.
    Until(Timestamp),
    /// That this task gives up the keys that it uses. The store sees to that itself.
    Keys(TaskId),
    /// Something that has to come back.
    Outside(Outside),
}

impl WaitsFor {
    /// Whether the task keeps the keys that it has drafted moves of. Who waits for a key holds
    /// none, so that no two tasks wait for each other's.
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
            // The step refuses to wait in a circle. If it ever did, it would look again.
            TakenBy::Circle(_) => Self::ItsLane,
        }
    }
}

/// Something outside all tasks and lanes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outside {
    /// That this rule of a revision can be read: a variable that it uses is gone.
    Rule { revision: RevisionId, name: String },
    /// That the rules file in force has this bucket or destination.
    Lane(Lane),
}

/// A text that names nothing to wait for.
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
