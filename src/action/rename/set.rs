//! Finds the objects of an HLS recording by following its playlists.
//!
//! Nothing else tells: segments do not share the playlist's name, and a folder may hold
//! several recordings. Whatever is named as a playlist, or called like one, is followed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::limits::{self, Taken};
use super::playlist::{self, Need, Role};
use super::relative::extension;
use crate::action::OpenBucket;
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::Part;
use crate::model::recording::{Place, names_playlist};

/// The objects of a recording.
#[derive(Debug)]
pub(in crate::action) struct Set {
    /// In the order in which they are copied: what is referred to comes before what
    /// refers to it, and the playlist that the event names is the last one.
    pub(in crate::action) objects: Vec<Object>,
    /// The ETag that each playlist had before it was read.
    pub(super) playlists: BTreeMap<String, String>,
}

/// An object of a recording.
#[derive(Debug)]
pub(in crate::action) struct Object {
    pub(in crate::action) key: String,
    /// Whether it is no fault when it is not there.
    pub(in crate::action) may_lack: bool,
    pub(super) part: Part,
}

impl Set {
    /// The named object itself, whatever it refers to.
    pub(super) fn single(main: &Place) -> Self {
        let object = Object {
            key: main.key.clone(),
            may_lack: false,
            part: Part::Other,
        };
        Self {
            objects: vec![object],
            playlists: BTreeMap::new(),
        }
    }
}

/// The objects of the recording whose playlist is `main`; `Missing` when a playlist is
/// not there. Segments are not looked up.
pub(in crate::action) async fn members(bucket: &OpenBucket, main: &Place) -> Result<Set, Failure> {
    let walked = walk(bucket, main, &Elsewhere::new(), &|_| None).await;
    walked.map_err(|(failure, _)| failure)
}

/// Playlists that are in another place than where they are named, by the key that names them.
pub(super) type Elsewhere = BTreeMap<String, (OpenBucket, String)>;

/// Why the object with this key cannot be a part of a set, if so.
type Fault<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// The same with playlists that are `elsewhere`; of others that are missing, also where they
/// should be. A required object with a `fault` is refused.
pub(super) async fn walk(
    bucket: &OpenBucket,
    main: &Place,
    elsewhere: &Elsewhere,
    fault: Fault<'_>,
) -> Result<Set, (Failure, Vec<Place>)> {
    let mut walk = Walk {
        bucket,
        seen: BTreeMap::new(),
        read: Vec::new(),
        referred: Referred::default(),
        taken: Taken::default(),
        elsewhere,
        fault,
        missing: BTreeSet::new(),
    };
    let gone = walk.go(&main.key).await;
    let missing = std::mem::take(&mut walk.missing).into_iter();
    let place = |key| Place {
        bucket: main.bucket.clone(),
        key,
    };
    let missing: Vec<Place> = missing.map(place).collect();
    match (missing.first(), gone) {
        (None, Ok(())) => Ok(walk.set()),
        (None, Err(failure)) => Err((failure, missing)),
        // Whatever else is wrong with the set may be so as it is not there yet.
        (Some(first), _) => {
            let reason = format!("playlist {first}");
            Err((Failure::new(FailureKind::Missing, reason), missing))
        }
    }
}

/// Reads one playlist of the set.
pub(super) async fn read(bucket: &OpenBucket, key: &str) -> Result<Bytes, Failure> {
    bucket.store.get(key, limits::PLAYLIST).await
}

/// A walk through the playlists of a set: depth first, so that those which are named come
/// before those which name them.
struct Walk<'a> {
    bucket: &'a OpenBucket,
    /// The ETag of each playlist, also of one that is being walked.
    seen: BTreeMap<String, String>,
    /// Playlists in the order in which the walk has ended with them.
    read: Vec<String>,
    referred: Referred,
    taken: Taken,
    elsewhere: &'a Elsewhere,
    fault: Fault<'a>,
    /// Required playlists that are not there.
    missing: BTreeSet<String>,
}

/// A playlist on the way to where the walk is.
struct Step {
    key: String,
    /// The playlists that it names and that are yet to be walked.
    names: BTreeMap<String, Need>,
}

