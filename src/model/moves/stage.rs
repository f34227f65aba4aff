//! On which side of the commit point a rename is.
//!
//! The two sides are two types. What undoes takes an [`Open`], and the only way from there
//! to [`Committed`] is by [`Open::forward`] and [`Forward::commit`], which consume it: a
//! committed move cannot be undone.

use super::{MovePhase, Outline, Target};

/// Where a step's manifest is between its beginning and its end.
#[derive(Debug)]
pub enum Stage {
    /// Nothing was begun, or all of it was undone.
    Untouched,
    /// The recording is at its source, whole; there may be copies.
    Open(Open),
    /// As `Open`, but copies have begun to be removed: they all have to be, first.
    HalfUndone(Open),
    /// As `Open`, but the named object's copy has replaced what stood at its target, which
    /// removing the copy would not bring back. It is the last copy, so all others are made.
    Replaced(Forward),
    /// The recording is at its target. Only deletions are left.
    Committed(Committed),
}

/// A manifest before its commit point, which can be undone.
#[derive(Debug)]
pub struct Open(Outline);

/// A manifest before its commit point that can only go on to it.
#[derive(Debug)]
pub struct Forward(Outline);

/// A manifest after its commit point.
#[derive(Debug)]
pub struct Committed(Outline);

impl Stage {
    /// The stage of a step with this manifest.
    pub fn of(outline: Option<Outline>) -> Self {
        let Some(outline) = outline else {
            return Self::Untouched;
        };
        let main = &outline.main;
        if outline.committed {
            Self::Committed(Committed(outline))
        } else if main.phase == MovePhase::Copied && main.target == Target::Replace {
            Self::Replaced(Forward(outline))
        } else if outline.undone == outline.count {
            Self::Untouched
        } else if outline.undone > 0 {
            Self::HalfUndone(Open(outline))
        } else {
            Self::Open(Open(outline))
        }
    }
}

impl Open {
    /// The manifest in short.
    pub fn outline(&self) -> &Outline {
        &self.0
    }

    /// Gives up the way back.
    pub fn forward(self) -> Forward {
        Forward(self.0)
    }
}

impl Forward {
    /// The manifest in short.
    pub fn outline(&self) -> &Outline {
        &self.0
    }

    /// The same manifest, of which it is stored that the recording is at its target.
    pub fn commit(self) -> Committed {
        Committed(Outline {
            committed: true,
            ..self.0
        })
    }
}

impl Committed {
    /// The manifest in short.
    pub fn outline(&self) -> &Outline {
        &self.0
    }
}
