//! The world outside: what stands in the buckets, what the recorder recorded, and what was
//! delivered to whom.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use aftertake::model::recording::Place;
use aftertake::object::{Attributes, MARK, ObjectMeta};

/// An object in a bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub(super) content: String,
    pub(super) etag: String,
    /// The multipart upload that it came out of.
    pub(super) upload: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// The mark of a move, until that is complete.
    pub(super) mark: Option<String>,
    /// Whether the recorder wrote it, and not a move.
    pub(super) is_recorded: bool,
}

/// What was recorded at one time. Its contents are like nothing else in the world.
#[derive(Debug, Clone)]
pub(super) struct Take {
    pub(super) named: Place,
    pub(super) main: String,
    /// The segments of a playlist, by their names beside it.
    pub(super) parts: Vec<(String, String)>,
    /// How many of them it had when it was announced before; 0 for a recording that has not
    /// grown. What was recorded then may have been moved away meanwhile.
    pub(super) had: usize,
    /// Whether it must not be lost: not so once the recorder has written over it, or another
    /// recording was to take its place.
    pub(super) precious: bool,
}

/// An object was written over.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) at: Place,
    /// Recordings that were there and are whole nowhere now, by their place among all.
    pub(super) takes: Vec<usize>,
}

/// Everything out there.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) objects: BTreeMap<Place, Object>,
    /// Open multipart uploads by id, and where their objects would be.
    pub(super) uploads: BTreeMap<String, Place>,
    pub(super) takes: Vec<Take>,
    /// How often each notification was taken, by its `webhook-id`.
    pub(super) delivered: BTreeMap<String, u32>,
    /// How often each notification will still be refused before it is taken, by its
    /// `webhook-id`, whatever the weather.
    pub(super) refusals: BTreeMap<String, u64>,
    /// Nothing goes wrong any more, and everything is taken at once.
    pub(super) is_calm: bool,
    /// The probability that a request goes wrong.
    pub(super) storm: f64,
    /// Copies that were never made, and are said to be there.
    pub(super) imagined: BTreeMap<Place, Object>,
    /// Objects that were written over and that nobody has judged yet.
    pub(super) replaced: Vec<Replaced>,
    made: u64,
}

impl Object {
    pub(super) fn new(content: &str) -> Self {
        let mut hash = DefaultHasher::new();
        content.hash(&mut hash);
        Self {
            content: content.to_owned(),
            // As a recorder uploads it: by parts.
            etag: format!("{:016x}-2", hash.finish()),
            ..Self::default()
        }
    }

    pub(super) fn meta(&self, key: &str) -> ObjectMeta {
        ObjectMeta {
            key: key.to_owned(),
            size: self.content.len() as u64,
            etag: self.etag.clone(),
            attributes: Attributes {
                metadata: self
                    .mark
                    .iter()
                    .map(|mark| (MARK.to_owned(), mark.clone()))
                    .collect(),
                ..Attributes::default()
            },
        }
    }
}

impl Take {
    /// An MP4 of which nobody ever saw the like.
    pub(super) fn mp4(named: Place, number: u64, big: bool) -> Self {
        let frames = if big { 40 } else { 1 };
        Self {
            named,
            // All of one size: a size tells nothing.
            main: format!("take {number:04} ").repeat(frames),
            parts: Vec::new(),
            had: 0,
            precious: true,
        }
    }

    /// A playlist with segments beside it.
    pub(super) fn hls(named: Place, number: u64, segments: u64) -> Self {
        let none = Self {
            named,
            main: String::new(),
            parts: Vec::new(),
            had: 0,
            precious: true,
        };
        none.grown(number, segments)
    }

    /// The same recording, to which the recorder has added these segments.
    pub(super) fn grown(&self, number: u64, segments: u64) -> Self {
        let added = (0..segments).map(|segment| {
            (
                format!("{number}-{segment}.ts"),
                format!("take {number}, segment {segment}"),
            )
        });
        let parts: Vec<_> = self.parts.iter().cloned().chain(added).collect();
        let lines: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
        let lines = lines.join("\n#EXTINF:2,\n");
        Self {
            named: self.named.clone(),
            main: format!("#EXTM3U\n#EXTINF:2,\n{lines}\n#EXT-X-ENDLIST\n"),
            had: self.parts.len(),
            parts,
            precious: true,
        }
    }

    /// Whether an object's content is its main one's, at whichever place: the names of its
    /// segments, however they lead to them.
    fn is_main(&self, object: &Object) -> bool {
        if self.parts.is_empty() {
            return object.content == self.main;
        }
        let names = named_in(&object.content).map(|name| name.rsplit('/').next().unwrap_or(name));
        names.eq(self.parts.iter().map(|(name, _)| name.as_str()))
    }

