//! What may be done with one object of a move, given what a look found at both ends.

use super::{Move, MovePhase, Source, Target};

/// An object as a look finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes.
    pub size: u64,
    pub etag: String,
    /// The mark that a copy of ours carries until its move is complete; `None` also where
    /// the look does not show marks.
    pub mark: Option<String>,
    /// Whether it came out of the multipart upload that is noted for the move.
    pub is_from_upload: bool,
}

/// What stands at the source of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtSource {
    Nothing,
    /// What the manifest found.
    Same,
    Changed,
}

/// What stands at the target of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtTarget {
    Nothing,
    /// The copy that this move made.
    Ours,
    /// What the manifest found there and may be replaced.
    Replaceable,
    Stranger,
}

impl Move {
    /// What stands at the source.
    pub fn at_source(&self, found: Option<&Found>) -> AtSource {
        match found {
            None => AtSource::Nothing,
            Some(found) if found.etag == self.etag => AtSource::Same,
            Some(_) => AtSource::Changed,
        }
    }

    /// What stands at the target. `mark` is the manifest's.
    ///
    /// Nobody else's object is taken for our copy by chance: it has the ETag that the copy
    /// was answered with, or our mark, or came out of the upload that was noted, or has the
    /// source's own ETag, which is a digest of its content or, encrypted, like no other.
    pub fn at_target(&self, found: Option<&Found>, mark: &str) -> AtTarget {
        let Some(found) = found else {
            return AtTarget::Nothing;
        };
        let is_noted = self.target_etag.as_ref() == Some(&found.etag);
        // A copy that was asked for twice may arrive twice, with the same content and mark.
        let is_marked = found.mark.as_deref() == Some(&self.mark(mark));
        if is_marked || found.is_from_upload {
            AtTarget::Ours
        } else if self.phase != MovePhase::Planned {
            if is_noted {
                AtTarget::Ours
            } else {
                AtTarget::Stranger
            }
        } else if is_noted {
            AtTarget::Replaceable
        } else if (found.size, &found.etag) == (self.size, &self.etag) {
            AtTarget::Ours
        } else {
            AtTarget::Stranger
        }
    }

    /// The mark of this object's copy, given the manifest's.
    pub fn mark(&self, manifest: &str) -> String {
        format!("{manifest}.{}", self.number)
    }
}

/// What to do about a copy before the commit point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyNext {
    /// It is made.
    Made,
    Copy,
    /// A stranger's object stands at the target.
    Conflict,
    SourceChanged,
    SourceMissing,
}

/// What to do about the copy of an object.
pub fn copy_next(source: AtSource, target: AtTarget, overwrite: bool) -> CopyNext {
    match (target, source) {
        (AtTarget::Ours, _) => CopyNext::Made,
        (_, AtSource::Nothing) => CopyNext::SourceMissing,
        (_, AtSource::Changed) => CopyNext::SourceChanged,
        (AtTarget::Stranger, AtSource::Same) if !overwrite => CopyNext::Conflict,
        (_, AtSource::Same) => CopyNext::Copy,
    }
}

/// What to do about a source after the commit point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClearNext {
    /// The move is complete: nothing is left to delete, or what is there is not ours.
    Complete,
    Delete,
    /// The copy is gone and the source is still there: copy it again.
    CopyAgain,
    /// Something else stands at the target. The source stays until a person has decided.
    NotOurs,
    /// Neither the source nor its copy is there any more.
    Lost,
}

/// What to do about the source of an object whose recording is at its target.
///
/// Nothing is deleted unless its copy was seen in the same run.
pub fn clear_next(one: &Move, source: AtSource, target: AtTarget) -> ClearNext {
    let delete_only = one.target == Target::Present && one.target_etag.is_none();
    match (source, target) {
        // An outdated playlist, which has no copy.
        (AtSource::Same, _) if delete_only => ClearNext::Delete,
        (_, _) if delete_only => ClearNext::Complete,
        (AtSource::Same, AtTarget::Ours) if one.source == Source::Goes => ClearNext::Delete,
        (_, AtTarget::Ours) => ClearNext::Complete,
        (AtSource::Same, AtTarget::Nothing) => ClearNext::CopyAgain,
        (_, AtTarget::Nothing) => ClearNext::Lost,
        (_, AtTarget::Stranger | AtTarget::Replaceable) => ClearNext::NotOurs,
    }
}

/// What to do about a copy when a move is given up before its commit point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndoNext {
    Remove,
    /// It is the only one, as its source is gone or was written again, or what it replaced
    /// would not come back.
    Keep,
    /// There is none.
    Nothing,
}

/// What to do about the copy of an object that is given up, once no request that was sent for
/// it can arrive any more.
pub fn undo_next(one: &Move, source: AtSource, target: AtTarget) -> UndoNext {
    match (one.target, target, source) {
        (Target::Present, ..) => UndoNext::Nothing,
        (Target::Absent, AtTarget::Ours, AtSource::Same) => UndoNext::Remove,
        (_, AtTarget::Ours, _) => UndoNext::Keep,
        _ => UndoNext::Nothing,
    }
}
