//! The rename protocol as data and decisions: rows of the journal, stages of a manifest, what may
//! be done with each object, and which uses of a key exclude each other.
//!
//! Pure. `action::rename` inspects and acts, and the store stores; both ask here what to do.
//! `docs/MOVES.md` has a diagram, and a test explores every state that these functions can reach.

pub mod keys;
pub mod left;
pub mod object;
pub mod stage;

use super::id::TaskId;
use super::recording::Place;

/// The move of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Position in the manifest, from 0; a set's playlist is last.
    pub number: u32,
    pub from: Place,
    pub to: Place,
    pub part: Part,
    /// In bytes, from the manifest's survey.
    pub size: u64,
    /// The source's ETag, from the manifest's survey.
    pub etag: String,
    /// What was at the target when the manifest was made.
    pub target: Target,
    /// The verified copy's ETag, which identifies it as ours. Before that, the ETag of an object
    /// that may be replaced: the target's old one, or an earlier copy of this move that an
    /// inspection missed.
    pub target_etag: Option<String>,
    /// The open multipart upload.
    pub upload: Option<String>,
    /// Whether the copy carries our mark, which is removed before the move is complete.
    pub is_marked: bool,
    /// What happens to the source after the commit.
    pub source: Source,
    pub phase: MovePhase,
}

impl Move {
    /// Whether it makes no copy, and only deletes or leaves its source: an outdated playlist, or an
    /// object that a replaced recording had in addition.
    pub fn only_goes(&self) -> bool {
        self.target == Target::Present && self.target_etag.is_none()
    }

    /// Whether a copy of the step is in the place of what it has replaced: to give the move up would
    /// not bring that back.
    pub fn has_replaced(&self) -> bool {
        use MovePhase::{Copied, Kept, Moved, Planned, Undone};
        match (self.target, self.phase) {
            (Target::Replace, Copied | Moved | Kept) => true,
            (Target::Again, phase) => phase != Undone,
            (Target::Replace, Planned | Undone) | (Target::Absent | Target::Present, _) => false,
        }
    }
}

/// Summary of a step's moves: a long recording has too many to hold them all in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub count: u32,
    /// The last move, of the named object.
    pub main: Move,
    pub moved: u32,
    pub undone: u32,
    /// How many have put a copy in the place of an object that they replaced.
    pub replaced: u32,
    /// How many move an object. The others only delete something outdated.
    pub objects: u32,
    /// Total size of the objects.
    pub bytes: u64,
    /// Whether the commit is stored.
    pub committed: bool,
    /// Unique text in the marks of this manifest's copies.
    pub mark: String,
    /// The task that moved the recording to the target which is replaced there, where one did.
    pub replaces: Option<TaskId>,
}

impl Outline {
    pub fn is_set(&self) -> bool {
        self.count > 1
    }
}

/// An object's role in its recording. Decided once, by the survey: the key may not show it, least
/// of all the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One of many media segments, which recorders name alike.
    Segment,
    /// A playlist that names the others.
    Playlist,
    /// Anything else: an encryption key, an init segment, a single object.
    Other,
}

/// Targets of a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The target in the rule.
    pub asked: Place,
    /// With `on_conflict: keep_both`, the name to use if `asked` is taken.
    pub other_name: Option<Place>,
}

impl Targets {
    /// Whether a recording at this place needs no move. Also if it has the other name and the first
    /// one is free by now: running the step again changes nothing.
    pub fn have(&self, place: &Place) -> bool {
        self.asked == *place || self.other_name.as_ref() == Some(place)
    }
}

/// What the manifest found at a target, which decides what may be done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nothing: an object that appears there and is not our copy is a stranger's.
    Absent,
    /// An object that may be replaced, because of `on_conflict: overwrite`, or because an earlier
    /// move of the same recording put it there.
    Replace,
    /// A copy that an earlier manifest of the step has put in the place of an object: it may be
    /// replaced again.
    Again,
    /// The object itself, from an earlier move of the same recording: nothing to copy.
    Present,
}

/// A completed move of any task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    pub task: TaskId,
    pub one: Move,
    /// Whether that task's event names the same key.
    pub is_of_this_key: bool,
    pub job: SameJob,
    /// Whether the event that asks had come before that move was planned.
    pub was_announced: bool,
}

impl MadeBy {
    /// Whether what another recording's task took along from the key of the event that asks is what
    /// this event announced. Of another job, only what had been announced by then.
    pub fn took_what_is_announced(&self) -> bool {
        !self.is_of_this_key && (self.job != SameJob::No || self.was_announced)
    }

    /// Whether an object that it moved may also be this recording's `part`. If another job recorded
    /// under the same key, that is another recording, and segments are never shared with it. An
    /// init segment or an encryption key may be.
    pub fn may_be_shared(&self, part: Part) -> bool {
        match self.job {
            SameJob::Yes | SameJob::Unknown => true,
            SameJob::No => !self.is_of_this_key && part == Part::Other,
        }
    }