impl Walk<'_> {
    async fn go(&mut self, main: &str) -> Result<(), Failure> {
        let mut way: Vec<Step> = Vec::from_iter(self.follow(main, Need::Required).await?);
        while let Some(step) = way.last_mut() {
            let Some((key, need)) = step.names.pop_first() else {
                self.read.extend(way.pop().map(|step| step.key));
                continue;
            };
            if need == Need::Required && way.iter().any(|step| step.key == key) {
                let reason = format!("playlist {key:?} names one that names it in turn");
                return Err(Failure::new(FailureKind::Invalid, reason));
            }
            if !self.seen.contains_key(&key) && !self.missing.contains(&key) {
                way.extend(self.follow(&key, need).await?);
            }
        }
        Ok(())
    }

    /// Reads a playlist; `None` for one that is not there.
    async fn follow(&mut self, key: &str, need: Need) -> Result<Option<Step>, Failure> {
        self.bucket.config.permit(key)?;
        let elsewhere = self.elsewhere.get(key);
        let (bucket, at) = elsewhere.map_or((self.bucket, key), |(bucket, at)| (bucket, &**at));
        // Looked at before it is read: when the recorder appends in between, the copy, which
        // is conditional on this ETag, fails, and no segment is missed.
        let Some(there) = bucket.store.head(at).await? else {
            if need == Need::Required {
                self.missing.insert(key.to_owned());
            }
            return Ok(None);
        };
        let place = format!("{}/{at}", bucket.config.name);
        self.taken.playlist(&place, there.size)?;
        self.seen.insert(key.to_owned(), there.etag);
        let content = read(bucket, at).await?;
        if content.len() as u64 != there.size {
            let reason = format!("{place} changed while it was read");
            return Err(Failure::new(FailureKind::SourceChanged, reason));
        }
        self.taken.text(&content)?;
        // What it names is beside where it is named, also where it was moved.
        let url = self.bucket.store.url(key);
        let playlist = playlist::read(&content, key, &url)?;
        let mut names = BTreeMap::new();
        for reference in playlist.references() {
            let reference = reference?;
            let (role, need) = (reference.role, reference.need);
            let is_allowed = self.bucket.config.allows(&reference.key);
            match (self.fault)(&reference.key) {
                _ if need == Need::Optional && !is_allowed => continue,
                Some(_) if need == Need::Optional => continue,
                Some(fault) if is_allowed => return Err(playlist.refuse(&reference, &fault)),
                Some(_) | None => {}
            }
            let key = reference.key;
            let is_key = role == Role::Key;
            if role == Role::Playlist || (!is_key && names_playlist(&key)) {
                if !names.contains_key(&key) {
                    self.taken.object(&key)?;
                }
                let noted = names.entry(key).or_insert(need);
                *noted = need.max(*noted);
            } else {
                self.referred.add(key, role, need, &mut self.taken)?;
            }
        }
        Taken::playlists(self.seen.len() + self.missing.len() + names.len())?;
        Ok(Some(Step {
            key: key.to_owned(),
            names,
        }))
    }

    fn set(self) -> Set {
        let Self {
            seen,
            read,
            mut referred,
            ..
        } = self;
        referred.0.retain(|key, _| !seen.contains_key(key));
        let playlist = |key| Object {
            key,
            may_lack: false,
            part: Part::Playlist,
        };
        let playlists = read.into_iter().map(playlist);
        Set {
            objects: referred.objects().chain(playlists).collect(),
            playlists: seen,
        }
    }
}

/// What playlists refer to, beside other playlists.
#[derive(Debug, Default)]
struct Referred(BTreeMap<String, Use>);

/// How playlists refer to an object.
#[derive(Debug)]
struct Use {
    /// Never by a tag.
    only_listed: bool,
    need: Need,
}

impl Referred {
    fn add(
        &mut self,
        key: String,
        role: Role,
        need: Need,
        taken: &mut Taken,
    ) -> Result<(), Failure> {
        let is_listed = role == Role::Segment;
        if !self.0.contains_key(&key) {
            taken.object(&key)?;
        }
        let used = self.0.entry(key).or_insert(Use {
            only_listed: is_listed,
            need,
        });
        used.only_listed &= is_listed;
        used.need = used.need.max(need);
        Ok(())
    }

    /// The objects. Those that are only listed, and have the extension that most of these have,
    /// are taken to be alike.
    fn objects(self) -> impl Iterator<Item = Object> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, _) in self.0.iter().filter(|(_, used)| used.only_listed) {
            *counts.entry(extension(key)).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let most = most.map(|(extension, _)| extension.to_owned());
        self.0.into_iter().map(move |(key, used)| {
            let is_alike = used.only_listed && most.as_deref() == Some(extension(&key));
            Object {
                may_lack: used.need == Need::Optional,
                part: if is_alike { Part::Segment } else { Part::Other },
                key,
            }
        })
    }
}
