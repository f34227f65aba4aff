//! What may be done with one object of a move, given the objects at source and target.

use super::{Move, MovePhase, Source, Target};

/// An object as an inspection finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In bytes.
    pub size: u64,
    pub etag: String,
    /// The mark that our copy carries until its move is complete; also `None` if the request does
    /// not return marks.
    pub mark: Option<String>,
    /// Whether it is the result of the multipart upload in the journal.
    pub is_from_upload: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtSource {
    Nothing,
    /// Unchanged since the manifest.
    Same,
    Changed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtTarget {
    Nothing,
    /// This move's copy.
    Ours,
    /// The object that the manifest found there and may replace.
    Replaceable,
    Stranger,
}

impl Move {
    pub fn at_source(&self, found: Option<&Found>) -> AtSource {
        match found {
            None => AtSource::Nothing,
            Some(found) if found.etag == self.etag => AtSource::Same,
            Some(_) => AtSource::Changed,
        }
    }

    /// What is at the target. `mark` is the manifest's.
    ///
    /// An object is never mistaken for our copy by chance. Ours has the ETag that the copy request
    /// returned, or our mark, or comes from the upload in the journal, or has the source's ETag,
    /// which is a digest of the content or, if encrypted, unique.
    pub fn at_target(&self, found: Option<&Found>, mark: &str) -> AtTarget {
        let Some(found) = found else {
            return AtTarget::Nothing;
        };
        let is_noted = self.target_etag.as_ref() == Some(&found.etag);
        // A copy that was requested twice may arrive twice, with the same content and mark.
        let is_marked = found.mark.as_deref() == Some(&self.mark(mark));
        if is_marked || found.is_from_upload {
            AtTarget::Ours
        } else if self.phase != MovePhase::Planned {
            if is_noted {
                AtTarget::Ours
            } else {
                AtTarget::Stranger
            }
        } else if is_noted && matches!(self.target, Target::Replace | Target::Again) {
            AtTarget::Replaceable
        } else if is_noted || (found.size, &found.etag) == (self.size, &self.etag) {
            // The target was empty, so this is our copy, which an inspection missed, or which was
            // repeated without a response.
            AtTarget::Ours
        } else {
            AtTarget::Stranger
        }
    }

    /// The move whose copy was made onto this. What has come to the target since the manifest was made,
    /// and was overwritten, is replaced, too.
    #[must_use]
    pub fn onto(self, found: AtTarget) -> Self {
        match found {
            AtTarget::Stranger if self.target == Target::Absent => Self {
                target: Target::Replace,
                ..self
            },
            _ => self,
        }
    }

    pub fn mark(&self, manifest: &str) -> String {
        format!("{manifest}.{}", self.number)
    }
}

/// What to do about a copy before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyNext {
    /// The copy exists.
    Made,
    Copy,
    /// A stranger's object is at the target.
    Conflict,
    SourceChanged,
    SourceMissing,
}

pub fn copy_next(source: AtSource, target: AtTarget, overwrite: bool) -> CopyNext {
    match (target, source) {
        (AtTarget::Ours, _) => CopyNext::Made,
        (_, AtSource::Nothing) => CopyNext::SourceMissing,
        (_, AtSource::Changed) => CopyNext::SourceChanged,
        (AtTarget::Stranger, AtSource::Same) if !overwrite => CopyNext::Conflict,
        (_, AtSource::Same) => CopyNext::Copy,
    }
}

/// What to do about a source after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClearNext {
    /// Nothing is left to delete, or what is there is not ours.
    Complete,
    Delete,
    /// The copy is gone, but the source is still there.
    CopyAgain,
    /// Another object is at the target. The source stays until a person decides.
    NotOurs,
    /// Both the source and its copy are gone.
    Lost,
}

/// What to do about a source after the commit. Nothing is deleted unless its copy was seen in the
/// same run.
pub fn clear_next(one: &Move, source: AtSource, target: AtTarget) -> ClearNext {
    match (source, target) {
        (AtSource::Same, _) if one.only_goes() && one.source == Source::Goes => ClearNext::Delete,
        (_, _) if one.only_goes() => ClearNext::Complete,
        (AtSource::Same, AtTarget::Ours) if one.source == Source::Goes => ClearNext::Delete,
        (_, AtTarget::Ours) => ClearNext::Complete,
        (AtSource::Same, AtTarget::Nothing) => ClearNext::CopyAgain,
        (_, AtTarget::Nothing) => ClearNext::Lost,
        (_, AtTarget::Stranger | AtTarget::Replaceable) => ClearNext::NotOurs,
    }
}

/// What to do about a source whose copy was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceNext {
    Delete,
    Leave,
    /// Delete it unless another task reads it: then this is the last recording that names it.
    DeleteUnlessRead,
}