    /// Its objects when it is recorded: what it had before is not written again.
    fn recorded(&self) -> impl Iterator<Item = (Place, &str)> {
        let parts = self.parts.iter().skip(self.had);
        let parts = parts.map(|(name, content)| (led_to(&self.named, name), content.as_str()));
        parts.chain([(self.named.clone(), self.main.as_str())])
    }
}

/// The names in a playlist.
fn named_in(playlist: &str) -> impl Iterator<Item = &str> {
    let lines = playlist.lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Where a name in the playlist at `place` leads.
fn led_to(place: &Place, name: &str) -> Place {
    let elsewhere = name
        .strip_prefix("https://")
        .and_then(|url| url.split_once('/'));
    if let Some((host, key)) = elsewhere {
        return Place {
            bucket: host.split('.').next().unwrap_or_default().to_owned(),
            key: key.to_owned(),
        };
    }
    let mut folders: Vec<&str> = place
        .folder()
        .split('/')
        .filter(|one| !one.is_empty())
        .collect();
    for step in name.split('/') {
        match step {
            ".." => drop(folders.pop()),
            step => folders.push(step),
        }
    }
    Place {
        bucket: place.bucket.clone(),
        key: folders.join("/"),
    }
}

impl World {
    /// Puts a take where it is recorded. What was recorded there before and is nowhere else
    /// is lost by the recorder's own doing; what has grown counts as it is now.
    pub(super) fn record(&mut self, take: Take) {
        let grows = take.had > 0;
        for earlier in self.takes.iter_mut().filter(|one| one.named == take.named) {
            let stands = self.objects.get(&take.named);
            if grows || stands.is_some_and(|object| object.content == earlier.main) {
                earlier.precious = false;
            }
        }
        for (place, content) in take.recorded() {
            let object = Object {
                is_recorded: true,
                ..Object::new(content)
            };
            self.objects.insert(place, object);
        }
        self.takes.push(take);
    }

    /// A move's copy arrives.
    pub(super) fn arrives(&mut self, at: Place, object: Object) {
        let before = self.objects.insert(at.clone(), object);
        let Some(before) = before.filter(|before| before.content != self.objects[&at].content)
        else {
            return;
        };
        let takes = self.takes.iter().enumerate();
        let was_there = takes.filter(|(_, take)| take.precious && take.is_main(&before));
        let takes = was_there
            .filter(|(_, take)| self.whole(take).is_empty())
            .map(|(number, _)| number)
            .collect();
        self.replaced.push(Replaced { at, takes });
    }

    /// A deletion that was sent when `seen` stood there. No request can ask that an object be
    /// deleted only if it still is what it was: what the recorder has written there meanwhile
    /// is lost.
    pub(super) fn deleted(&mut self, at: &Place, seen: Option<&Object>) {
        let Some(object) = self.objects.remove(at) else {
            return;
        };
        if object.is_recorded && seen.is_some_and(|seen| seen.etag != object.etag) {
            for take in self
                .takes
                .iter_mut()
                .filter(|take| take.named.folder() == at.folder())
            {
                take.precious = false;
            }
        }
    }

    /// Where the take is whole.
    pub(super) fn whole(&self, take: &Take) -> Vec<Place> {
        let mains = self
            .objects
            .iter()
            .filter(|(_, object)| take.is_main(object));
        mains
            .filter(|(place, main)| self.plays(take, place, main))
            .map(|(place, _)| place.clone())
            .collect()
    }

    /// Whether what its main object names is what was recorded.
    fn plays(&self, take: &Take, place: &Place, main: &Object) -> bool {
        if take.parts.is_empty() {
            return true;
        }
        let named = named_in(&main.content).map(|name| self.objects.get(&led_to(place, name)));
        let found = named.map(|object| object.map(|object| object.content.as_str()));
        found.eq(take.parts.iter().map(|(_, content)| Some(content.as_str())))
    }

    /// The first take that must be whole somewhere and is not.
    pub(super) fn lost(&self) -> Option<&Take> {
        let mut precious = self.takes.iter().filter(|take| take.precious);
        precious.find(|take| !self.is_kept(take))
    }

    /// Whether the take is whole somewhere, or all of it is there while what was recorded
    /// first is moved already and what was added is not.
    fn is_kept(&self, take: &Take) -> bool {
        let all = || {
            let is_there = |(_, content): &(String, String)| !self.copies(content).is_empty();
            take.parts.iter().all(is_there) && self.objects.values().any(|one| take.is_main(one))
        };
        !self.whole(take).is_empty() || take.had > 0 && all()
    }

    /// How many objects have this content.
    pub(super) fn copies(&self, content: &str) -> Vec<&Place> {
        let same = self
            .objects
            .iter()
            .filter(|(_, object)| object.content == content);
        same.map(|(place, _)| place).collect()
    }

    /// A number that no other has.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}