    /// Whether it made the object at this place, with this ETag, from one with the ETag `from`.
    pub fn made(&self, from: &str, to: (&Place, &str)) -> bool {
        let (place, etag) = to;
        self.one.etag == from
            && self.one.to == *place
            && self.one.target_etag.as_deref() == Some(etag)
    }
}

/// A completed move of an earlier step for the same named key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub one: Move,
    pub job: SameJob,
}

/// Whether two events belong to one job of the recorder. If so, the same key means the same
/// recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SameJob {
    Yes,
    No,
    /// At least one of them names no job.
    #[default]
    Unknown,
}

impl SameJob {
    pub fn of(one: Option<&str>, other: Option<&str>) -> Self {
        match (one, other) {
            (Some(one), Some(other)) if one == other => Self::Yes,
            (Some(_), Some(_)) => Self::No,
            _ => Self::Unknown,
        }
    }
}

/// Whether new content at a key may replace what an earlier move of that key made: only if it is
/// the same recording, grown. `holds`: whether the new content names everything that the old one
/// names; `None` if unknown.
pub fn renews(job: SameJob, holds: Option<bool>) -> bool {
    match (job, holds) {
        (SameJob::No, _) | (_, Some(false)) | (SameJob::Unknown, None) => false,
        (SameJob::Yes, _) | (SameJob::Unknown, Some(true)) => true,
    }
}

/// What happens to a source after the commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Source {
    #[default]
    Goes,
    /// Other playlists name it too: the last recording that names it deletes it.
    Shared,
    /// It belongs to another recording and is left.
    Stays,
}

impl Source {
    pub fn used(self) -> keys::Use {
        match self {
            Self::Goes => keys::Use::Takes,
            Self::Shared | Self::Stays => keys::Use::Reads,
        }
    }
}

/// How far the move of one object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MovePhase {
    /// In the manifest; a copy may have been started.
    Planned,
    /// The copy is verified.
    Copied,
    /// Complete: the source is deleted, or left for good.
    Moved,
    /// Given up before the commit; a copy, if there was one, is removed.
    Undone,
    /// Given up before the commit, and the copy is left: its source is gone or was written again,
    /// or the copy replaced another object.
    Kept,
}

impl MovePhase {
    pub const ALL: [Self; 5] = [
        Self::Planned,
        Self::Copied,
        Self::Moved,
        Self::Undone,
        Self::Kept,
    ];

    /// The name in rows and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Copied => "copied",
            Self::Moved => "moved",
            Self::Undone => "undone",
            Self::Kept => "kept",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_compared_only_where_both_are_named() {
        for (one, other, is) in [
            (Some("a"), Some("a"), SameJob::Yes),
            (Some("a"), Some("b"), SameJob::No),
            (Some("a"), None, SameJob::Unknown),
            (None, Some("a"), SameJob::Unknown),
            (None, None, SameJob::Unknown),
        ] {
            assert_eq!(SameJob::of(one, other), is, "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_another_recording_took_along_is_what_was_announced_before_or_of_no_other_job() {
        let place = Place {
            bucket: "b".into(),
            key: "k".into(),
        };
        let one = Move {
            number: 0,
            from: place.clone(),
            to: place,
            part: Part::Playlist,
            size: 1,
            etag: "e".into(),
            target: Target::Absent,
            target_etag: None,
            upload: None,
            is_marked: false,
            source: Source::Goes,
            phase: MovePhase::Moved,
        };
        for (job, was_announced, is_it) in [
            (SameJob::Yes, false, true),
            (SameJob::Unknown, false, true),
            (SameJob::No, true, true),
            (SameJob::No, false, false),
        ] {
            for is_of_this_key in [false, true] {
                let made = MadeBy {
                    task: TaskId::from_bytes([0; 16]),
                    one: one.clone(),
                    is_of_this_key,
                    job,
                    was_announced,
                };
                let expected = is_it && !is_of_this_key;
                let label = format!("{job:?} {was_announced} {is_of_this_key}");
                assert_eq!(made.took_what_is_announced(), expected, "{label}");
            }
        }
    }

    #[test]
    fn only_the_same_recording_that_has_grown_renews_what_was_moved() {
        for (job, holds, renewed) in [
            (SameJob::Yes, Some(true), true),
            (SameJob::Yes, None, true),
            (SameJob::Yes, Some(false), false),
            (SameJob::Unknown, Some(true), true),
            (SameJob::Unknown, None, false),
            (SameJob::Unknown, Some(false), false),
            (SameJob::No, Some(true), false),
            (SameJob::No, None, false),
            (SameJob::No, Some(false), false),
        ] {
            assert_eq!(renews(job, holds), renewed, "{job:?} {holds:?}");
        }
    }
}