/// What to do about a source after the commit, once the recording's own old playlists are gone.
/// `is_named`: whether another playlist names it. Of the recordings that share an object, the last
/// to ask finds no such playlist.
pub fn source_next(source: Source, is_named: bool) -> SourceNext {
    match (source, is_named) {
        (Source::Goes, false) => SourceNext::Delete,
        (Source::Shared, false) => SourceNext::DeleteUnlessRead,
        (Source::Goes | Source::Shared, true) | (Source::Stays, _) => SourceNext::Leave,
    }
}

/// What to do about a copy when its move is given up before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndoNext {
    Remove,
    /// The only copy left, as its source is gone or was written again, or it replaced an object
    /// that cannot be restored.
    Keep,
    /// There is no copy.
    Nothing,
}

/// What to do about the copy of an object that is given up, once none of its requests can still
/// arrive.
pub fn undo_next(one: &Move, source: AtSource, target: AtTarget) -> UndoNext {
    match (one.target, target, source) {
        (Target::Present, ..) => UndoNext::Nothing,
        (Target::Absent, AtTarget::Ours, AtSource::Same) => UndoNext::Remove,
        (_, AtTarget::Ours, _) | (Target::Again, AtTarget::Replaceable, _) => UndoNext::Keep,
        _ => UndoNext::Nothing,
    }
}

