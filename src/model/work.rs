//! What a task carries out: a rule, or the notice that another task died, under a rule that is in
//! no file.
//!
//! Like every task it survives a restart, waits for its destination, and is listed. Its rule has no
//! `on_dead`, so there is no notice about a notice.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::id::TaskId;
use super::task::StepNo;
use super::time::Timestamp;

/// Prefix of the names of these rules. A rule in a file must not have it.
pub const NOTICE: &str = "on_dead:";

/// A task that died, as the notice reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadTask {
    pub task: TaskId,
    pub rule: String,
    pub step: StepNo,
    pub tries: u32,
    pub at: Timestamp,
    pub failure: Failure,
}

/// What a task carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The steps of the rule with this name.
    Rule(String),
    /// The report that a task died.
    Notice(Box<DeadTask>),
}

impl Work {
    /// The name of the rule that carries it out.
    pub fn rule(&self) -> Cow<'_, str> {
        match self {
            Self::Rule(name) => name.into(),
            Self::Notice(death) => rule_of_notices(&death.rule).into(),
        }
    }

    /// The death that it reports, if it is a notice.
    pub fn death(&self) -> Option<&DeadTask> {
        match self {
            Self::Rule(_) => None,
            Self::Notice(death) => Some(death),
        }
    }
}

/// The name of the rule for notices about tasks of `rule`.
pub fn rule_of_notices(rule: &str) -> String {
    format!("{NOTICE}{rule}")
}
