//! Recordings as a player sees them: one object, or a playlist and what it names, in order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use aftertake::model::recording::Place;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;

/// Every object of every bucket.
pub(crate) type Objects = BTreeMap<Place, Bytes>;

/// A recording at the place that its callback reports.
#[derive(Debug, Clone)]
pub(crate) struct Film {
    pub(crate) at: Place,
    named: Bytes,
    /// The objects that its playlist names, in order: keys and contents.
    parts: Vec<(String, Bytes)>,
    /// What it was before it grew.
    before: Vec<Film>,
    job: String,
    pub(crate) room: String,
    /// The second at which it begins, if its callback says so.
    start: Option<u32>,
    second: u32,
    /// Distinguishes its contents from those of others.
    mark: String,
}

impl Film {
    /// An object of this many bytes, in a separate room.
    pub(crate) fn mp4(mark: &str, key: &str, size: usize) -> Self {
        let content = format!("film {mark} ").repeat(size);
        Self::new(mark, key, content[..size].to_owned(), Vec::new())
    }

    /// A playlist with this many segments next to it, in a separate room.
    pub(crate) fn hls(mark: &str, key: &str, segments: usize) -> Self {
        let segment = |number| (format!("{number}.ts"), format!("{mark} segment {number}"));
        Self::playlist(mark, key, "", (1..=segments).map(segment).collect())
    }

    /// A playlist with these lines and parts: the lines' references come first in `parts`, then
    /// the segments.
    pub(crate) fn playlist(
        mark: &str,
        key: &str,
        lines: &str,
        parts: Vec<(String, String)>,
    ) -> Self {
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n{lines}");
        let segments = parts.iter().filter(|(name, _)| !lines.contains(&**name));
        for (name, _) in segments {
            let _ = write!(text, "#EXTINF:6,\n{name}\n");
        }
        text += "#EXT-X-ENDLIST\n";
        let part = |(name, content): (String, String)| (format!("{folder}/{name}"), content.into());
        Self::new(mark, key, text, parts.into_iter().map(part).collect())
    }

    fn new(mark: &str, key: &str, named: String, parts: Vec<(String, Bytes)>) -> Self {
        Self {
            at: place(RECORDED, key),
            named: named.into(),
            parts,
            before: Vec::new(),
            job: format!("job-{mark}"),
            room: format!("room-{mark}"),
            start: Some(1),
            second: 2,
            mark: mark.to_owned(),
        }
    }

    /// The recording grown to this many segments, as the recorder appends them, with a new
    /// callback.
    pub(crate) fn grown(&self, segments: usize) -> Self {
        let grown = Self::hls(&self.mark, &self.at.key, segments);
        let mut before = self.before.clone();
        before.push(self.clone());
        Self {
            before,
            start: self.start,
            second: self.second + 1,
            job: self.job.clone(),
            room: self.room.clone(),
            ..grown
        }
    }

    pub(crate) fn before(&self) -> Option<&Film> {
        self.before.last()
    }

    /// From now on it counts as whole only in its full length.
    pub(crate) fn forget(&mut self) {
        self.before.clear();
    }

    pub(crate) fn in_room(mut self, room: &str) -> Self {
        room.clone_into(&mut self.room);
        self
    }

    pub(crate) fn of_job(mut self, job: &str) -> Self {
        job.clone_into(&mut self.job);
        self
    }

    /// With a start time at this second, or none.
    pub(crate) fn starting(mut self, second: Option<u32>) -> Self {
        self.start = second;
        self
    }

    /// With an end time at this second, which makes it a new callback.
    pub(crate) fn ending(mut self, second: u32) -> Self {
        self.second = second;
        self
    }

    pub(crate) fn is_set(&self) -> bool {
        !self.parts.is_empty()
    }

