//! A recording: what its callback named, and where it is now.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::{Failure, FailureKind};
use super::id::TaskId;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub bucket: String,
    pub key: String,
}

impl Place {
    /// The key before its last slash; empty if there is none.
    pub fn folder(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The key after its last slash.
    pub fn name(&self) -> &str {
        self.key
            .rsplit_once('/')
            .map_or(self.key.as_str(), |(_, name)| name)
    }

    pub fn stem(&self) -> &str {
        self.name()
            .rsplit_once('.')
            .map_or(self.name(), |(stem, _)| stem)
    }

    /// The extension without the dot; may be empty.
    pub fn extension(&self) -> &str {
        self.name()
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    /// A 16-byte digest, unique for each place.
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

/// Whether the key has the extension of an HLS playlist.
pub fn names_playlist(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["m3u8", "m3u"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// What a recording consists of. Decided once, from its callback, because the key it is moved to
/// may not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Object,
    /// The playlist, and everything that it names.
    Set,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.key)
    }
}

/// Identifies a recording by a digest of the bucket and key in its callback. Does not change when
/// the recording is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId([u8; 16]);

impl RecordingId {
    pub fn of(named: &Place) -> Self {
        Self(named.digest())
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which rule moved a recording, and in which planning of which event.
///
/// A planning moves a recording once: a second `rename` is refused, and the error names the first
/// rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBy {
    pub rule: String,
    /// Whether that rule belongs to the planning that asks.
    pub same_planning: bool,
    /// Whether it moved the whole recording away after the event that asks was stored: then that
    /// event has nothing left to move.
    pub took_it_whole: bool,
    /// Whether another recording that was moved there has replaced it.
    pub replaced: Option<Replaced>,
}

/// That another recording has replaced a recording, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The task that moved the other one there.
    pub by: TaskId,
    /// Whether some of its objects are left. It is incomplete then.
    pub in_part: bool,
}

impl MovedBy {
    /// The failure if the recording, last at `place`, was replaced and no longer exists.
    pub fn replaced_at(&self, place: &Place) -> Option<Failure> {
        let Replaced { by, in_part } = self.replaced?;
        let reason = if in_part {
            format!(
                "{by} has replaced a part of the recording at {place} (on_conflict: overwrite): it is incomplete"
            )
        } else {
            format!(
                "{by} has replaced the recording at {place} (on_conflict: overwrite): it no longer exists"
            )
        };
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
