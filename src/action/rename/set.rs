//! Finds the objects of an HLS recording by following its playlists.
//!
//! Nothing else tells: segments do not share the playlist's name, and a folder may hold
//! several recordings. A playlist of playlists is followed one level, as deep as HLS goes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::playlist::{self, Kind, Role};
use crate::action::OpenBucket;
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::Place;

/// The objects of a recording.
#[derive(Debug)]
pub(in crate::action) struct Set {
    /// Keys, in the order in which they are copied: what is referred to comes before what
    /// refers to it, and the playlist that the event names is the last one.
    pub(in crate::action) keys: Vec<String>,
    /// The ETag that each playlist had before it was read.
    pub(super) playlists: BTreeMap<String, String>,
}

impl Set {
    /// The object itself, whatever it refers to.
    pub(super) fn single(main: &Place) -> Self {
        Self {
            keys: vec![main.key.clone()],
            playlists: BTreeMap::new(),
        }
    }
}

/// The objects of the recording whose playlist is `main`; `Missing` when a playlist is
/// not there. Segments are not looked up.
pub(in crate::action) async fn members(bucket: &OpenBucket, main: &Place) -> Result<Set, Failure> {
    let mut playlists = BTreeMap::new();
    let (mut segments, renditions) = follow(bucket, &main.key, &mut playlists).await?;
    for rendition in &renditions {
        let (referred, deeper) = follow(bucket, rendition, &mut playlists).await?;
        if !deeper.is_empty() || referred.contains(&main.key) {
            let reason = format!(
                "playlist {rendition:?}, which {main} lists, lists playlists itself or {main}"
            );
            return Err(Failure::new(FailureKind::Invalid, reason));
        }
        segments.extend(referred);
    }
    segments.retain(|key| !renditions.contains(key));
    let mut keys: Vec<String> = segments.into_iter().chain(renditions).collect();
    keys.push(main.key.clone());
    Ok(Set { keys, playlists })
}

/// Reads one playlist of the set.
pub(super) async fn read(bucket: &OpenBucket, key: &str) -> Result<Bytes, Failure> {
    bucket.store.get(key, playlist::LIMIT).await
}

/// The objects and the playlists that a playlist refers to.
async fn follow(
    bucket: &OpenBucket,
    key: &str,
    playlists: &mut BTreeMap<String, String>,
) -> Result<(BTreeSet<String>, BTreeSet<String>), Failure> {
    // Looked at before it is read: when the recorder appends in between, the copy, which
    // is conditional on this ETag, fails, and no segment is missed.
    let seen = bucket.store.head(key).await?.ok_or_else(|| {
        let reason = format!("playlist {}/{key}", bucket.config.name);
        Failure::new(FailureKind::Missing, reason)
    })?;
    playlists.insert(key.to_owned(), seen.etag);
    let content = read(bucket, key).await?;
    let playlist = playlist::read(&content, key, &bucket.store.url(key))?;
    let (mut objects, mut renditions) = (BTreeSet::new(), BTreeSet::new());
    for reference in playlist.references {
        match (playlist.kind, reference.role) {
            (Kind::Master, Role::Playlist) => renditions.insert(reference.key),
            _ => objects.insert(reference.key),
        };
    }
    Ok((objects, renditions))
}