    pub(crate) fn callback(&self) -> String {
        let at = |second: u32| format!("2026-03-02T01:{:02}:{:02}Z", second / 60, second % 60);
        let mut body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "app_id": "app", "room_id": self.room,
            "record_format": if self.is_set() { "HLS" } else { "MP4" },
            "obs_bucket": self.at.bucket, "obs_object": self.at.key,
            "end_time": at(self.second),
        });
        if let Some(start) = self.start {
            body["start_time"] = json!(at(start));
        }
        if !self.job.is_empty() {
            body["job_id"] = json!(self.job);
        }
        body.to_string()
    }

    pub(crate) fn objects(&self) -> Objects {
        let part = |(key, content): &(String, Bytes)| (place(RECORDED, key), content.clone());
        let named = (self.at.clone(), self.named.clone());
        self.parts.iter().map(part).chain([named]).collect()
    }

    /// The places where it is whole: of the object, or of the playlist.
    pub(crate) fn places(&self, objects: &Objects) -> Vec<Place> {
        let plays = |(at, content): &(&Place, &Bytes)| match named_by(at, content) {
            None => !self.is_set() && **content == self.named,
            Some(named) => {
                let found = named.iter().map(|one| objects.get(one));
                self.is_set() && found.eq(self.parts.iter().map(|(_, content)| Some(content)))
            }
        };
        let whole = objects.iter().filter(plays);
        whole.map(|(at, _)| at.clone()).collect()
    }

    /// Whether it is whole somewhere, possibly as it was before it grew.
    pub(crate) fn is_somewhere(&self, whole: &Whole) -> bool {
        let mut versions = self.before.iter().chain([self]);
        versions.any(|film| {
            if film.is_set() {
                let parts: Vec<&Bytes> = film.parts.iter().map(|(_, content)| content).collect();
                whole.lists.contains(&parts)
            } else {
                whole.files.contains(&film.named)
            }
        })
    }
}

/// Everything that can be played: computed once for many films.
pub(crate) struct Whole<'a> {
    files: HashSet<&'a Bytes>,
    /// The contents that each playlist names, if all exist.
    lists: HashSet<Vec<&'a Bytes>>,
}

impl<'a> Whole<'a> {
    pub(crate) fn of(objects: &'a Objects) -> Self {
        let mut whole = Self {
            files: HashSet::new(),
            lists: HashSet::new(),
        };
        for (at, content) in objects {
            if let Some(named) = named_by(at, content) {
                let parts: Option<_> = named.iter().map(|one| objects.get(one)).collect();
                whole.lists.extend(parts);
            } else {
                whole.files.insert(content);
            }
        }
        whole
    }
}

impl std::fmt::Display for Film {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "film {} of {}", self.mark, self.at)
    }
}

/// The object at this place, and everything that it names.
pub(crate) fn members(objects: &Objects, at: &Place) -> BTreeSet<Place> {
    let named = named_by(at, &objects[at]).unwrap_or_default();
    named.into_iter().chain([at.clone()]).collect()
}

/// What the playlist at this place names, in order; `None` if it is not a playlist.
fn named_by(at: &Place, content: &Bytes) -> Option<Vec<Place>> {
    let text = content.strip_prefix(b"#EXTM3U")?;
    let text = std::str::from_utf8(text).ok()?;
    let uri = |line: &str| match line.strip_prefix('#') {
        None => (!line.is_empty()).then(|| line.to_owned()),
        Some(tag) => {
            let (_, uri) = tag.split_once("URI=\"")?;
            Some(uri.split_once('"')?.0.to_owned())
        }
    };
    let uris = text.lines().map(str::trim).filter_map(uri);
    Some(uris.map(|uri| resolve(at, &uri)).collect())
}

fn resolve(from: &Place, uri: &str) -> Place {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    let decoded = percent_decode_str(uri).decode_utf8().unwrap();
    if let Some((_, path)) = decoded.split_once("://") {
        let mut path = path.splitn(3, '/').skip(1);
        let (bucket, key) = (path.next(), path.next());
        return place(bucket.unwrap_or_default(), key.unwrap_or_default());
    }
    let mut segments: Vec<&str> = if decoded.starts_with('/') {
        Vec::new()
    } else {
        from.key.split('/').collect()
    };
    segments.pop();
    for segment in decoded.split('/').filter(|one| !matches!(*one, "" | ".")) {
        match segment {
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    place(&from.bucket, &segments.join("/"))
}
