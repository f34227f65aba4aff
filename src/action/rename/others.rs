//! Finds objects that recordings share: those named by other playlists near a recording.
//!
//! Recorders write a live playlist and a full one into the same folder, and use one key or init
//! segment for several recordings. Deleting or replacing an object that another playlist names would
//! break that recording. A master playlist may also be in a parent folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::limits::{self, Taken};
use super::playlist::{self, Role};
use super::relative_key;
use crate::action::{OpenBucket, Reach};
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::{Place, names_playlist};

/// The objects named by the playlists in some folders, except by the recording's playlists.
#[derive(Debug, Default)]
pub(super) struct Others {
    own: BTreeSet<[u8; 16]>,
    /// Folders already searched, as a key that ends in a slash, or an empty key.
    looked: BTreeSet<Place>,
    /// The same of parent folders.
    looked_above: BTreeSet<Place>,
    read: BTreeSet<[u8; 16]>,
    named: Named,
    named_above: Named,
    taken: Taken,
}

/// Objects, with the playlist that names each.
type Named = BTreeMap<[u8; 16], Arc<Place>>;

/// How thoroughly to search a folder.
#[derive(Clone, Copy)]
enum Depth {
    /// Completely: fails if the folder has too many playlists.
    Whole,
    /// A parent folder: skipped if it holds more than a single recording would.
    Above,
}

impl Others {
    /// Starts empty; `own` are the recording's playlists.
    pub(super) fn than<'a>(own: impl IntoIterator<Item = &'a Place>) -> Self {
        Self {
            own: own.into_iter().map(Place::digest).collect(),
            ..Self::default()
        }
    }

    pub(super) fn are_none(&self) -> bool {
        self.read.is_empty() && self.named_above.is_empty()
    }

    /// Whether another playlist names the object at `place`.
    pub(super) fn name(&self, place: &Place) -> bool {
        self.naming(place).is_some()
    }

    /// Another playlist that names the object at `place`.
    pub(super) fn naming(&self, place: &Place) -> Option<&Place> {
        let place = place.digest();
        let named = self.named.get(&place);
        named
            .or_else(|| self.named_above.get(&place))
            .map(|by| &**by)
    }

    /// Reads the playlists that may name objects in these `folders`, and those in the folders above
    /// each of the playlists `tops`. Every decision to delete or replace objects asks here.
    pub(super) async fn look_near(
        &mut self,
        reach: &Reach,
        tops: &BTreeSet<Place>,
        folders: BTreeSet<Place>,
    ) -> Result<(), Failure> {
        for folder in folders {
            self.look(reach, folder).await?;
        }
        for top in tops {
            self.look_above(reach, top).await?;
        }
        Ok(())
    }

    /// Reads the playlists of a folder once, and the playlists that they name. Cannot be
    /// interrupted: results are not stored, so each try has to do it all.
    pub(super) async fn look(&mut self, reach: &Reach, folder: Place) -> Result<(), Failure> {
        self.look_to(Depth::Whole, reach, folder).await
    }

    /// Like [`Self::look`], for parent folders, where a master playlist may name the recording as a
    /// rendition. Skips unreadable playlists, and folders that hold more than one recording would:
    /// other people's objects must not block a move.
    async fn look_above(&mut self, reach: &Reach, main: &Place) -> Result<(), Failure> {
        for folder in above(main) {
            if !self.looked_above.insert(folder.clone()) {
                continue;
            }
            let mut above = Self {
                own: self.own.clone(),
                ..Self::default()
            };
            match above.look_to(Depth::Above, reach, folder).await {
                Err(failure) if failure.kind.is_an_answer() => {}
                looked => looked?,
            }
            self.named_above.append(&mut above.named);
        }
        Ok(())
    }

    async fn look_to(&mut self, depth: Depth, reach: &Reach, folder: Place) -> Result<(), Failure> {
        let Some(bucket) = reach.buckets.get(&folder.bucket) else {
            return Ok(());
        };
        if !self.looked.insert(folder.clone()) {
            return Ok(());
        }
        let mut open = self.playlists(depth, bucket, &folder).await?;
        while let Some(key) = open.pop() {
            let place = within(&folder, &key);
            if !self.read.insert(place.digest()) || !bucket.config.allows(&key) {
                continue;
            }
            within_playlists(&folder, self.read.len())?;
            let content = self.content(bucket, &place).await?;
            open.extend(self.follow(bucket, &place, &content)?);
        }
        Ok(())
    }

    /// The playlists in a folder, except the recording's. None if the folder is too large for one
    /// recording. Skips subfolders, however large.
    async fn playlists(
        &self,
        depth: Depth,
        bucket: &OpenBucket,
        folder: &Place,
    ) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        for pages in 1.. {
            let page = bucket.store.list_folder(&folder.key, after.as_deref());
            let page = page.await?;
            found.extend(
                page.keys
                    .into_iter()
                    .filter(|key| self.is_other(folder, key)),
            );
            after = page.next;
            match depth {
                Depth::Whole => within_playlists(folder, found.len())?,
                Depth::Above => {
                    let is_small = pages < limits::PAGES_ABOVE || after.is_none();
                    if !is_small || found.len() > limits::PLAYLISTS_ABOVE {
                        return Ok(Vec::new());
                    }
                }
            }
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn is_other(&self, folder: &Place, key: &str) -> bool {
        relative_key::folder(key) == folder.key
            && names_playlist(key)
            && !self.own.contains(&within(folder, key).digest())
    }

    /// The text of a playlist; empty if it no longer exists.
    async fn content(&mut self, bucket: &OpenBucket, place: &Place) -> Result<Bytes, Failure> {
        let unread = |failure: Failure| {
            let reason = format!(
                "whether {place} names parts of this recording cannot be told ({}); put it away if it is no playlist",
                failure.reason
            );
            Failure { reason, ..failure }
        };
        let Some(there) = bucket.store.head(&place.key).await? else {
            return Ok(Bytes::new());
        };
        let size = self.taken.playlist(&place.to_string(), there.size);
        size.map_err(unread)?;
        let content = match bucket.store.get(&place.key, limits::PLAYLIST).await {
            Err(failure) if failure.kind == FailureKind::Missing => Bytes::new(),
            content => content.map_err(unread)?,
        };
        self.taken.text(&content).map_err(unread)?;
        Ok(content)
    }

    /// Notes the objects that a playlist names. Returns the playlists among them.
    fn follow(
        &mut self,
        bucket: &OpenBucket,
        place: &Place,
        content: &[u8],
    ) -> Result<Vec<String>, Failure> {
        let url = bucket.store.url(&place.key);
        let Ok(playlist) = playlist::read(content, &place.key, &url) else {
            return Ok(Vec::new());
        };
        // A master playlist names what its renditions name.
        let by = self.named.get(&place.digest()).cloned();
        let by = by.unwrap_or_else(|| Arc::new(place.clone()));
        let mut playlists = BTreeSet::new();
        for reference in playlist.references().filter_map(Result::ok) {
            let named = within(place, &reference.key);
            let noted = self.named.entry(named.digest());
            noted.or_insert_with(|| Arc::clone(&by));
            let count = self.named.len() as u64;
            limits::within(
                "other playlists beside it",
                "objects",
                count,
                limits::NAMED_BY_OTHERS as u64,
            )?;
            let is_playlist = reference.role == Role::Playlist || names_playlist(&reference.key);
            if is_playlist && !self.read.contains(&named.digest()) {
                playlists.insert(reference.key);
                within_playlists(place, self.read.len() + playlists.len())?;
            }
        }
        Ok(playlists.into_iter().collect())
    }
}

