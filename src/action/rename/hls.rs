//! Finds the objects of an HLS recording by following its playlists.
//!
//! There is no other way: segments do not share the playlist's name, and a folder may hold several
//! recordings. Follows every object that is referred to as a playlist or has the name of one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::limits::{self, Taken};
use super::playlist::{self, Need, Role};
use super::relative_key::extension;
use crate::action::OpenBucket;
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::Part;
use crate::model::recording::{Place, names_playlist};

#[derive(Debug)]
pub(in crate::action) struct HlsSet {
    /// In the order of copying: an object comes before the playlists that refer to it. The
    /// playlist that the event names is the last one.
    pub(in crate::action) objects: Vec<Object>,
    /// The ETag of each playlist before it was read.
    pub(super) playlists: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(in crate::action) struct Object {
    pub(in crate::action) key: String,
    /// Whether the object may be missing.
    pub(in crate::action) may_lack: bool,
    pub(super) part: Part,
}

impl HlsSet {
    /// A set of the named object alone, without its references.
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

/// The objects of the recording whose playlist is `main`; `Missing` when a playlist does not exist.
/// Does not check that segments exist.
pub(in crate::action) async fn members(
    bucket: &OpenBucket,
    main: &Place,
) -> Result<HlsSet, Failure> {
    let walked = walk(bucket, main, &Elsewhere::new(), &|_| None).await;
    walked.map_err(|(failure, _)| failure)
}

/// Playlists that were moved from the place where they are named, by the key that names them.
pub(super) type Elsewhere = BTreeMap<String, (OpenBucket, String)>;

/// Why the object with this key cannot be part of a set, or `None`.
type Fault<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// Like [`members`], but reads playlists that are `elsewhere` there; if others are missing, also
/// returns where they should be. Rejects a required object with a `fault`.
pub(super) async fn walk(
    bucket: &OpenBucket,
    main: &Place,
    elsewhere: &Elsewhere,
    fault: Fault<'_>,
) -> Result<HlsSet, (Failure, Vec<Place>)> {
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
        // Other errors in the set may come from the missing playlist, so this one is reported.
        (Some(first), _) => {
            let reason = format!("playlist {first}");
            Err((Failure::new(FailureKind::Missing, reason), missing))
        }
    }
}

pub(super) async fn read(bucket: &OpenBucket, key: &str) -> Result<Bytes, Failure> {
    bucket.store.get(key, limits::PLAYLIST).await
}

/// Walks through playlists depth first: each comes after those that it names.
struct Walk<'a> {
    bucket: &'a OpenBucket,
    /// The ETag of each playlist, including those still in progress.
    seen: BTreeMap<String, String>,
    /// Finished playlists, in order.
    read: Vec<String>,
    referred: Referred,
    taken: Taken,
    elsewhere: &'a Elsewhere,
    fault: Fault<'a>,
    /// Required playlists that do not exist.
    missing: BTreeSet<String>,
}

/// A playlist on the path to the current one.
struct Step {
    key: String,
    /// Playlists that it names and that are still to be walked.
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

    /// Reads a playlist; `None` if it does not exist.
    async fn follow(&mut self, key: &str, need: Need) -> Result<Option<Step>, Failure> {
        self.bucket.config.permit(key)?;
        let elsewhere = self.elsewhere.get(key);
        let (bucket, at) = elsewhere.map_or((self.bucket, key), |(bucket, at)| (bucket, &**at));
        // The ETag is from before the read: if the recorder appends in between, the copy with this
        // precondition fails, and no segment is missed.
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
        // References are relative to the place where the playlist is named, even if it was moved.
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

    fn set(self) -> HlsSet {
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
        HlsSet {
            objects: referred.objects().chain(playlists).collect(),
            playlists: seen,
        }
    }
}

/// The objects other than playlists that playlists refer to.
#[derive(Debug, Default)]
struct Referred(BTreeMap<String, Use>);

#[derive(Debug)]
struct Use {
    /// Whether no tag refers to it.
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

    /// The objects. Those that no tag refers to, with the most common extension among them, are
    /// assumed to be alike.
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
