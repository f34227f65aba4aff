//! What a person did to a task, and why: part of the task's history.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::task::RevisionId;
use super::time::Timestamp;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// The user name, if known.
    pub person: Option<String>,
    /// A note, such as a ticket number.
    pub why: Option<String>,
}

/// A dry run, or a real act and who does it.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    DryRun,
    Real(&'a By),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervention {
    pub at: Timestamp,
    pub act: Act,
    pub by: Option<String>,
    pub why: Option<String>,
    /// The task's state before; `None` if the act created the task.
    pub was: Option<String>,
    /// Why the task was dead.
    pub failure: Option<Failure>,
    /// The new revision, if the act changed it.
    pub rules: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Retried,
    Cancelled,
    /// The task was planned for a past event.
    Replayed,
}

impl Act {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Replayed => "replayed",
        }
    }
}

impl Intervention {
    pub fn new(act: Act, by: &By, at: Timestamp) -> Self {
        Self {
            at,
            act,
            by: by.person.clone(),
            why: by.why.clone(),
            was: None,
            failure: None,
            rules: None,
        }
    }

    /// Adds the task's state before, and why it was dead.
    #[must_use]
    pub fn on(mut self, was: &str, failure: Option<Failure>) -> Self {
        self.was = Some(was.to_owned());
        self.failure = failure.filter(|_| was == "dead");
        self
    }

    /// Adds the task's new rules.
    #[must_use]
    pub fn under(mut self, rules: RevisionId) -> Self {
        self.rules = Some(rules.to_string());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailureKind;
    use super::*;

    #[test]
    fn intervention_reads_back_as_it_was_stored() {
        for act in [Act::Retried, Act::Cancelled, Act::Replayed] {
            let by = By {
                person: Some("ada".into()),
                why: Some("ticket 7".into()),
            };
            let failure = Failure::new(FailureKind::Refused, "422");
            let one = Intervention::new(act, &by, Timestamp::from_millis(1))
                .on("dead", Some(failure))
                .under(RevisionId::of("rules"));
            let stored = serde_json::to_string(&one).unwrap();
            assert!(stored.contains(&format!("\"act\":\"{}\"", act.name())));
            assert_eq!(serde_json::from_str::<Intervention>(&stored).unwrap(), one);
        }
    }

    #[test]
    fn failure_of_a_task_that_was_not_dead_is_no_reason() {
        let failure = Failure::new(FailureKind::Timeout, "slow");
        let one = Intervention::new(Act::Cancelled, &By::default(), Timestamp::from_millis(1));
        assert_eq!(one.on("ready", Some(failure)).failure, None);
    }
}
