//! A recording: what its callback named, and where it is now.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::failure::{Failure, FailureKind};
use super::id::TaskId;
use super::time::Timestamp;

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
}

/// That another recording has replaced a recording, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The task that moved the other one there.
    pub by: TaskId,
    /// Whether some of its objects are left. It is incomplete then.
    pub in_part: bool,
}

impl Replaced {
    /// The failure of a task of the recording that was replaced, last at `place`.
    pub fn at(self, place: &Place) -> Failure {
        let Self { by, in_part } = self;
        let reason = if in_part {
            format!(
                "{by} has replaced a part of the recording at {place} (on_conflict: overwrite): it is incomplete"
            )
        } else {
            format!(
                "{by} has replaced the recording at {place} (on_conflict: overwrite): it no longer exists"
            )
        };
        Failure::new(FailureKind::Missing, reason)
    }
}

/// Which of the recordings under one key: the recorder's job that made it and, because a job may
/// use a key again, when it began. A recording that grows keeps both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub job: String,
    /// `None` if the callback did not say.
    pub start: Option<Timestamp>,
}

impl Origin {
    /// Separates the parts in rows. The start is last and a number, so a job may contain it.
    const BETWEEN: char = '\n';

    /// The origin in a row.
    pub fn from_row(text: &str) -> Self {
        let (job, start) = text.rsplit_once(Self::BETWEEN).unwrap_or((text, ""));
        Self {
            job: job.to_owned(),
            start: start.parse().ok().map(Timestamp::from_millis),
        }
    }

    pub fn to_row(&self) -> String {
        let start = self.start.map(|start| start.millis().to_string());
        format!("{}{}{}", self.job, Self::BETWEEN, start.unwrap_or_default())
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
    fn origin_is_the_same_after_a_row() {
        for job in ["j", "", "j\n5", "\n"] {
            for start in [None, Some(0), Some(-5), Some(1_772_413_200_000)] {
                let origin = Origin {
                    job: job.to_owned(),
                    start: start.map(Timestamp::from_millis),
                };
                assert_eq!(Origin::from_row(&origin.to_row()), origin);
            }
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