/// The object's folder and its parents, up to `main`'s folder if the object is below that.
pub(super) fn folders(main: &Place, object: &Place) -> BTreeSet<Place> {
    let top = relative_key::folder(&main.key);
    let mut folder = relative_key::folder(&object.key);
    let mut folders = BTreeSet::from([within(object, folder)]);
    let is_below = object.bucket == main.bucket && folder.starts_with(top);
    while is_below && folder.len() > top.len() {
        folder = relative_key::folder(&folder[..folder.len() - 1]);
        folders.insert(within(object, folder));
    }
    folders
}

/// The folders above a playlist's folder, nearest first.
fn above(main: &Place) -> Vec<Place> {
    let mut folder = relative_key::folder(&main.key);
    let mut above = Vec::new();
    while !folder.is_empty() && above.len() < limits::FOLDERS_ABOVE {
        folder = relative_key::folder(&folder[..folder.len() - 1]);
        above.push(within(main, folder));
    }
    above
}

fn within_playlists(folder: &Place, count: usize) -> Result<(), Failure> {
    if count <= limits::PLAYLISTS {
        return Ok(());
    }
    let reason = format!(
        "more than {} other playlists in {folder}, which may name parts of this recording; \
         have each recording written to a folder of its own, or put old playlists away",
        limits::PLAYLISTS
    );
    Err(Failure::new(FailureKind::Unsupported, reason))
}

fn within(place: &Place, key: &str) -> Place {
    Place {
        bucket: place.bucket.clone(),
        key: key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str) -> Place {
        Place {
            bucket: "b".into(),
            key: key.into(),
        }
    }

    #[test]
    fn folders_lead_from_an_object_up_to_the_one_of_the_playlist() {
        for (main, object, expected) in [
            ("r/a.m3u8", "r/1.ts", vec!["r/"]),
            ("r/a.m3u8", "r/x/y/1.ts", vec!["r/", "r/x/", "r/x/y/"]),
            ("r/a.m3u8", "s/x/1.ts", vec!["s/x/"]),
            ("r/a.m3u8", "1.ts", vec![""]),
            ("a.m3u8", "x/1.ts", vec!["", "x/"]),
        ] {
            let folders = folders(&place(main), &place(object));
            let keys: Vec<&str> = folders.iter().map(|place| &*place.key).collect();
            assert_eq!(keys, expected, "{main} {object}");
        }
    }

    #[test]
    fn folders_above_are_looked_at_as_far_as_renditions_are_put_below_their_master_playlist() {
        for (main, expected) in [
            ("a.m3u8", vec![]),
            ("r/a.m3u8", vec![""]),
            ("x/r/a.m3u8", vec!["x/", ""]),
            ("x/y/r/hd/a.m3u8", vec!["x/y/r/", "x/y/"]),
            ("x//a.m3u8", vec!["x/", ""]),
        ] {
            let above = above(&place(main));
            let keys: Vec<&str> = above.iter().map(|place| &*place.key).collect();
            assert_eq!(keys, expected, "{main}");
        }
    }
}
