//! The tasks that the rules make of one event.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::id::TaskId;
use super::secret::Mask;
use super::task::{Lane, RevisionId};

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub revision: RevisionId,
    pub tasks: Vec<PlannedTask>,
}

impl Plan {
    /// Hides secrets in the plan's failures.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        let dooms = self
            .tasks
            .iter_mut()
            .filter_map(|task| task.dead_on_arrival.as_mut());
        for failure in dooms {
            failure.reason = mask.apply(&failure.reason).into_owned();
        }
        self
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTask {
    pub id: TaskId,
    pub rule: String,
    pub generation: u32,
    pub lane: Lane,
    /// Whether the first step touches the object and so needs the recording's turn.
    pub turn: Turn,
    /// `None` if its rule has no `order_by`, or the event lacks the field.
    pub order_key: Option<OrderKey>,
    /// Why it can never run: it is stored dead.
    pub dead_on_arrival: Option<Failure>,
    /// The destination to notify if it is stored dead.
    pub on_dead: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderKey {
    digest: [u8; 16],
    /// Whether a dead task blocks those behind it.
    pub dead_blocks: bool,
}

impl OrderKey {
    /// The key for one value of a rule's `order_by` field. The same in every revision of the rule.
    pub fn of(rule: &str, value: &str, dead_blocks: bool) -> Self {
        let mut hash = Sha256::new();
        // Cannot collide with a recording's id, whose hashed text begins with a length.
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

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.digest
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It touches the object, so one task at a time.
    Needed,
    NotNeeded,
}

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
    fn reasons_of_dead_on_arrival_tasks_are_masked() {
        let plan = Plan {
            revision: RevisionId::of(""),
            tasks: vec![PlannedTask {
                id: TaskId::derive(EventId::derive(None, &[]), "r", 0),
                rule: "r".into(),
                generation: 0,
                lane: Lane::Bucket("b".into()),
                turn: Turn::Needed,
                order_key: None,
                dead_on_arrival: Some(Failure::new(FailureKind::Invalid, "not hidden-7")),
                on_dead: None,
            }],
        };
        let masked = plan.masked(&Mask::new(["hidden-7".into()]));
        assert_eq!(
            masked.tasks[0].dead_on_arrival.as_ref().unwrap().reason,
            "not ***"
        );
    }
}
