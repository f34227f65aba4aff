//! The journal of a rename: one row for each object that moves.
//!
//! Stored before the first copy and kept after the task: resuming, undoing and
//! "what moved where" all read the same rows.

use super::recording::Place;

/// One object of a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its place in the manifest, from 0; the playlist of a set is the last one.
    pub number: u32,
    pub from: Place,
    pub to: Place,
    /// Bytes, as the manifest found it.
    pub size: u64,
    /// The source's ETag, as the manifest found it.
    pub etag: String,
    /// What stood at the target when the manifest was made.
    pub target: Target,
    /// The copy's ETag, once it is verified: what tells our copy from a stranger's.
    /// Until then, of a target that may be replaced: the ETag of what may be replaced.
    pub target_etag: Option<String>,
    /// The multipart upload that is open for it.
    pub upload: Option<String>,
    pub phase: MovePhase,
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
    /// How many carry an object; one that does not only deletes an outdated playlist.
    pub objects: u32,
    /// The objects' sizes together.
    pub bytes: u64,
}

impl Outline {
    /// Whether more than one object moves.
    pub fn is_set(&self) -> bool {
        self.count > 1
    }
}

/// What a manifest found at a target, and thus what may be done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Nothing: whatever appears there without our doing is a stranger's.
    Absent,
    /// An object that the rule's `on_conflict: overwrite` lets us replace, or that
    /// an earlier move of the same recording put there.
    Replace,
    /// The object is there already by an earlier move of the same recording: nothing to copy.
    Present,
}

/// How far the move of one object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MovePhase {
    /// In the manifest; a copy may have been started.
    Planned,
    /// The copy is there and verified.
    Copied,
    /// The source is deleted: this object's move is complete.
    Moved,
    /// Given up before the commit point; the copy, if any, is removed.
    Undone,
}

impl MovePhase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Planned, Self::Copied, Self::Moved, Self::Undone];

    /// The phase's one spelling in rows and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Copied => "copied",
            Self::Moved => "moved",
            Self::Undone => "undone",
        }
    }
}
