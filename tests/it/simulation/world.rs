//! The outside world: objects in the buckets, what was recorded, and which notifications were
//! received.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use aftertake::model::recording::Place;
use aftertake::object::{Attributes, MARK, ObjectMeta};

use super::recording::{Part, Take};

#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub(super) content: String,
    pub(super) etag: String,
    /// The multipart upload that created it.
    pub(super) upload: Option<String>,
    pub(super) tags: BTreeMap<String, String>,
    /// The mark of a move, until the move is complete.
    pub(super) mark: Option<String>,
    /// Whether the recorder wrote it, not a move.
    pub(super) is_recorded: bool,
    /// Whether another program wrote it.
    pub(super) is_strangers: bool,
}

#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) at: Place,
    /// Indexes of recordings that were at this place and are now whole nowhere.
    pub(super) takes: Vec<usize>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) objects: BTreeMap<Place, Object>,
    /// Open multipart uploads: id and target.
    pub(super) uploads: BTreeMap<String, Place>,
    pub(super) takes: Vec<Take>,
    /// Folders in which segment names were reused.
    pub(super) reused: BTreeSet<String>,
    /// Recordings named by more than one event.
    pub(super) told_again: BTreeSet<Place>,
    /// How often each notification was accepted, by `webhook-id`.
    pub(super) delivered: BTreeMap<String, u32>,
    /// How often each notification will still be refused before it is accepted, by `webhook-id`;
    /// independent of `storm`.
    pub(super) refusals: BTreeMap<String, u64>,
    /// No more faults: every request succeeds.
    pub(super) is_calm: bool,
    /// The probability that a request fails.
    pub(super) storm: f64,
    /// Copies that were reported as made, and were not.
    pub(super) imagined: BTreeMap<Place, Object>,
    /// Overwritten objects that are not yet checked.
    pub(super) replaced: Vec<Replaced>,
    /// The place of another program's object that was deleted.
    pub(super) robbed: Option<Place>,
    /// All contents that recorders have written.
    written: BTreeSet<String>,
    made: u64,
}

impl Object {
    /// An object uploaded in one request.
    pub(super) fn new(content: &str) -> Self {
        let mut hash = DefaultHasher::new();
        content.hash(&mut hash);
        Self {
            content: content.to_owned(),
            etag: format!("{:016x}", hash.finish()),
            ..Self::default()
        }
    }

    /// A multipart upload, which shows in the ETag.
    pub(super) fn by_parts(content: &str) -> Self {
        let whole = Self::new(content);
        Self {
            etag: format!("{}-2", whole.etag),
            ..whole
        }
    }

    /// An object written by a recorder, in one of the two ways.
    fn recorded(content: &str) -> Self {
        let whole = Self::new(content);
        let is_by_parts = whole.etag.ends_with(|last: char| last.is_ascii_digit());
        Self {
            is_recorded: true,
            ..if is_by_parts {
                Self::by_parts(content)
            } else {
                whole
            }
        }
    }

