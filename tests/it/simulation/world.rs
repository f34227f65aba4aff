//! The world outside: what stands in the buckets, what the recorder recorded, and what was
//! delivered to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use aftertake::model::recording::Place;
use aftertake::object::{Attributes, ObjectMeta};

/// An object in a bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub(super) content: String,
    pub(super) etag: String,
    /// The multipart upload that it came out of.
    pub(super) upload: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
}

/// What was recorded at one time. Its contents are like nothing else in the world.
#[derive(Debug, Clone)]
pub(super) struct Take {
    pub(super) named: Place,
    pub(super) main: String,
    /// The segments of a playlist, by their names beside it.
    pub(super) parts: Vec<(String, String)>,
    /// Whether it must not be lost: not so once the recorder has written over it.
    pub(super) precious: bool,
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
    /// The probability that a request goes wrong.
    pub(super) storm: f64,
    /// Where copies that were never made are said to be.
    pub(super) imagined: BTreeSet<Place>,
    made: u64,
}

impl Object {
    pub(super) fn new(content: &str) -> Self {
        let mut hash = DefaultHasher::new();
        content.hash(&mut hash);
        Self {
            content: content.to_owned(),
            etag: format!("{:016x}", hash.finish()),
            upload: None,
            tags: BTreeMap::new(),
        }
    }

    pub(super) fn meta(&self, key: &str) -> ObjectMeta {
        ObjectMeta {
            key: key.to_owned(),
            size: self.content.len() as u64,
            etag: self.etag.clone(),
            attributes: Attributes::default(),
        }
    }
}

impl Take {
    /// An MP4 of which nobody ever saw the like.
    pub(super) fn mp4(named: Place, number: u64, big: bool) -> Self {
        let frames = if big { 40 } else { 1 };
        Self {
            named,
            main: format!("take {number} ").repeat(frames),
            parts: Vec::new(),
            precious: true,
        }
    }

    /// A playlist with segments beside it.
    pub(super) fn hls(named: Place, number: u64, segments: u64) -> Self {
        let parts: Vec<_> = (0..segments)
            .map(|segment| {
                (
                    format!("{number}-{segment}.ts"),
                    format!("take {number}, segment {segment}"),
                )
            })
            .collect();
        let lines: Vec<_> = parts.iter().map(|(name, _)| name.as_str()).collect();
        let lines = lines.join("\n#EXTINF:2,\n");
        Self {
            named,
            main: format!("#EXTM3U\n#EXTINF:2,\n{lines}\n#EXT-X-ENDLIST\n"),
            parts,
            precious: true,
        }
    }

    /// Its objects when its main one is at `place`.
    fn at<'a>(&'a self, place: &Place) -> impl Iterator<Item = (Place, &'a str)> {
        let folder = match place.folder() {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let bucket = place.bucket.clone();
        let beside = move |name: &str| Place {
            bucket: bucket.clone(),
            key: format!("{folder}{name}"),
        };
        let parts = self.parts.iter();
        parts
            .map(move |(name, content)| (beside(name), content.as_str()))
            .chain([(place.clone(), self.main.as_str())])
    }
}

impl World {
    /// Puts a take where it is recorded. What was recorded there before and is nowhere else
    /// is lost by the recorder's own doing.
    pub(super) fn record(&mut self, take: Take) {
        for earlier in self.takes.iter_mut().filter(|one| one.named == take.named) {
            let stands = self.objects.get(&take.named);
            if stands.is_some_and(|object| object.content == earlier.main) {
                earlier.precious = false;
            }
        }
        for (place, content) in take.at(&take.named) {
            self.objects.insert(place, Object::new(content));
        }
        self.takes.push(take);
    }

    /// Where the take is whole.
    pub(super) fn whole(&self, take: &Take) -> Vec<Place> {
        let is = |place: &Place, content: &str| {
            let object = self.objects.get(place);
            object.is_some_and(|object| object.content == content)
        };
        let mains = self
            .objects
            .iter()
            .filter(|(_, object)| object.content == take.main);
        mains
            .map(|(place, _)| place)
            .filter(|place| take.at(place).all(|(place, content)| is(&place, content)))
            .cloned()
            .collect()
    }

    /// The first take that must be whole somewhere and is not.
    pub(super) fn lost(&self) -> Option<&Take> {
        let mut precious = self.takes.iter().filter(|take| take.precious);
        precious.find(|take| self.whole(take).is_empty())
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
