//! A recording: what its callback named, and where it is now.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::{Failure, FailureKind};
use super::id::TaskId;

/// Where an object is: a configured bucket's name and a key in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub bucket: String,
    pub key: String,
}

impl Place {
    /// The key's part before the last slash, without it; empty at the top.
    pub fn folder(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The key's part after the last slash.
    pub fn name(&self) -> &str {
        self.key
            .rsplit_once('/')
            .map_or(self.key.as_str(), |(_, name)| name)
    }

    /// The name without its extension.
    pub fn stem(&self) -> &str {
        self.name()
            .rsplit_once('.')
            .map_or(self.name(), |(stem, _)| stem)
    }

    /// The name's extension without the dot; empty when it has none.
    pub fn extension(&self) -> &str {
        self.name()
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    /// Sixteen bytes that stand for it: no two places have the same.
    pub fn digest(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        hash.update((self.bucket.len() as u64).to_be_bytes());
        hash.update(&self.bucket);
        hash.update(&self.key);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        bytes
    }
}

/// Whether a key is named like an HLS playlist.
pub fn names_playlist(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["m3u8", "m3u"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// What a recording consists of. Decided once, by what its callback said: the key to which it
/// is moved may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The named object.
    Object,
    /// The named playlist, and all that it names.
    Set,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// Names a recording: a digest of the bucket and key that its callback named.
/// It stays the same wherever the recording is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId([u8; 16]);

impl RecordingId {
    /// The recording that a callback named at `named`.
    pub fn of(named: &Place) -> Self {
        Self(named.digest())
    }

    /// The id with these bytes, as read back from the store.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which rule moved a recording, and in which planning of which event.
///
/// One planning moves a recording once: a second `rename` of the same planning is
/// refused in the first rule's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBy {
    pub rule: String,
    /// Whether it was a rule of the planning that asks, or of an earlier or later one.
    pub same_planning: bool,
    /// Whether it took the recording away, whole, from where it was recorded after the event
    /// that asks had been stored: then that event has nothing left to move.
    pub took_it_whole: bool,
    /// The task that has put another recording there since, in its place: it is nowhere any more.
    pub replaced_by: Option<TaskId>,
}

impl MovedBy {
    /// Why nothing can be done with the recording any more that was moved to `place`.
    pub fn replaced_at(&self, place: &Place) -> Option<Failure> {
        let by = self.replaced_by?;
        let reason = format!(
            "{by} has replaced the recording at {place} (on_conflict: overwrite): it is nowhere any more"
        );
        Some(Failure::new(FailureKind::Missing, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_splits_into_folder_stem_and_extension() {
        for (key, folder, name, stem, extension) in [
            ("a/b/c.mp4", "a/b", "c.mp4", "c", "mp4"),
            ("c", "", "c", "c", ""),
            ("a//x.tar.gz", "a/", "x.tar.gz", "x.tar", "gz"),
        ] {
            let place = Place {
                bucket: "b".into(),
                key: key.into(),
            };
            assert_eq!(
                (
                    place.folder(),
                    place.name(),
                    place.stem(),
                    place.extension()
                ),
                (folder, name, stem, extension),
            );
        }
    }

    #[test]
    fn playlist_is_known_by_its_extension() {
        for (key, expected) in [
            ("a/b.m3u8", true),
            ("a/B.M3U8", true),
            ("a.b/c.m3u", true),
            ("a/b.mp4", false),
            ("a.m3u8/b", false),
            ("m3u8", false),
        ] {
            assert_eq!(names_playlist(key), expected, "{key}");
        }
    }

    #[test]
    fn recordings_with_a_slash_on_either_side_differ() {
        let place = |bucket: &str, key: &str| Place {
            bucket: bucket.into(),
            key: key.into(),
        };
        assert_ne!(
            RecordingId::of(&place("a", "b/c")),
            RecordingId::of(&place("ab", "/c"))
        );
    }
}