    /// An object of this size written by another program.
    pub(super) fn strangers(number: u64, size: u64) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut content = format!("{number} is of another program");
        content.extend(std::iter::repeat_n('?', size));
        content.truncate(size);
        Self {
            is_strangers: true,
            ..Self::by_parts(&content)
        }
    }

    /// The ETag that a copy in one request gets.
    pub(super) fn digest(&self) -> &str {
        self.etag.split('-').next().unwrap_or_default()
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

impl World {
    /// Stores a take where it is recorded. Contents that recorders wrote before are not written
    /// again, except non-segments if it `rewrites`. The recorder itself destroys the last copy of
    /// what it overwrites; a grown recording counts in its new form. `goes`: whether a move is
    /// about to delete the object at a place.
    pub(super) fn record(&mut self, mut take: Take, rewrites: bool, goes: impl Fn(&Place) -> bool) {
        for earlier in self.takes.iter_mut().filter(|one| one.named == take.named) {
            let stands = self.objects.get(&take.named);
            if take.has_grown || stands.is_some_and(|object| object.content == earlier.main) {
                earlier.precious = false;
            }
        }
        let is_there = |place, part: &Part| {
            let there: Option<&Object> = self.objects.get(place);
            there.is_some_and(|object| object.content == part.content)
        };
        let named = take.parts_at(&take.named).map(|(place, _)| place);
        let named: Vec<_> = named.zip(take.parts.clone()).collect();
        take.is_apart = named.iter().any(|(place, part)| {
            self.written.contains(&part.content) && (!is_there(place, part) || goes(place))
        });
        for (place, part) in named {
            if !self.written.contains(&part.content) || (rewrites && !part.is_segment()) {
                self.write(&place, &part.content);
            }
        }
        self.write(&take.named, &take.main);
        self.written.extend(take.contents().map(str::to_owned));
        // What it shares may be gone before it appears.
        take.precious = !take.is_apart || self.is_kept(&take);
        self.takes.push(take);
    }

    /// Another recording replaces this take. Shared objects that moved with it are also lost to
    /// takes that have not moved yet.
    pub(super) fn give_up(&mut self, number: usize) {
        let parts = self.takes[number].parts.clone();
        let lacks = |take: &Take| {
            let mut shared = take.parts.iter().filter(|part| parts.contains(part));
            take.is_apart && !self.is_whole(take) && shared.next().is_some()
        };
        let lacking: Vec<bool> = self.takes.iter().map(lacks).collect();
        for (take, lacks) in self.takes.iter_mut().zip(lacking) {
            take.precious &= !lacks;
        }
        self.takes[number].precious = false;
    }

    /// A recorder writes an object. What it replaces belongs to no take there any more.
    pub(super) fn write(&mut self, place: &Place, content: &str) {
        let before = self
            .objects
            .insert(place.clone(), Object::recorded(content));
        if before.is_some_and(|before| before.content != content) {
            let named_here =
                |take: &&mut Take| take.parts_at(&take.named).any(|(at, _)| at == *place);
            for take in self.takes.iter_mut().filter(named_here) {
                take.precious = false;
            }
        }
    }

    /// Whether a recording named at `place` existed and is no longer there.
    pub(super) fn was_moved(&self, place: &Place) -> bool {
        !self.objects.contains_key(place) && self.takes.iter().any(|take| take.named == *place)
    }

    /// Whether no object is where the take's parts were recorded.
    pub(super) fn is_free(&self, take: &Take) -> bool {
        let mut parts = take.parts_at(&take.named);
        !parts.any(|(at, _)| self.objects.contains_key(&at))
    }

    /// Whether an existing playlist names the object at `place`.
    pub(super) fn is_named(&self, place: &Place) -> bool {
        self.takes.iter().any(|take| {
            let mains = self
                .objects
                .iter()
                .filter(|(_, object)| take.is_main(object));
            let mut parts = mains.flat_map(|(main, _)| take.parts_at(main));
            parts.any(|(at, _)| at == *place)
        })
    }

    /// Where copies are that moves have made.
    pub(super) fn copied(&self) -> impl Iterator<Item = &Place> {
        let by_move = |object: &Object| !object.is_recorded && !object.is_strangers;
        let copies = self
            .objects
            .iter()
            .filter(move |(_, object)| by_move(object));
        copies.map(|(place, _)| place)
    }

    /// Whether what is at `place` is the main object of a take.
    pub(super) fn is_main(&self, place: &Place) -> bool {
        let object = self.objects.get(place);
        object.is_some_and(|object| self.takes.iter().any(|take| take.is_main(object)))
    }

    /// A move's copy arrives.
    pub(super) fn arrives(&mut self, at: Place, object: Object) {
        let before = self.objects.insert(at.clone(), object);
        let Some(before) = before.filter(|before| before.content != self.objects[&at].content)
        else {
            return;
        };
        let is_lost = |take: &Take| match () {
            () if take.is_main(&before) => !self.is_whole(take),
            () => take.contents().any(|one| one == before.content) && !self.is_kept(take),
        };
        let takes = self.takes.iter().enumerate();
        let lost = takes.filter(|(_, take)| take.precious && is_lost(take));
        let takes = lost.map(|(number, _)| number).collect();
        self.replaced.push(Replaced { at, takes });
    }

    /// A deletion that was sent when `seen` was there. OBS has no conditional DELETE: what the
    /// recorder has written there meanwhile is lost.
    pub(super) fn deleted(&mut self, at: &Place, seen: Option<&Object>) {
        let Some(object) = self.objects.remove(at) else {
            return;
        };
        if object.is_strangers {
            self.robbed = Some(at.clone());
        }
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

    pub(super) fn whole(&self, take: &Take) -> Vec<Place> {
        self.wholes(take).cloned().collect()
    }

    fn is_whole(&self, take: &Take) -> bool {
        self.wholes(take).next().is_some()
    }

    fn wholes<'a>(&'a self, take: &'a Take) -> impl Iterator<Item = &'a Place> {
        let mains = self
            .objects
            .iter()
            .filter(|(_, object)| take.is_main(object));
        mains
            .map(|(place, _)| place)
            .filter(|place| self.plays(take, place))
    }

    /// Whether all parts exist as recorded for a main object at `place`.
    fn plays(&self, take: &Take, place: &Place) -> bool {
        take.parts_at(place).all(|(at, content)| {
            let there = self.objects.get(&at);
            there.is_some_and(|object| object.content == content)
        })
    }

    /// The first take that must be whole somewhere and is not.
    pub(super) fn lost(&self) -> Option<&Take> {
        let mut precious = self.takes.iter().filter(|take| take.precious);
        precious.find(|take| !self.is_kept(take))
    }

    /// Whether the take is whole somewhere; or, if it has grown or shares objects, whether all its
    /// contents exist while only some of them have moved.
    fn is_kept(&self, take: &Take) -> bool {
        let is_there = |content: &str| self.objects.values().any(|one| one.content == content);
        self.is_whole(take) || (take.has_grown || take.is_apart) && take.contents().all(is_there)
    }

    /// The places of all objects with this content.
    pub(super) fn copies(&self, content: &str) -> Vec<&Place> {
        let same = self
            .objects
            .iter()
            .filter(|(_, object)| object.content == content);
        same.map(|(place, _)| place).collect()
    }

    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}
