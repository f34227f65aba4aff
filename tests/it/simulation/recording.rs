//! What recorders record: files, and playlists that may share objects.

use aftertake::model::recording::Place;

use super::world::Object;

/// One version of a recording. Its main object is unique.
#[expect(clippy::struct_excessive_bools, reason = "the four are independent")]
#[derive(Debug, Clone)]
pub(super) struct Take {
    pub(super) named: Place,
    pub(super) job: Option<String>,
    pub(super) main: String,
    pub(super) parts: Vec<Part>,
    /// Whether its segments are only numbered, so that many recordings have parts with the same names.
    pub(super) counts: bool,
    /// Whether the recorder appended to a recording that was already announced and may have been
    /// moved.
    pub(super) has_grown: bool,
    /// Whether what it shares had moved, or was about to move, when it appeared: it is whole only
    /// after its own move.
    pub(super) is_apart: bool,
    /// Whether it must not be lost. False once the recorder has overwritten it or another recording
    /// was to replace it.
    pub(super) precious: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) content: String,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Segment,
    Key,
    Init,
    Playlist,
    /// A part that is named only in a playlist of the main one.
    OfPlaylist,
}

impl Part {
    fn line(&self) -> String {
        let name = &self.name;
        match self.role {
            Role::Segment => format!("#EXTINF:2,\n{name}\n"),
            Role::Key => format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{name}\"\n"),
            Role::Init => format!("#EXT-X-MAP:URI=\"{name}\"\n"),
            Role::Playlist => format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n"),
            Role::OfPlaylist => String::new(),
        }
    }

    fn segment(take: u64, number: u64, counts: bool) -> Self {
        let name = format!("{number}.ts");
        Self {
            name: if counts {
                name
            } else {
                format!("{take}-{name}")
            },
            content: format!("take {take:04}, segment {number}"),
            role: Role::Segment,
        }
    }

    pub(super) fn is_segment(&self) -> bool {
        self.role == Role::Segment
    }
}

impl Take {
    /// An MP4 with unique content.
    pub(super) fn mp4(named: Place, number: u64, big: bool) -> Self {
        let frames = if big { 40 } else { 1 };
        Self {
            named,
            job: None,
            // All have the same size, so that the size distinguishes nothing.
            main: format!("take {number:04} ").repeat(frames),
            parts: Vec::new(),
            counts: false,
            has_grown: false,
            is_apart: false,
            precious: true,
        }
    }

    fn playlist(named: Place, number: u64, parts: Vec<Part>) -> Self {
        let lines: String = parts.iter().map(Part::line).collect();
        Self {
            main: format!("#EXTM3U\n# take {number}\n{lines}"),
            parts,
            ..Self::mp4(named, number, false)
        }
    }

    /// A playlist with segments next to it, and a key and init segment as needed.
    pub(super) fn hls(named: Place, number: u64, segments: u64, encrypted: bool) -> Self {
        Self::with_segments(named, number, segments, encrypted, false)
    }

    /// The same with names that those of other recordings have, too.
    pub(super) fn counted(named: Place, number: u64, segments: u64, encrypted: bool) -> Self {
        Self::with_segments(named, number, segments, encrypted, true)
    }

    fn with_segments(
        named: Place,
        number: u64,
        segments: u64,
        encrypted: bool,
        counts: bool,
    ) -> Self {
        let part = |name: &str, role| Part {
            name: if counts {
                name.to_owned()
            } else {
                format!("{number}.{name}")
            },
            content: format!("take {number:04}, {name}"),
            role,
        };
        let mut parts = Vec::new();
        if encrypted {
            parts.extend([part("key", Role::Key), part("init", Role::Init)]);
        }
        parts.extend((0..segments).map(|segment| Part::segment(number, segment, counts)));
        Self {
            counts,
            ..Self::playlist(named, number, parts)
        }
    }

    /// The same recording after the recorder appended these segments.
    pub(super) fn grown(&self, number: u64, segments: u64) -> Self {
        let first = if self.counts {
            self.parts.iter().filter(|part| part.is_segment()).count() as u64
        } else {
            0
        };
        let added = first..first + segments;
        let added = added.map(|segment| Part::segment(number, segment, self.counts));
        let parts = self.parts.iter().cloned().chain(added).collect();
        Self {
            has_grown: true,
            counts: self.counts,
            job: self.job.clone(),
            ..Self::playlist(self.named.clone(), number, parts)
        }
    }

    /// Another recording in the same folder, with new segments and these parts of this one.
    pub(super) fn sibling(
        &self,
        number: u64,
        segments: u64,
        shares: impl Fn(&Part) -> bool,
    ) -> Self {
        let own = (0..segments).map(|segment| Part::segment(number, segment, false));
        let common = self.parts.iter().filter(|part| shares(part)).cloned();
        let named = self.beside(&format!("{number}.m3u8"));
        let mut parts: Vec<_> = common.collect();
        let at = parts.partition_point(|part| !part.is_segment());
        parts.splice(at..at, own);
        Self::playlist(named, number, parts)
    }

    /// A playlist in the same folder that names this one.
    pub(super) fn master(&self, number: u64) -> Self {
        let of_it = self.parts.iter().cloned().map(|part| Part {
            role: Role::OfPlaylist,
            ..part
        });
        let playlist = Part {
            name: self.named.name().to_owned(),
            content: self.main.clone(),
            role: Role::Playlist,
        };
        let named = self.beside(&format!("{number}.m3u8"));
        Self {
            job: self.job.clone(),
            ..Self::playlist(named, number, of_it.chain([playlist]).collect())
        }
    }

    /// A later recording by another job in the same folder that reuses these segments' names.
    pub(super) fn successor(&self, number: u64) -> Self {
        let segments = self.parts.iter().filter(|part| part.is_segment());
        let anew = segments.map(|part| Part {
            content: format!("take {number:04}, as {}", part.name),
            ..part.clone()
        });
        let named = self.beside(&format!("{number}.m3u8"));
        Self::playlist(named, number, anew.collect())
    }

    fn beside(&self, name: &str) -> Place {
        Place {
            bucket: self.named.bucket.clone(),
            key: format!("{}/{name}", self.named.folder()),
        }
    }

    /// Whether it is a playlist that names no other playlist.
    pub(super) fn is_media_playlist(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(|part| part.role != Role::Playlist)
    }

    /// Whether the object is its main one, at any place.
    pub(super) fn is_main(&self, object: &Object) -> bool {
        object.content == self.main
    }

    /// The places and contents of its parts when its main object is at `place`.
    pub(super) fn parts_at(&self, place: &Place) -> impl Iterator<Item = (Place, &str)> {
        let (bucket, folder) = (place.bucket.clone(), place.folder().to_owned());
        self.parts.iter().map(move |part| {
            let key = format!("{folder}/{}", part.name);
            let bucket = bucket.clone();
            (Place { bucket, key }, part.content.as_str())
        })
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter().map(|part| part.content.as_str());
        parts.chain([self.main.as_str()])
    }
}
