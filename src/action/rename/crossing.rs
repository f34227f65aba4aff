//! Tells whether a part of a recording would be moved over another one.
//!
//! That takes all moves together, of which a long recording has too many to be held at once:
//! each place is kept as a number of 8 bytes that stands for it. Two places have the same one
//! in fewer than one of 10^10 recordings with 25,000 objects, and others in the next try.

use std::hash::{BuildHasher, RandomState};

use crate::model::moves::{Move, Target};
use crate::model::recording::Place;

/// Where the objects of a set are, and where they go.
#[derive(Debug, Default)]
pub(super) struct Crossing {
    marks: RandomState,
    at: Vec<u64>,
    to: Vec<u64>,
}

impl Crossing {
    pub(super) fn add(&mut self, one: &Move) {
        match one.target {
            Target::Present => self.at.push(self.mark(&one.to)),
            Target::Absent | Target::Replace => {
                self.at.push(self.mark(&one.from));
                self.to.push(self.mark(&one.to));
            }
        }
    }

    /// Whether an object goes to where another one is, or goes, too.
    pub(super) fn exists(mut self) -> bool {
        self.at.sort_unstable();
        self.to.sort_unstable();
        let goes = |to: &[u64]| to[0] == to[1];
        let is = |to: &u64| self.at.binary_search(to).is_ok();
        self.to.windows(2).any(goes) || self.to.iter().any(is)
    }

    fn mark(&self, place: &Place) -> u64 {
        self.marks.hash_one((&place.bucket, &place.key))
    }
}
