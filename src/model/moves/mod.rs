//! The protocol of a rename, as data and decisions: the journal's rows, the stages of a
//! manifest, what may be done with each object, and which uses of a key exclude each other.
//!
//! Pure. `action::rename` looks and acts, the store keeps; both ask here what follows from
//! what they know. `docs/MOVES.md` has the picture, and a test explores every state that
//! these functions can lead to.

pub mod keys;
pub mod object;
pub mod stage;

use super::id::TaskId;
use super::recording::Place;

/// One object of a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its place in the manifest, from 0; the playlist of a set is the last one.
    pub number: u32,
    pub from: Place,
    pub to: Place,
    pub part: Part,
    /// Bytes, as the manifest found it.
    pub size: u64,
    /// The source's ETag, as the manifest found it.
    pub etag: String,
    /// What stood at the target when the manifest was made.
    pub target: Target,
    /// The copy's ETag, once it is verified: what tells our copy from a stranger's.
    /// Until then the ETag of what may be replaced: what stood there, or the move's own earlier
    /// copy that a look has missed.
    pub target_etag: Option<String>,
    /// The multipart upload that is open for it.
    pub upload: Option<String>,
    /// Whether the copy carries our mark, which is removed before the move is complete.
    pub is_marked: bool,
    /// What becomes of the source once the recording is at its new place.
    pub source: Source,
    pub phase: MovePhase,
}

impl Move {
    /// Whether it has no copy, and only deletes what is at its source, or leaves it: an outdated
    /// playlist, or what a recording that was replaced had more.
    pub fn only_goes(&self) -> bool {
        self.target == Target::Present && self.target_etag.is_none()
    }
}

/// What the moves of one step are together: enough to tell how far it is without reading
/// them all, as those of a long recording are too many to be held at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub count: u32,
    /// The last move: the named object's.
    pub main: Move,
    /// How many are complete.
    pub moved: u32,
    /// How many were given up.
    pub undone: u32,
    /// How many carry an object; one that does not only deletes what is outdated.
    pub objects: u32,
    /// The objects' sizes together.
    pub bytes: u64,
    /// Whether "the recording is at its target" is stored: the commit point.
    pub committed: bool,
    /// Names this manifest and no other, in the marks of its copies.
    pub mark: String,
}

impl Outline {
    /// Whether more than one object moves.
    pub fn is_set(&self) -> bool {
        self.count > 1
    }
}

/// What an object is to its recording. Decided once, when the recording is surveyed: keys
/// say too little, and a target's key may say nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A media segment among others of its kind: recorders write these all alike.
    Segment,
    /// A playlist that names the others.
    Playlist,
    /// Anything else: a key, an init segment, an object on its own.
    Other,
}

/// Where a move may lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Where the rule says.
    pub asked: Place,
    /// With `on_conflict: keep_both`, the name that it takes where that is taken.
    pub other_name: Option<Place>,
}

impl Targets {
    /// Whether a recording at this place has nowhere to move: it is at one of them. A step that
    /// is run again changes nothing, also where the name that was taken then is free by now.
    pub fn have(&self, place: &Place) -> bool {
        self.asked == *place || self.other_name.as_ref() == Some(place)
    }
}

/// What a manifest found at a target, and thus what may be done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nothing: whatever appears there without our doing is a stranger's.
    Absent,
    /// An object that the rule's `on_conflict: overwrite` lets us replace, or that
    /// an earlier move of the same recording put there.
    Replace,
    /// The object is there already by an earlier move of the same recording: nothing to copy.
    Present,
}

/// A completed move that any step of any task made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    pub task: TaskId,
    pub one: Move,
    /// Whether the event of that task names the same key.
    pub is_of_this_key: bool,
    pub job: SameJob,
}

impl MadeBy {
    /// Whether what it took along may be what this recording names as its `part`. What another
    /// job recorded under the same key is another recording, and its segments are others
    /// wherever they are named. An init segment or a key may be one for all.
    pub fn may_be_shared(&self, part: Part) -> bool {
        match self.job {
            SameJob::Yes | SameJob::Unknown => true,
            SameJob::No => !self.is_of_this_key && part == Part::Other,
        }
    }

    /// Whether it made the object at this place, which has this ETag, of one that had the ETag
    /// `from`.
    pub fn made(&self, from: &str, to: (&Place, &str)) -> bool {
        let (place, etag) = to;
        self.one.etag == from
            && self.one.to == *place
            && self.one.target_etag.as_deref() == Some(etag)
    }
}

/// A completed move that an earlier step of the same named key made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub one: Move,
    pub job: SameJob,
}

/// Whether two events are of one job of the recorder, which tells whether a key that is named
/// again names the same recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SameJob {
    Yes,
    No,
    /// One of them names no job.
    #[default]
    Unknown,
}

impl SameJob {
    /// Of the jobs that two events name.
    pub fn of(one: Option<&str>, other: Option<&str>) -> Self {
        match (one, other) {
            (Some(one), Some(other)) if one == other => Self::Yes,
            (Some(_), Some(_)) => Self::No,
            _ => Self::Unknown,
        }
    }
}

/// Whether what was written at a key again may replace what an earlier move of that key made:
/// only the same recording that has grown. `holds`: whether the new content names all that the
/// old one names; `None` when it is unknown.
pub fn renews(job: SameJob, holds: Option<bool>) -> bool {
    match (job, holds) {
        (SameJob::No, _) | (_, Some(false)) | (SameJob::Unknown, None) => false,
        (SameJob::Yes, _) | (SameJob::Unknown, Some(true)) => true,
    }
}

/// What becomes of a source after the commit point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// It is deleted.
    #[default]
    Goes,
    /// Other playlists name it, too: it goes with the last recording that names it.
    Shared,
    /// It belongs to another recording and is left.
    Stays,
}

impl Source {
    /// The use that a move makes of such a source.
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
    /// The copy is there and verified.
    Copied,
    /// The source is deleted, or left for good: this object's move is complete.
    Moved,
    /// Given up before the commit point; the copy, if any, is removed.
    Undone,
    /// Given up before the commit point, and the copy is left: its source is gone or was
    /// written again, or it replaced what stood there.
    Kept,
}

impl MovePhase {
    /// Every phase.
    pub const ALL: [Self; 5] = [
        Self::Planned,
        Self::Copied,
        Self::Moved,
        Self::Undone,
        Self::Kept,
    ];

    /// The phase's one spelling in rows and JSON.
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
