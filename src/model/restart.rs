//! Where a stopped task continues under other rules.

use super::plan::Turn;
use super::task::{Lane, StepNo};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    pub step: StepNo,
    pub lane: Lane,
    pub turn: Turn,
    /// The later steps that keep a journal of moves. Journals belong to a step number, so such a
    /// step must not find another step's moves.
    pub renames: Vec<StepNo>,
}
