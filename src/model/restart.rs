//! Where a stopped task goes on under rules that are not its own.

use super::plan::Turn;
use super::task::{Lane, StepNo};

/// Where a stopped task goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    pub step: StepNo,
    /// The lane of that step.
    pub lane: Lane,
    pub turn: Turn,
    /// The steps from there on that keep a journal of moves. Journals are kept by number:
    /// one of these must not find what another step moved.
    pub renames: Vec<StepNo>,
}
