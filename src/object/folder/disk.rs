//! The folder's operations, blocking.
//!
//! A file is written outside the bucket's content and synced, then its sidecar is written, and then
//! the file is renamed into place. So readers see complete objects only, and after a power failure
//! an object is complete or absent. A crash may leave a file in `.aftertake/parts/` or a sidecar
//! without an object; neither is listed, and [`Folder::abandon`] or the next write of the same key
//! removes them.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::dir::{Dir, SHARED};
use super::etag::{Etags, digest};
use super::identity::{self, Identities, Purpose};
use super::location::Location;
use super::part::{self, Part};
use super::path::{failure, is_unwritable};
use super::same_files::{Overlaps, id_of};
use super::sidecar::{self, Sidecar};
use crate::model::failure::{Failure, FailureKind};
use crate::object::{Attributes, ObjectMeta};

/// How often to recreate a directory that a deletion removed while it was still empty.
const TRIES: u32 = 10;

#[derive(Debug)]
pub(super) struct Folder {
    /// The bucket's name.
    name: String,
    root: PathBuf,
    pub(super) etags: Etags,
    pub(super) identities: Option<Arc<dyn Identities>>,
    /// The noted id of the bucket's directory.
    pub(super) id: OnceCell<String>,
}

#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) key: String,
    /// The file that must survive, so it must not be the same file.
    pub(super) stays: Option<(Arc<Folder>, String)>,
}

struct Found {
    file: File,
    metadata: Metadata,
    path: PathBuf,
}

