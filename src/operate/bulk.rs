//! Shared by all bulk acts: small steps, consent, refusals, and how far they came.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use serde::{Serialize, Serializer};

use crate::clock::Stopwatch;
use crate::model::intervention::Mode;
use crate::store::Unavailable;
use crate::store::operator::STEP;

pub const SAMPLE: usize = 5;

/// Rest this many times as long as the work took: that leaves two thirds of the disk and of the
/// store's lock to others, however slow they are.
const REST: u32 = 2;

/// The result of an act that may have stopped in the middle.
#[derive(Debug)]
pub struct Bulk<T> {
    pub answer: T,
    /// Why it stopped early. What `answer` reports is done.
    pub stopped: Option<Unavailable>,
}

/// Whether the person confirmed that an act without a filter changes everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    Given,
    Missing,
}

#[derive(Debug)]
pub enum BulkRefused<T> {
    /// It would change everything (this much), and nobody confirmed.
    Everything(T),
    Unavailable(Unavailable),
}

impl<T> From<Unavailable> for BulkRefused<T> {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

/// Does `work` in small transactions and rests in between, so that a running service can commit.
/// Calls `done` after each transaction.
pub(super) fn in_steps<T, C>(
    all: &[T],
    mode: Mode<'_>,
    mut work: impl FnMut(&[T]) -> Result<C, Unavailable>,
    mut done: impl FnMut(&[T], C),
) -> Result<(), Unavailable> {
    for few in all.chunks(STEP) {
        let mut pace = Pace::start();
        done(few, work(few)?);
        if let Mode::Real(_) = mode
            && all.len() > STEP
        {
            pace.rest();
        }
    }
    Ok(())
}

/// Rests between pieces of work, to leave disk and processor to a running service.
#[derive(Debug)]
pub struct Pace(Stopwatch);

impl Pace {
    pub fn start() -> Self {
        Self(Stopwatch::start())
    }

    /// Rests after one piece of work.
    pub fn rest(&mut self) {
        std::thread::sleep(self.0.elapsed().saturating_mul(REST));
        *self = Self::start();
    }
}

/// The ids without duplicates, in order of first occurrence.
pub(super) fn unique<Id: Copy + Eq + Hash>(ids: &[Id]) -> Vec<Id> {
    let mut seen = HashSet::new();
    let new = ids.iter().filter(|id| seen.insert(**id));
    new.copied().collect()
}

/// Reasons for refusals, each with their number and an example.
#[derive(Debug)]
pub struct Refusals<Id>(BTreeMap<String, (usize, Id)>);

impl<Id> Default for Refusals<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[derive(Serialize)]
struct Refusal<'a, Id> {
    reason: &'a str,
    count: usize,
    example: &'a Id,
}

impl<Id> Refusals<Id> {
    pub fn add(&mut self, reason: &str, id: Id) {
        match self.0.get_mut(reason) {
            Some((count, _)) => *count += 1,
            None => {
                self.0.insert(reason.to_owned(), (1, id));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn reasons(&self) -> impl ExactSizeIterator<Item = (&str, usize, &Id)> {
        let reasons = self.0.iter();
        reasons.map(|(reason, (count, id))| (reason.as_str(), *count, id))
    }
}

impl<Id: Serialize> Serialize for Refusals<Id> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.reasons().map(|(reason, count, example)| Refusal {
            reason,
            count,
            example,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::intervention::By;

    #[test]
    fn refusals_are_a_reason_a_count_and_an_example_each() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_empty());
        for number in 1..4 {
            refusals.add("is too old", number);
        }
        refusals.add("is done", 4);
        assert!(!refusals.is_empty());
        assert_eq!(
            serde_json::to_value(&refusals).unwrap()[1],
            serde_json::json!({ "reason": "is too old", "count": 3, "example": 1 })
        );
    }

    #[test]
    fn id_that_is_named_twice_counts_once() {
        assert_eq!(unique(&[3, 1, 3, 2, 1]), [3, 1, 2]);
    }

    #[test]
    fn many_are_changed_in_order_by_small_steps_up_to_the_one_that_fails() {
        let error = || Unavailable::new("a.db".as_ref(), "database is locked");
        let all: Vec<usize> = (0..=STEP * 2).collect();
        let (mut steps, mut changed) = (Vec::new(), Vec::new());
        let work = |few: &[usize]| {
            steps.push(few.len());
            if few.contains(&(STEP * 2)) {
                return Err(error());
            }
            Ok(few.iter().map(|number| number * 2).collect::<Vec<_>>())
        };
        let done = |few: &[usize], doubled: Vec<usize>| {
            changed.extend(few.iter().copied().zip(doubled));
        };
        assert!(in_steps(&all, Mode::Real(&By::default()), work, done).is_err());
        assert_eq!(steps, [STEP, STEP, 1]);
        let expected: Vec<_> = (0..STEP * 2).map(|number| (number, number * 2)).collect();
        assert_eq!(changed, expected);
    }
}
