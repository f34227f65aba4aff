//! The rename protocol as data and decisions: rows of the journal, stages of a manifest, what may
//! be done with each object, and which uses of a key exclude each other.
//!
//! Pure. `action::rename` inspects and acts, and the store stores; both ask here what to do.
//! `docs/MOVES.md` has a diagram, and a test explores every state that these functions can reach.

pub mod keys;
pub mod left;
pub mod object;
pub mod stage;
pub mod whose;

use self::whose::Since;
use super::id::TaskId;
use super::recording::{Origin, Place};

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
    /// Of another key, only the jobs are compared: the playlists of one job need not begin at once.
    pub origin: SameOrigin,
    /// Whether it moved its recording from where that was recorded. A later move of it starts where an
    /// earlier one has put it, so what another recorder writes there is something else.
    pub is_from_named: bool,
    /// Whether the event that asks had come before that move was planned.
    pub was_announced: bool,
    /// What the key of the event that asks was used for since.
    pub since: Since,
}

impl MadeBy {
    /// Whether what another recording's task took along from the key of the event that asks is what
    /// this event announced. Of another job, only what had been announced by then.
    pub fn took_what_is_announced(&self) -> bool {
        self.is_from_named
            && !self.is_of_this_key
            && (self.origin != SameOrigin::No || self.was_announced)
    }

    /// Whether an object that it moved may also be this recording's `part`. Another recording under
    /// the same key shares nothing with it, nor does one that a move had put there. Another job's
    /// recording under another key may share an init segment or an encryption key, but no segments.
    pub fn may_be_shared(&self, part: Part) -> bool {
        if self.is_of_this_key {
            return self.origin != SameOrigin::No;
        }
        self.is_from_named && (self.origin != SameOrigin::No || part == Part::Other)
    }

    /// Whether it made the object at this place, with this ETag, from one with the ETag `from`.
    pub fn made(&self, from: &str, to: (&Place, &str)) -> bool {
        let (place, etag) = to;
        self.one.etag == from && self.put(place, etag)
    }

    /// Whether it made the object at this place, with this ETag.
    pub fn put(&self, place: &Place, etag: &str) -> bool {
        self.one.to == *place && self.one.target_etag.as_deref() == Some(etag)
    }
}

/// A completed move of an earlier step for the same named key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub one: Move,
    pub origin: SameOrigin,
}

/// What another recording's task has put at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBy {
    pub task: TaskId,
    /// The ETag of its copy.
    pub etag: String,
}

/// Whether two events with one key are about the same recording, from the surest answer to the
/// opposite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SameOrigin {
    /// One job, and one start.
    Yes,
    /// One job, and at least one of them names no start.
    Likely,
    /// At least one of them names no job.
    #[default]
    Unknown,
    No,
}

impl SameOrigin {
    pub fn of(one: Option<&Origin>, other: Option<&Origin>) -> Self {
        let (Some(one), Some(other)) = (one, other) else {
            return Self::Unknown;
        };
        match (one.start, other.start) {
            _ if one.job != other.job => Self::No,
            (Some(one), Some(other)) if one != other => Self::No,
            (Some(_), Some(_)) => Self::Yes,
            _ => Self::Likely,
        }
    }

    /// Of events with two keys: whether they are of one job.
    pub fn of_job(one: Option<&Origin>, other: Option<&Origin>) -> Self {
        match (one, other) {
            (Some(one), Some(other)) if one.job == other.job => Self::Likely,
            (Some(_), Some(_)) => Self::No,
            _ => Self::Unknown,
        }
    }
}

/// Whether new content at a key may replace what an earlier move of that key made: only if it is
/// the same recording, grown. `holds`: whether the new content names everything that the old one
/// names; `None` for media, which names nothing. A recorder that appends does not write media again, so
/// media with other content is taken for another recording's unless job and start say otherwise.
pub fn renews(origin: SameOrigin, holds: Option<bool>) -> bool {
    match (origin, holds) {
        (SameOrigin::No, _)
        | (_, Some(false))
        | (SameOrigin::Likely | SameOrigin::Unknown, None) => false,
        (SameOrigin::Yes, _) | (_, Some(true)) => true,
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
    use crate::model::time::Timestamp;

    #[test]
    fn only_one_job_with_one_start_is_surely_the_same_recording() {
        let origin = |job: &str, start: Option<i64>| Origin {
            job: job.to_owned(),
            start: start.map(Timestamp::from_millis),
        };
        let a = |start| Some(origin("a", start));
        for (one, other, is, of_job) in [
            (a(Some(1)), a(Some(1)), SameOrigin::Yes, SameOrigin::Likely),
            (a(Some(1)), a(Some(2)), SameOrigin::No, SameOrigin::Likely),
            (a(Some(1)), a(None), SameOrigin::Likely, SameOrigin::Likely),
            (a(None), a(None), SameOrigin::Likely, SameOrigin::Likely),
            (
                a(Some(1)),
                Some(origin("b", Some(1))),
                SameOrigin::No,
                SameOrigin::No,
            ),
            (
                a(None),
                Some(origin("b", None)),
                SameOrigin::No,
                SameOrigin::No,
            ),
            (a(Some(1)), None, SameOrigin::Unknown, SameOrigin::Unknown),
            (None, None, SameOrigin::Unknown, SameOrigin::Unknown),
        ] {
            for (one, other) in [(&one, &other), (&other, &one)] {
                let (one, other) = (one.as_ref(), other.as_ref());
                assert_eq!(SameOrigin::of(one, other), is, "{one:?} {other:?}");
                assert_eq!(SameOrigin::of_job(one, other), of_job, "{one:?} {other:?}");
            }
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
        for (origin, was_announced, is_it) in [
            (SameOrigin::Likely, false, true),
            (SameOrigin::Unknown, false, true),
            (SameOrigin::No, true, true),
            (SameOrigin::No, false, false),
        ] {
            for (is_of_this_key, is_from_named) in [(false, true), (false, false), (true, true)] {
                let made = MadeBy {
                    task: TaskId::from_bytes([0; 16]),
                    one: one.clone(),
                    is_of_this_key,
                    is_from_named,
                    origin,
                    was_announced,
                    since: Since::Nothing,
                };
                let expected = is_it && !is_of_this_key && is_from_named;
                let label = format!("{origin:?} {was_announced} {is_of_this_key} {is_from_named}");
                assert_eq!(made.took_what_is_announced(), expected, "{label}");
            }
        }
    }

    #[test]
    fn only_the_same_recording_that_has_grown_renews_what_was_moved() {
        for (origin, holds, renewed) in [
            (SameOrigin::Yes, Some(true), true),
            (SameOrigin::Yes, None, true),
            (SameOrigin::Yes, Some(false), false),
            (SameOrigin::Likely, Some(true), true),
            (SameOrigin::Likely, None, false),
            (SameOrigin::Likely, Some(false), false),
            (SameOrigin::Unknown, Some(true), true),
            (SameOrigin::Unknown, None, false),
            (SameOrigin::Unknown, Some(false), false),
            (SameOrigin::No, Some(true), false),
            (SameOrigin::No, None, false),
            (SameOrigin::No, Some(false), false),
        ] {
            assert_eq!(renews(origin, holds), renewed, "{origin:?} {holds:?}");
        }
    }
}
