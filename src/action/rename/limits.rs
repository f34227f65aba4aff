//! Limits on what the process reads and holds for one recording.
//!
//! Anyone who can write an object and name it in a callback decides what its playlist says. Every
//! limit is far above what recorders make.

use crate::model::failure::{Failure, FailureKind};

/// Objects in a set: 55 hours of 2 s segments.
pub(super) const OBJECTS: usize = 100_000;

/// Total bytes of their keys.
pub(super) const KEYS: usize = 16 * MIB;

/// Playlists in a set.
pub(super) const PLAYLISTS: usize = 1_000;

/// Bytes of one playlist: 12 hours at 2 s are 21,600 segments, about 2 MiB.
pub(super) const PLAYLIST: u64 = 10 * MIB as u64;

/// Objects named by other playlists near a set.
pub(super) const NAMED_BY_OTHERS: usize = 1_000_000;

/// How many folders above a set's playlist we search for other playlists that name it.
pub(super) const FOLDERS_ABOVE: usize = 2;

/// Pages in the listing of such a folder; a larger folder does not belong to a single recording.
pub(super) const PAGES_ABOVE: usize = 10;

/// Playlists in such a folder.
pub(super) const PLAYLISTS_ABOVE: usize = 100;

/// Total bytes of a set's playlists.
pub(super) const TEXT: u64 = 64 * MIB as u64;

/// Total lines of a set's playlists.
pub(super) const LINES: usize = 1_000_000;

/// Attributes in one tag.
pub(super) const ATTRIBUTES: usize = 1_000;

/// Bytes in one URI.
pub(super) const URI: usize = 16 * 1024;

const ALL_PLAYLISTS: &str = "the playlists of the recording";

const MIB: usize = 1024 * 1024;

const WAY_OUT: &str = "have the recorder cut its recordings shorter, and move this one manually";

/// Usage so far while reading a set.
#[derive(Debug, Default)]
pub(super) struct Taken {
    objects: usize,
    keys: usize,
    text: u64,
    lines: usize,
}

impl Taken {
    /// Counts a playlist of `size` bytes, before it is read.
    pub(super) fn playlist(&mut self, what: &str, size: u64) -> Result<(), Failure> {
        self.text = self.text.saturating_add(size);
        within(what, "bytes", size, PLAYLIST)?;
        within(ALL_PLAYLISTS, "bytes", self.text, TEXT)
    }

    /// Checks the number of known playlists, read or not.
    pub(super) fn playlists(count: usize) -> Result<(), Failure> {
        within("the recording", "playlists", count as u64, PLAYLISTS as u64)
    }

    pub(super) fn text(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.lines += text.split(|byte| *byte == b'\n').count();
        within(ALL_PLAYLISTS, "lines", self.lines as u64, LINES as u64)
    }

    /// Counts an object that is named for the first time.
    pub(super) fn object(&mut self, key: &str) -> Result<(), Failure> {
        self.objects += 1;
        self.keys += key.len();
        let all = "the recording";
        within(all, "objects", self.objects as u64, OBJECTS as u64)?;
        within("its keys", "bytes", self.keys as u64, KEYS as u64)
    }
}

pub(super) fn within(what: &str, of: &str, has: u64, limit: u64) -> Result<(), Failure> {
    if has <= limit {
        return Ok(());
    }
    let reason = format!("{what}: {has} {of} or more, and {limit} is the limit; {WAY_OUT}");
    Err(Failure::new(FailureKind::Unsupported, reason))
}