/// Whether the copy of an object is made or can be: a move that has replaced something goes on to its
/// commit point as long as this is so of all of its objects.
pub fn can_be_copied(source: AtSource, target: AtTarget) -> bool {
    let next = copy_next(source, target, false);
    matches!(next, CopyNext::Made | CopyNext::Copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::moves::Part;
    use crate::model::recording::Place;

    const MARK: &str = "task_1.0.1";

    fn place(key: &str) -> Place {
        Place {
            bucket: "b".into(),
            key: key.into(),
        }
    }

    fn one() -> Move {
        Move {
            number: 3,
            from: place("old"),
            to: place("new"),
            part: Part::Other,
            size: 5,
            etag: "source".into(),
            target: Target::Absent,
            target_etag: None,
            upload: None,
            is_marked: false,
            source: Source::Goes,
            phase: MovePhase::Planned,
        }
    }

    fn found(etag: &str) -> Found {
        Found {
            size: 5,
            etag: etag.into(),
            ..Found::default()
        }
    }

    #[test]
    fn source_is_the_same_only_with_its_etag() {
        let one = one();
        assert_eq!(one.at_source(None), AtSource::Nothing);
        assert_eq!(one.at_source(Some(&found("source"))), AtSource::Same);
        assert_eq!(one.at_source(Some(&found("other"))), AtSource::Changed);
    }

    /// An encrypted copy has another ETag than its source, and it is unknown until it is stored.
    #[test]
    fn object_is_our_copy_only_on_evidence_that_nobody_else_has_by_chance() {
        let planned = one();
        let replaces = Move {
            target: Target::Replace,
            target_etag: Some("noted".into()),
            ..one()
        };
        let copied = Move {
            phase: MovePhase::Copied,
            ..replaces.clone()
        };
        let marked = |mark: &str| Found {
            mark: Some(mark.into()),
            ..found("other")
        };
        let uploaded = Found {
            is_from_upload: true,
            ..found("other")
        };
        let shorter = Found {
            size: 4,
            ..found("source")
        };
        let again = Move {
            target: Target::Absent,
            ..replaces.clone()
        };
        for one in [&planned, &replaces, &copied, &again] {
            assert_eq!(one.at_target(None, MARK), AtTarget::Nothing);
            for (there, is) in [
                (marked("task_1.0.1.3"), AtTarget::Ours),
                (uploaded.clone(), AtTarget::Ours),
                (marked("task_1.0.1.4"), AtTarget::Stranger),
                (marked("task_1.0.2.3"), AtTarget::Stranger),
                (found("other"), AtTarget::Stranger),
                (shorter.clone(), AtTarget::Stranger),
            ] {
                assert_eq!(one.at_target(Some(&there), MARK), is, "{one:?} {there:?}");
            }
        }
        for (one, etag, is) in [
            (&planned, "source", AtTarget::Ours),
            (&replaces, "source", AtTarget::Ours),
            // The copy's own ETag counts more than the source's.
            (&copied, "source", AtTarget::Stranger),
            (&planned, "noted", AtTarget::Stranger),
            (&replaces, "noted", AtTarget::Replaceable),
            (&copied, "noted", AtTarget::Ours),
            // The target was empty: this is the ETag of an earlier copy.
            (&again, "noted", AtTarget::Ours),
        ] {
            let there = found(etag);
            assert_eq!(one.at_target(Some(&there), MARK), is, "{one:?} {etag}");
        }
    }

    #[test]
    fn copy_is_made_only_of_the_object_that_was_surveyed_and_never_over_a_strangers() {
        use AtSource::{Changed, Nothing as Gone, Same};
        use AtTarget::{Nothing, Ours, Replaceable, Stranger};
        use CopyNext::{Conflict, Copy, Made, SourceChanged, SourceMissing};
        for (target, same, changed, gone) in [
            (Nothing, Copy, SourceChanged, SourceMissing),
            (Ours, Made, Made, Made),
            (Replaceable, Copy, SourceChanged, SourceMissing),
            (Stranger, Conflict, SourceChanged, SourceMissing),
        ] {
            for (source, next) in [(Same, same), (Changed, changed), (Gone, gone)] {
                assert_eq!(
                    copy_next(source, target, false),
                    next,
                    "{source:?} {target:?}"
                );
                let next = if next == Conflict { Copy } else { next };
                assert_eq!(
                    copy_next(source, target, true),
                    next,
                    "{source:?} {target:?}"
                );
            }
        }
    }

    #[test]
    fn source_is_deleted_only_beside_our_copy_and_only_as_it_was_surveyed() {
        use AtSource::{Changed, Nothing as Gone, Same};
        use AtTarget::{Nothing, Ours, Replaceable, Stranger};
        use ClearNext::{Complete, CopyAgain, Delete, Lost, NotOurs};
        let goes = one();
        let present = Move {
            target: Target::Present,
            target_etag: Some("noted".into()),
            ..one()
        };
        let stays = Move {
            source: Source::Stays,
            ..one()
        };
        for (target, same, changed, gone) in [
            (Ours, Delete, Complete, Complete),
            (Nothing, CopyAgain, Lost, Lost),
            (Replaceable, NotOurs, NotOurs, NotOurs),
            (Stranger, NotOurs, NotOurs, NotOurs),
        ] {
            for (source, next) in [(Same, same), (Changed, changed), (Gone, gone)] {
                let seen = format!("{source:?} {target:?}");
                assert_eq!(clear_next(&goes, source, target), next, "{seen}");
                assert_eq!(clear_next(&present, source, target), next, "{seen}");
                let next = if next == Delete { Complete } else { next };
                assert_eq!(clear_next(&stays, source, target), next, "{seen}");
            }
        }
    }

    /// An outdated object is not copied, so its target does not matter.
    #[test]
    fn what_is_outdated_is_deleted_only_as_it_was_surveyed_and_if_it_goes() {
        let outdated = Move {
            target: Target::Present,
            ..one()
        };
        for target in [AtTarget::Nothing, AtTarget::Ours, AtTarget::Stranger] {
            for (source, next) in [
                (AtSource::Same, ClearNext::Delete),
                (AtSource::Changed, ClearNext::Complete),
                (AtSource::Nothing, ClearNext::Complete),
            ] {
                assert_eq!(clear_next(&outdated, source, target), next, "{source:?}");
                for becomes in [Source::Shared, Source::Stays] {
                    let left = Move {
                        source: becomes,
                        ..outdated.clone()
                    };
                    let next = clear_next(&left, source, target);
                    assert_eq!(next, ClearNext::Complete, "{source:?} {becomes:?}");
                }
            }
        }
    }

    #[test]
    fn copy_is_removed_only_while_its_source_is_there_and_if_it_replaced_nothing() {
        use AtSource::{Changed, Nothing as Gone, Same};
        use AtTarget::{Nothing as None, Ours, Replaceable, Stranger};
        use UndoNext::{Keep, Nothing, Remove};
        for target in [
            Target::Absent,
            Target::Replace,
            Target::Again,
            Target::Present,
        ] {
            let one = Move { target, ..one() };
            for source in [Same, Changed, Gone] {
                let next = match (target, source) {
                    (Target::Present, _) => Nothing,
                    (Target::Absent, Same) => Remove,
                    _ => Keep,
                };
                assert_eq!(undo_next(&one, source, Ours), next, "{target:?} {source:?}");
                for there in [None, Stranger] {
                    assert_eq!(undo_next(&one, source, there), Nothing, "{there:?}");
                }
                let earlier = match target {
                    Target::Again => Keep,
                    _ => Nothing,
                };
                let next = undo_next(&one, source, Replaceable);
                assert_eq!(next, earlier, "{target:?} {source:?}");
            }
        }
    }

    #[test]
    fn copy_can_be_made_while_its_source_is_as_it_was_and_no_stranger_is_in_its_way() {
        use AtSource::{Changed, Nothing as Gone, Same};
        use AtTarget::{Nothing, Ours, Replaceable, Stranger};
        for (target, same, otherwise) in [
            (Nothing, true, false),
            (Ours, true, true),
            (Replaceable, true, false),
            (Stranger, false, false),
        ] {
            assert_eq!(can_be_copied(Same, target), same, "{target:?}");
            for source in [Changed, Gone] {
                let can = can_be_copied(source, target);
                assert_eq!(can, otherwise, "{source:?} {target:?}");
            }
        }
    }
}
