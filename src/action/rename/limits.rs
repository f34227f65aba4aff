//! How much one recording may have the process read and hold.
//!
//! A caller who can write an object and name it in a callback chooses what its playlist says. Every
//! limit below is far above what recorders make.

use crate::model::failure::{Failure, FailureKind};

/// Objects of a set: 55 hours of 2 s segments.
pub(super) const OBJECTS: usize = 100_000;

/// Bytes of their keys together.
pub(super) const KEYS: usize = 16 * MIB;

/// Playlists of a set.
pub(super) const PLAYLISTS: usize = 1_000;

/// Bytes of one playlist: 12 hours at 2 s are 21,600 segments, about 2 MiB.
pub(super) const PLAYLIST: u64 = 10 * MIB as u64;

/// Objects that the other playlists beside a set name.
pub(super) const NAMED_BY_OTHERS: usize = 1_000_000;

/// Folders above that of a set's playlist in which another one may name it.
pub(super) const FOLDERS_ABOVE: usize = 2;

/// Pages of a listing of such a folder, above which it is none of a single recording.
pub(super) const PAGES_ABOVE: usize = 10;

/// Playlists of such a folder.
pub(super) const PLAYLISTS_ABOVE: usize = 100;

/// Bytes of the playlists of a set together.
pub(super) const TEXT: u64 = 64 * MIB as u64;

/// Lines of the playlists of a set together.
pub(super) const LINES: usize = 1_000_000;

/// Attributes of one tag.
pub(super) const ATTRIBUTES: usize = 1_000;

/// Bytes of one URI.
pub(super) const URI: usize = 16 * 1024;

const ALL_PLAYLISTS: &str = "the playlists of the recording";

const MIB: usize = 1024 * 1024;

/// What can be done about a recording that is too large.
const WAY_OUT: &str = "have the recorder cut its recordings shorter, and move this one by hand";

/// What reading a set has taken so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    objects: usize,
    keys: usize,
    text: u64,
    lines: usize,
}

impl Taken {
    /// Takes a playlist of so many bytes, before it is read.
    pub(super) fn playlist(&mut self, what: &str, size: u64) -> Result<(), Failure> {
        self.text = self.text.saturating_add(size);
        within(what, "bytes", size, PLAYLIST)?;
        within(ALL_PLAYLISTS, "bytes", self.text, TEXT)
    }

    /// So many playlists are known, read or not.
    pub(super) fn playlists(count: usize) -> Result<(), Failure> {
        within("the recording", "playlists", count as u64, PLAYLISTS as u64)
    }

    /// Takes the lines of a playlist.
    pub(super) fn text(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.lines += text.split(|byte| *byte == b'\n').count();
        within(ALL_PLAYLISTS, "lines", self.lines as u64, LINES as u64)
    }

    /// Takes an object that is named for the first time.
    pub(super) fn object(&mut self, key: &str) -> Result<(), Failure> {
        self.objects += 1;
        self.keys += key.len();
        let all = "the recording";
        within(all, "objects", self.objects as u64, OBJECTS as u64)?;
        within("its keys", "bytes", self.keys as u64, KEYS as u64)
    }
}

/// Refuses more than `limit` of something.
pub(super) fn within(what: &str, of: &str, has: u64, limit: u64) -> Result<(), Failure> {
    if has <= limit {
        return Ok(());
    }
    let reason = format!("{what}: {has} {of} or more, and {limit} is the limit; {WAY_OUT}");
    Err(Failure::new(FailureKind::Unsupported, reason))
}
