//! The ledger of keys: which uses of one key exclude each other.
//!
//! A move holds every key that it reads or writes from the moment its manifest is stored until it
//! is settled. A request whose result is unknown holds its key until it can no longer arrive, even
//! after the move has ended.

use super::super::id::TaskId;
use super::super::recording::Place;
use super::super::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// The source of a copy that is kept, or an object that is already at its target.
    Reads,
    /// The source of a copy that is deleted after the commit.
    Takes,
    Writes,
}

/// A use in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// `None` once the move is settled and only `late` remains.
    pub used: Option<Use>,
    /// Whether the task that asks holds it.
    pub own: bool,
    /// Whether a move of the same recording holds it: tasks of one recording take turns.
    pub takes_turns: bool,
    /// Whether a request that changes the object may still arrive.
    pub late: bool,
}

/// Whether `held` excludes `wanted`.
///
/// Two moves may read one key that their recordings share. A key that one move reads cannot be
/// taken by another, unless both are of one recording: these run one after the other, and the later
/// one checks again. A request that may still arrive blocks all writes, even by the move that sent
/// it, because the object may have changed since.
pub fn forbids(held: Held, wanted: Use) -> bool {
    match wanted {
        Use::Writes => held.late || (!held.own && held.used.is_some()),
        _ if held.own => false,
        Use::Takes | Use::Reads if held.takes_turns => held.used == Some(Use::Writes),
        Use::Takes => held.used.is_some(),
        Use::Reads => matches!(held.used, Some(Use::Takes | Use::Writes)),
    }
}

/// A wanted key that another use blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub key: Place,
    pub by: TakenBy,
}

/// What must end before the key is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBy {
    /// A move of this task.
    Move(TaskId),
    /// This task is about to move the object at the key.
    Wanted(TaskId),
    /// A request that may arrive until this time.
    Late(Timestamp),
    /// This task waits, directly or through others, for the task that asks: one of them must fail.
    Circle(TaskId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_or_taken_is_exclusive_and_what_stays_is_shared() {
        let held = |used, own, late| Held {
            used,
            own,
            takes_turns: false,
            late,
        };
        let in_turn = |used| Held {
            takes_turns: true,
            ..held(Some(used), false, false)
        };
        for (what, wanted, forbidden) in [
            (held(Some(Use::Reads), false, false), Use::Reads, false),
            (held(Some(Use::Reads), false, false), Use::Takes, true),
            (held(Some(Use::Reads), false, false), Use::Writes, true),
            (held(Some(Use::Takes), false, false), Use::Reads, true),
            (held(Some(Use::Takes), false, false), Use::Takes, true),
            (held(Some(Use::Takes), false, false), Use::Writes, true),
            (held(Some(Use::Takes), true, false), Use::Takes, false),
            (held(Some(Use::Writes), false, false), Use::Takes, true),
            (held(Some(Use::Writes), false, false), Use::Reads, true),
            (held(Some(Use::Writes), false, false), Use::Writes, true),
            (held(Some(Use::Writes), true, false), Use::Writes, false),
            (held(Some(Use::Reads), true, false), Use::Writes, false),
            (held(Some(Use::Reads), true, true), Use::Writes, true),
            (held(None, false, true), Use::Writes, true),
            (held(None, true, true), Use::Writes, true),
            (held(None, false, true), Use::Reads, false),
            (held(None, false, true), Use::Takes, false),
            (in_turn(Use::Reads), Use::Takes, false),
            (in_turn(Use::Takes), Use::Reads, false),
            (in_turn(Use::Takes), Use::Takes, false),
            (in_turn(Use::Takes), Use::Writes, true),
            (in_turn(Use::Writes), Use::Reads, true),
            (in_turn(Use::Writes), Use::Takes, true),
        ] {
            assert_eq!(forbids(what, wanted), forbidden, "{what:?} {wanted:?}");
        }
    }
}