impl Folder {
    /// Without `identities`, whatever directory is at `root` is the bucket's.
    pub(super) fn new(
        name: String,
        root: PathBuf,
        identities: Option<Arc<dyn Identities>>,
    ) -> Self {
        Self {
            name,
            root: std::path::absolute(&root).unwrap_or(root),
            etags: Etags::default(),
            identities,
            id: OnceCell::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The bucket's directory. Only what is not in this one is not in the bucket: fails as
    /// [`FailureKind::Away`] while it is missing, or another one is in its place.
    pub(super) fn dir(&self) -> Result<Dir, Failure> {
        let root = self.any_dir()?;
        if let Some(id) = self.id.get() {
            identity::recognise(&root, &self.root, id)?;
        }
        Ok(root)
    }

    /// The id of the directory that is there, for a bucket without a noted one. `None` if it needs
    /// none yet.
    pub(super) fn adopt(&self, purpose: Purpose) -> Result<Option<String>, Failure> {
        identity::adopt(&self.any_dir()?, purpose)
    }

    fn any_dir(&self) -> Result<Dir, Failure> {
        Dir::root(&self.root)?.ok_or_else(|| identity::missing(&self.root))
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let Some(mut found) = self.find(key)? else {
            return Ok(None);
        };
        let etag = self.etag(key, &mut found)?;
        Ok(Some(ObjectMeta {
            key: key.to_owned(),
            size: found.metadata.len(),
            attributes: self.sidecar(key, &etag)?.attributes(),
            etag,
        }))
    }

    pub(super) fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure> {
        let Found { file, path, .. } = self.existing(key)?;
        let mut content = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| failure(&path, &error))?;
        if content.len() as u64 > limit {
            let reason = format!("{} is above {limit} bytes", path.display());
            return Err(Failure::new(FailureKind::Unsupported, reason));
        }
        Ok(content.into())
    }

    pub(super) fn put(
        &self,
        key: &str,
        content: &[u8],
        attributes: Attributes,
    ) -> Result<ObjectMeta, Failure> {
        self.refuse_link(key)?;
        let mut part = self.part(key)?;
        let written = part.file.write_all(content);
        written.map_err(|error| part.failure(&error))?;
        let etag = digest(&mut &*content);
        let etag = etag.map_err(|error| part.failure(&error))?;
        self.place(&part, key, &Sidecar::new(attributes), &etag)
    }

    /// Copies an object that has the ETag `etag`. The digest of the copy verifies both the source
    /// and the copy.
    pub(super) fn copy(
        &self,
        source: &Folder,
        from: &str,
        to: &str,
        etag: &str,
    ) -> Result<ObjectMeta, Failure> {
        let of_source = |failure: Failure| failure.from_bucket(&source.name);
        let mut found = source.existing(from).map_err(of_source)?;
        self.refuse_link(to)?;
        self.refuse_same(to, &found)?;
        let mut part = self.part(to)?;
        let copied = copy_whole(&mut found.file, &mut part.file);
        let copied = copied.map_err(|error| {
            if is_unwritable(&error) {
                part.failure(&error)
            } else {
                of_source(failure(&found.path, &error))
            }
        })?;
        if copied != etag {
            let reason = format!("{} is not what it was", found.path.display());
            return Err(Failure::new(FailureKind::SourceChanged, reason));
        }
        let sidecar = source.sidecar(from, etag).map_err(of_source)?;
        self.place(&part, to, &sidecar, etag)
    }

    /// Removes what an interrupted write of `key` left.
    pub(super) fn abandon(&self, key: &str) -> Result<(), Failure> {
        let way = Location::way(self.dir()?, key)?;
        part::remove_all_on(&way, &sidecar::stem_of(key))?;
        match self.find(key)? {
            Some(_) => Ok(()),
            None => sidecar::remove(&way[0], key),
        }
    }

    /// Deletes objects and directories that become empty, as buckets have no directories. `others`
    /// are the directories of the other buckets.
    pub(super) fn delete(
        &self,
        deletions: Vec<Deletion>,
        others: &[(String, PathBuf)],
    ) -> Result<Vec<(String, Failure)>, Failure> {
        let overlaps = Overlaps::new(&self.root, others);
        // One key per directory, so that not every directory is held open at once.
        let mut cleared = BTreeMap::new();
        let mut failures = Vec::new();
        for deletion in deletions {
            match self.delete_one(&deletion, &overlaps) {
                Ok(()) => {
                    let folder = deletion.key.rsplit_once('/');
                    let folder = folder.map_or("", |(folder, _)| folder).to_owned();
                    cleared.insert(folder, deletion.key);
                }
                Err(failure) => failures.push((deletion.key, failure.from_bucket(&self.name))),
            }
        }
        for key in cleared.values() {
            if let Some(location) = self.location(key)? {
                location.tidy()?;
            }
        }
        Ok(failures)
    }

    pub(super) fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, Failure> {
        let etag = self.etag(key, &mut self.existing(key)?)?;
        Ok(self.sidecar(key, &etag)?.tags)
    }

    pub(super) fn amend(
        &self,
        key: &str,
        change: impl FnOnce(&mut Sidecar),
    ) -> Result<(), Failure> {
        let etag = self.etag(key, &mut self.existing(key)?)?;
        let mut sidecar = self.sidecar(key, &etag)?;
        change(&mut sidecar);
        sidecar.save(&self.dir()?, key, &etag)
    }

    /// The location of `key`; `None` when its directory does not exist.
    fn location(&self, key: &str) -> Result<Option<Location>, Failure> {
        Location::find(self.dir()?, key)
    }

    fn find(&self, key: &str) -> Result<Option<Found>, Failure> {
        let Some(location) = self.location(key)? else {
            return Ok(None);
        };
        let found = location.file()?;
        Ok(found.map(|(file, metadata)| Found {
            file,
            metadata,
            path: location.path(),
        }))
    }

    fn existing(&self, key: &str) -> Result<Found, Failure> {
        self.find(key)?.ok_or_else(|| {
            let reason = format!("there is no file {}", self.root.join(key).display());
            Failure::new(FailureKind::Missing, reason)
        })
    }

    fn etag(&self, key: &str, found: &mut Found) -> Result<String, Failure> {
        let etag = self.etags.of(key, &mut found.file, &found.metadata);
        etag.map_err(|error| failure(&found.path, &error))
    }

    fn sidecar(&self, key: &str, etag: &str) -> Result<Sidecar, Failure> {
        Sidecar::read(&self.dir()?, key, etag)
    }

    /// A new part for `key`, on the file system of its nearest existing directory.
    fn part(&self, key: &str) -> Result<Part, Failure> {
        let way = Location::way(self.dir()?, key)?;
        let (root, nearest) = (&way[0], &way[way.len() - 1]);
        if nearest.id()?.device == root.id()?.device {
            Part::new(root, &object_part(key), SHARED)
        } else {
            Part::beside(nearest, &object_part(key), SHARED)
        }
    }

    /// Refuses links at `key` and on the path to it.
    fn refuse_link(&self, key: &str) -> Result<(), Failure> {
        let location = self.location(key)?;
        location.map_or(Ok(()), |location| location.refuse_link())
    }

    /// Refuses a target `key` that is the same file as `file`, which would be lost.
    fn refuse_same(&self, key: &str, file: &Found) -> Result<(), Failure> {
        match self.find(key)? {
            Some(found) if id_of(&found.metadata) == id_of(&file.metadata) => {
                Err(one_file(&file.path, &found.path))
            }
            _ => Ok(()),
        }
    }

    fn place(
        &self,
        part: &Part,
        key: &str,
        sidecar: &Sidecar,
        etag: &str,
    ) -> Result<ObjectMeta, Failure> {
        part.sync()?;
        sidecar.save(&self.dir()?, key, etag)?;
        self.move_into_place(part, key)?;
        self.etags.forget(key);
        self.head(key)?.ok_or_else(|| {
            let path = self.root.join(key);
            let reason = format!("{} was removed as soon as it was written", path.display());
            Failure::new(FailureKind::Unknown, reason)
        })
    }

    /// Durably renames a part to its key. A deletion may remove the directory while it is still
    /// empty, so it is recreated a few times.
    fn move_into_place(&self, part: &Part, key: &str) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let location = match Location::make(self.dir()?, key) {
                Err(failure) if failure.kind == FailureKind::Missing => continue,
                location => location?,
            };
            match part.place(location.dir(), location.name()) {
                Ok(()) => return location.dir().sync(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    return place_across(part, key, &location);
                }
                Err(error) => return Err(failure(&location.path(), &error)),
            }
        }
        let path = self.root.join(key);
        let reason = format!(
            "{} was not written: its directory was removed {TRIES} times",
            path.display()
        );
        Err(Failure::new(FailureKind::Unavailable, reason))
    }

    fn delete_one(&self, deletion: &Deletion, overlaps: &Overlaps<'_>) -> Result<(), Failure> {
        let key = &deletion.key;
        if let Some(location) = self.location(key)? {
            overlaps.refuse(&location.path(), &location.ids()?)?;
            if let Some((file, metadata)) = location.file()? {
                let path = location.path();
                let found = Found {
                    file,
                    metadata,
                    path,
                };
                if let Some((folder, stays)) = &deletion.stays {
                    let refused = folder.refuse_same(stays, &found);
                    refused.map_err(|failure| failure.from_bucket(&folder.name))?;
                }
                location.dir().remove(location.name())?;
            }
        }
        sidecar::remove(&self.dir()?, key)
    }
}

