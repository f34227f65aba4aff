//! What the rules make of one event: the tasks it causes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::id::TaskId;
use super::secret::Mask;
use super::task::{Lane, RevisionId};

/// The outcome of planning one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub revision: RevisionId,
    /// In the order of the rules.
    pub tasks: Vec<PlannedTask>,
}

impl Plan {
    /// The plan with secrets hidden in its reasons.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        let dooms = self
            .tasks
            .iter_mut()
            .filter_map(|task| task.doomed.as_mut());
        for failure in dooms {
            failure.reason = mask.apply(&failure.reason).into_owned();
        }
        self
    }
}

/// A task to be stored with its event.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTask {
    pub id: TaskId,
    pub rule: String,
    pub generation: u32,
    /// The lane of its first step.
    pub lane: Lane,
    /// Whether the first step touches the object, and so needs the recording's turn.
    pub turn: Turn,
    /// What orders it; `None` when its rule orders nothing, or the event lacks the field.
    pub order_key: Option<OrderKey>,
    /// A reason for which it can never run: it is stored dead.
    pub doomed: Option<Failure>,
    /// The destination that is told when it is stored dead.
    pub on_dead: Option<String>,
}

/// Tasks with one key run one at a time, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKey {
    digest: [u8; 16],
    /// Whether a dead task holds back those behind it.
    pub dead_blocks: bool,
}

impl OrderKey {
    /// The key of a rule's tasks whose `order_by` field has this value, whichever revision
    /// the rule is of.
    pub fn of(rule: &str, value: &str, dead_blocks: bool) -> Self {
        let mut hash = Sha256::new();
        // So that it is never the id of a recording: that of one begins with a length.
        hash.update("order");
        hash.update((rule.len() as u64).to_be_bytes());
        hash.update(rule);
        hash.update(value);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.finalize()[..16]);
        Self {
            digest,
            dead_blocks,
        }
    }

    /// The 16 bytes of rule and value, as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.digest
    }
}

/// Whether a step needs the recording's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It touches the object: one task at a time.
    Needed,
    /// It only notifies.
    NotNeeded,
}

/// A rule that did not match, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub rule: String,
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailureKind;
    use super::super::id::EventId;
    use super::*;

    #[test]
    fn order_key_tells_rule_and_value_apart() {
        let key = OrderKey::of("a/b", "c", false);
        assert_ne!(key, OrderKey::of("a", "b/c", false));
        assert_ne!(key, OrderKey::of("a/b", "d", false));
        let blocks = OrderKey::of("a/b", "c", true);
        assert_eq!(key.as_bytes(), blocks.as_bytes());
    }

    #[test]
    fn reasons_of_doomed_tasks_are_masked() {
        let plan = Plan {
            revision: RevisionId::of(""),
            tasks: vec![PlannedTask {
                id: TaskId::derive(EventId::derive(None, &[]), "r", 0),
                rule: "r".into(),
                generation: 0,
                lane: Lane::Bucket("b".into()),
                turn: Turn::Needed,
                order_key: None,
                doomed: Some(Failure::new(FailureKind::Invalid, "not hidden-7")),
                on_dead: None,
            }],
        };
        let masked = plan.masked(&Mask::new(["hidden-7".into()]));
        assert_eq!(masked.tasks[0].doomed.as_ref().unwrap().reason, "not ***");
    }
}
