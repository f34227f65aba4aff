//! The notice that a task died: itself a task, under a rule that is in no file.
//!
//! Like every task it survives a restart, waits for its destination, and is listed. Its rule has no
//! `on_dead`, so there is no notice about a notice.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::failure::Failure;
use super::id::TaskId;
use super::task::{Outputs, StepNo};
use super::time::Timestamp;

/// Prefix of the names of these rules. A rule in a file must not have it.
pub const NOTICE: &str = "on_dead:";

/// The output with the [`DeadTask`], as if an earlier step had produced it.
const OUTPUT: &str = "dead";

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

impl DeadTask {
    /// The name of the rule for notices about tasks of `rule`.
    pub fn rule_of_notices(rule: &str) -> String {
        format!("{NOTICE}{rule}")
    }

    /// Initial outputs of the notice's task.
    pub fn outputs(&self) -> Outputs {
        Outputs::from_iter([(OUTPUT.to_owned(), json!(self))])
    }

    /// The death that a task reports, if it is a notice.
    pub fn from_outputs(rule: &str, outputs: Option<&Outputs>) -> Option<Self> {
        let death = outputs.filter(|_| rule.starts_with(NOTICE))?.get(OUTPUT)?;
        serde_json::from_value(death.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailureKind;
    use super::super::id::EventId;
    use super::*;

    #[test]
    fn death_is_read_back_by_its_notice_and_by_no_other_task() {
        let death = DeadTask {
            task: TaskId::derive(EventId::derive(None, &[]), "r", 0),
            rule: "r".into(),
            step: 1,
            tries: 2,
            at: Timestamp::from_millis(0),
            failure: Failure::new(FailureKind::Timeout, "slow"),
        };
        let (outputs, rule) = (death.outputs(), DeadTask::rule_of_notices("r"));
        assert_eq!(DeadTask::from_outputs(&rule, Some(&outputs)), Some(death));
        assert_eq!(DeadTask::from_outputs("r", Some(&outputs)), None);
        assert_eq!(DeadTask::from_outputs(&rule, Some(&Outputs::new())), None);
    }
}