/// Copies content and permissions, and returns the copy's digest.
fn copy_whole(file: &mut File, copy: &mut File) -> io::Result<String> {
    io::copy(file, copy)?;
    copy.set_permissions(file.metadata()?.permissions())?;
    copy.rewind()?;
    digest(copy)
}

/// Copies a part to its key's directory when rename fails across devices: a device may be mounted
/// twice or have internal boundaries. Verified and synced like any copy.
fn place_across(part: &Part, key: &str, location: &Location) -> Result<(), Failure> {
    let dir = location.dir();
    let mut there = Part::beside(dir, &object_part(key), SHARED)?;
    let copied = part.file.try_clone().and_then(|mut file| {
        file.rewind()?;
        let expected = digest(&mut file)?;
        file.rewind()?;
        Ok(copy_whole(&mut file, &mut there.file)? == expected)
    });
    if !copied.map_err(|error| there.failure(&error))? {
        let reason = format!(
            "{} is not what was written to it",
            location.path().display()
        );
        return Err(Failure::new(FailureKind::Unavailable, reason));
    }
    there.sync()?;
    let placed = there.place(dir, location.name());
    placed.map_err(|error| failure(&location.path(), &error))?;
    dir.sync()
}

fn one_file(path: &Path, other: &Path) -> Failure {
    let reason = format!(
        "{} and {} are one file, by a link, a mount or a spelling that is the same here; \
         nothing was moved or deleted: remove one of the two names, or move it elsewhere",
        path.display(),
        other.display()
    );
    Failure::new(FailureKind::Forbidden, reason)
}

/// Common prefix of the names of an object's parts; begins with [`sidecar::stem_of`].
fn object_part(key: &str) -> String {
    format!("{}.object.", sidecar::stem_of(key))
}
