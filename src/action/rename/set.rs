//! Finds the objects of an HLS recording by following its playlists.
//!
//! Nothing else tells: segments do not share the playlist's name, and a folder may hold
//! several recordings. A playlist of playlists is followed one level, as deep as HLS goes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::playlist::{self, Kind, Role};
use super::relative::extension;
use crate::action::OpenBucket;
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::Part;
use crate::model::recording::Place;

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
    pub(super) part: Part,
}

impl Set {
    /// The object itself, whatever it refers to.
    pub(super) fn single(main: &Place) -> Self {
        let object = Object {
            key: main.key.clone(),
            part: Part::Other,
        };
        Self {
            objects: vec![object],
            playlists: BTreeMap::new(),
        }
    }
}

/// What playlists refer to, beside other playlists: each key with whether it is only listed,
/// and never named by a tag.
#[derive(Debug, Default)]
struct Referred(BTreeMap<String, bool>);

impl Referred {
    fn add(&mut self, key: String, role: Role) {
        let is_listed = role == Role::Segment;
        *self.0.entry(key).or_insert(is_listed) &= is_listed;
    }

    /// The objects. Those that are only listed, and have the extension that most of these have,
    /// are taken to be alike.
    fn objects(self) -> impl Iterator<Item = Object> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, _) in self.0.iter().filter(|(_, only_listed)| **only_listed) {
            *counts.entry(extension(key)).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let most = most.map(|(extension, _)| extension.to_owned());
        self.0.into_iter().map(move |(key, only_listed)| {
            let is_alike = only_listed && most.as_deref() == Some(extension(&key));
            let part = if is_alike { Part::Segment } else { Part::Other };
            Object { key, part }
        })
    }
}

/// The objects of the recording whose playlist is `main`; `Missing` when a playlist is
/// not there. Segments are not looked up.
pub(in crate::action) async fn members(bucket: &OpenBucket, main: &Place) -> Result<Set, Failure> {
    let mut playlists = BTreeMap::new();
    let mut referred = Referred::default();
    let renditions = follow(bucket, &main.key, &mut playlists, &mut referred).await?;
    for rendition in &renditions {
        let deeper = follow(bucket, rendition, &mut playlists, &mut referred).await?;
        if !deeper.is_empty() || referred.0.contains_key(&main.key) {
            let reason = format!(
                "playlist {rendition:?}, which {main} lists, lists playlists itself or {main}"
            );
            return Err(Failure::new(FailureKind::Invalid, reason));
        }
    }
    referred.0.retain(|key, _| !renditions.contains(key));
    let playlist = |key| Object {
        key,
        part: Part::Playlist,
    };
    let renditions = renditions.into_iter().map(playlist);
    let mut objects: Vec<Object> = referred.objects().chain(renditions).collect();
    objects.push(playlist(main.key.clone()));
    Ok(Set { objects, playlists })
}

/// Reads one playlist of the set.
pub(super) async fn read(bucket: &OpenBucket, key: &str) -> Result<Bytes, Failure> {
    bucket.store.get(key, playlist::LIMIT).await
}

/// Adds what a playlist refers to, and answers the playlists among it.
async fn follow(
    bucket: &OpenBucket,
    key: &str,
    playlists: &mut BTreeMap<String, String>,
    referred: &mut Referred,
) -> Result<BTreeSet<String>, Failure> {
    // Looked at before it is read: when the recorder appends in between, the copy, which
    // is conditional on this ETag, fails, and no segment is missed.
    let seen = bucket.store.head(key).await?.ok_or_else(|| {
        let reason = format!("playlist {}/{key}", bucket.config.name);
        Failure::new(FailureKind::Missing, reason)
    })?;
    playlists.insert(key.to_owned(), seen.etag);
    let content = read(bucket, key).await?;
    let playlist = playlist::read(&content, key, &bucket.store.url(key))?;
    let mut renditions = BTreeSet::new();
    for reference in playlist.references {
        match (playlist.kind, reference.role) {
            (Kind::Master, Role::Playlist) => {
                renditions.insert(reference.key);
            }
            _ => referred.add(reference.key, reference.role),
        }
    }
    Ok(renditions)
}
