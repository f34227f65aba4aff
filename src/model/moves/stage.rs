//! On which side of the commit a rename is.
//!
//! Each side has its type. Undoing takes an [`Open`]. The only way from there to [`Committed`] is
//! [`Open::forward`] and [`Forward::commit`], which consume it, so a committed move cannot be
//! undone.

use super::{MovePhase, Outline};

/// The stage of a step's manifest.
#[derive(Debug)]
pub enum Stage {
    /// Nothing was begun, or everything was undone.
    Untouched,
    /// The whole recording is at its source; there may be copies.
    Open(Open),
    /// Like `Open`, but removing the copies has begun, and must be finished first.
    HalfUndone(Open),
    /// Like `Open`, but some copies have replaced objects that cannot be restored. It is given up
    /// only if the other copies can no longer be made.
    Replacing(Open),
    /// Like `Open`, but the named object's copy has replaced an object at its target that cannot be
    /// restored. It is the last copy; all others were verified before. It is given up only if one of
    /// those has vanished since and can no longer be made.
    Replaced(Forward),
    /// The recording is at its target. Only deletions remain.
    Committed(Committed),
}

/// A manifest before the commit, which can be undone.
#[derive(Debug)]
pub struct Open(Outline);

/// A manifest before the commit that is to be finished.
#[derive(Debug)]
pub struct Forward(Outline);

/// A manifest after the commit.
#[derive(Debug)]
pub struct Committed(Outline);

impl Stage {
    pub fn of(outline: Option<Outline>) -> Self {
        let Some(outline) = outline else {
            return Self::Untouched;
        };
        let main = &outline.main;
        if outline.committed {
            Self::Committed(Committed(outline))
        } else if main.phase == MovePhase::Copied && main.has_replaced() {
            Self::Replaced(Forward(outline))
        } else if outline.undone == outline.count {
            Self::Untouched
        } else if outline.undone > 0 {
            Self::HalfUndone(Open(outline))
        } else if outline.replaced > 0 {
            Self::Replacing(Open(outline))
        } else {
            Self::Open(Open(outline))
        }
    }
}

impl Open {
    pub fn outline(&self) -> &Outline {
        &self.0
    }

    /// Rules out undoing.
    pub fn forward(self) -> Forward {
        Forward(self.0)
    }
}

impl Forward {
    pub fn outline(&self) -> &Outline {
        &self.0
    }

    /// To be called once it is known that a copy is missing and cannot be made: it can be undone.
    pub fn back(self) -> Open {
        Open(self.0)
    }

    /// To be called once the commit is stored.
    pub fn commit(self) -> Committed {
        Committed(Outline {
            committed: true,
            ..self.0
        })
    }
}

impl Committed {
    pub fn outline(&self) -> &Outline {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::moves::{Move, Part, Source, Target};
    use crate::model::recording::Place;

    fn outline(phase: MovePhase, target: Target, undone: u32, committed: bool) -> Outline {
        let place = |key: &str| Place {
            bucket: "b".into(),
            key: key.into(),
        };
        Outline {
            count: 3,
            main: Move {
                number: 2,
                from: place("old"),
                to: place("new"),
                part: Part::Other,
                size: 1,
                etag: "source".into(),
                target,
                target_etag: None,
                upload: None,
                is_marked: false,
                source: Source::Goes,
                phase,
            },
            moved: 0,
            undone,
            replaced: 0,
            objects: 3,
            bytes: 3,
            committed,
            mark: "task_1.0.1".into(),
            replaces: None,
        }
    }

    #[test]
    fn what_may_be_undone_is_neither_committed_nor_in_the_place_of_what_it_replaced() {
        use MovePhase::{Copied, Kept, Moved, Planned, Undone};
        use Target::{Absent, Present, Replace};
        let stage = |phase, target, undone, committed| match Stage::of(Some(outline(
            phase, target, undone, committed,
        ))) {
            Stage::Untouched => "untouched",
            Stage::Open(_) => "open",
            Stage::HalfUndone(_) => "half undone",
            Stage::Replacing(_) => "replacing",
            Stage::Replaced(_) => "replaced",
            Stage::Committed(committed) => {
                assert!(committed.outline().committed);
                "committed"
            }
        };
        assert!(matches!(Stage::of(None), Stage::Untouched));
        for target in [Absent, Replace, Present] {
            assert_eq!(stage(Planned, target, 0, false), "open");
            assert_eq!(stage(Planned, target, 1, false), "half undone");
            assert_eq!(stage(Planned, target, 2, false), "half undone");
            assert_eq!(stage(Undone, target, 3, false), "untouched");
            assert_eq!(stage(Kept, target, 3, false), "untouched");
            for phase in [Planned, Copied, Moved] {
                assert_eq!(stage(phase, target, 0, true), "committed");
            }
        }
        for undone in [0, 1] {
            assert_eq!(stage(Copied, Replace, undone, false), "replaced");
        }
        assert_eq!(stage(Copied, Absent, 0, false), "open");
        assert_eq!(stage(Copied, Present, 1, false), "half undone");
    }

    #[test]
    fn move_that_has_replaced_an_object_is_told_from_one_that_has_not() {
        use MovePhase::{Copied, Planned, Undone};
        let stage = |phase, undone, committed| {
            let replacing = Outline {
                replaced: 1,
                ..outline(phase, Target::Replace, undone, committed)
            };
            Stage::of(Some(replacing))
        };
        assert!(matches!(stage(Planned, 0, false), Stage::Replacing(_)));
        assert!(matches!(stage(Planned, 1, false), Stage::HalfUndone(_)));
        assert!(matches!(stage(Undone, 3, false), Stage::Untouched));
        assert!(matches!(stage(Copied, 0, false), Stage::Replaced(_)));
        assert!(matches!(stage(Copied, 0, true), Stage::Committed(_)));
    }

    #[test]
    fn what_was_committed_says_so() {
        let open = Open(outline(MovePhase::Copied, Target::Absent, 0, false));
        assert!(open.forward().commit().outline().committed);
    }
}
