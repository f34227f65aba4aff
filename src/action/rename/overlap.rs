//! Detects whether one part of a recording would be moved over another one.
//!
//! Needs all moves at once. To bound memory, it keeps only a digest of each place.

use crate::model::moves::{Move, Target};
use crate::model::recording::Place;

/// Current places and targets of the objects of a set.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    at: Vec<[u8; 16]>,
    to: Vec<[u8; 16]>,
}

impl Overlap {
    /// Adds an object that does not move.
    pub(super) fn stays(&mut self, place: &Place) {
        self.at.push(place.digest());
    }

    pub(super) fn add(&mut self, one: &Move) {
        match one.target {
            Target::Present => self.at.push(one.to.digest()),
            Target::Absent | Target::Replace | Target::Again => {
                self.at.push(one.from.digest());
                self.to.push(one.to.digest());
            }
        }
    }

    /// Whether an object is at this place, or moves there.
    pub(super) fn touches(&self, place: &Place) -> bool {
        let place = place.digest();
        self.at.iter().chain(&self.to).any(|one| *one == place)
    }

    /// Keeps only places where no object is and to which none moves.
    pub(super) fn keep_untouched<T>(&mut self, places: &mut Vec<(Place, T)>) {
        self.at.sort_unstable();
        self.to.sort_unstable();
        places.retain(|(place, _)| {
            let place = place.digest();
            let is_in = |all: &[[u8; 16]]| all.binary_search(&place).is_ok();
            !is_in(&self.at) && !is_in(&self.to)
        });
    }

    /// Whether an object's target is the place or the target of another one.
    pub(super) fn exists(mut self) -> bool {
        self.at.sort_unstable();
        self.to.sort_unstable();
        let goes = |to: &[[u8; 16]]| to[0] == to[1];
        let is = |to: &[u8; 16]| self.at.binary_search(to).is_ok();
        self.to.windows(2).any(goes) || self.to.iter().any(is)
    }
}
