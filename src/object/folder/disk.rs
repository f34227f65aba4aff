//! The folder's operations, blocking.
//!
//! A file is written beside the bucket's content, synced, and only then renamed into
//! place, its sidecar before it: whoever sees the object sees all of it, and after a
//! power failure it is there whole or not at all. What a crash leaves is a file in
//! `.aftertake/parts/` or a sidecar without an object; neither is ever listed, and
//! [`Folder::abandon`] removes them; so does whoever writes the same again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::file::{digest, entries, file_at, move_into_place, remove, sync_dir};
use super::path::{self, OWN, failure, is_absent};
use super::sidecar::{self, Sidecar};
use super::whereabouts::{id_of, locate};
use crate::model::bucket::Overlap;
use crate::model::failure::{Failure, FailureKind};
use crate::object::{Attributes, ObjectMeta, Page};

/// Objects of one page of a listing, as in OBS.
const PAGE: usize = 1000;

/// Digests of files above this many bytes are remembered. Below it, reading again costs
/// little, and a change within one tick of the file system's clock is still seen.
const REMEMBER_ABOVE: u64 = 1024 * 1024;

/// How many digests are remembered before all are forgotten.
const REMEMBERED: usize = 4096;

/// One directory.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    digests: Mutex<HashMap<PathBuf, (u64, SystemTime, String)>>,
}

/// An object to delete.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) key: String,
    /// The object that stays, when that is a file: it must be another one.
    pub(super) stays: Option<(Arc<Folder>, String)>,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root: std::path::absolute(&root).unwrap_or(root),
            digests: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let path = path::of_key(&self.root, key)?;
        let Some(found) = file_at(&path)? else {
            return Ok(None);
        };
        Ok(Some(ObjectMeta {
            key: key.to_owned(),
            size: found.len(),
            etag: self.etag(&path, &found)?,
            attributes: Sidecar::read(&self.root, key)?.attributes(),
        }))
    }

    pub(super) fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure> {
        let path = self.existing(key)?;
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut content))
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
        let path = path::of_key(&self.root, key)?;
        let mut part = self.part(&object_part(key))?;
        part.write_all(content)
            .map_err(|error| failure(part.path(), &error))?;
        self.place(part, key, &path, &Sidecar::new(attributes))
    }

    /// Copies an object that has the ETag `etag`. The digest is taken of the copy, so it
    /// tells at once that the source is the expected one and that the copy is whole.
    pub(super) fn copy(
        &self,
        source: &Folder,
        from: &str,
        to: &str,
        etag: &str,
    ) -> Result<ObjectMeta, Failure> {
        let source_path = source.existing(from)?;
        let path = path::of_key(&self.root, to)?;
        if let Some(found) = file_at(&source_path)? {
            refuse_same(&source_path, &found, &path)?;
        }
        let part = self.part(&object_part(to))?;
        fs::copy(&source_path, part.path()).map_err(|error| failure(&source_path, &error))?;
        if digest(part.path())? != etag {
            let reason = format!("{} is not what it was", source_path.display());
            return Err(Failure::new(FailureKind::SourceChanged, reason));
        }
        self.place(part, to, &path, &Sidecar::read(&source.root, from)?)
    }

    /// Removes what a crash amid a write of `key` left.
    pub(super) fn abandon(&self, key: &str) -> Result<(), Failure> {
        let path = path::of_key(&self.root, key)?;
        self.remove_parts(&sidecar::stem_of(key))?;
        match file_at(&path)? {
            Some(_) => Ok(()),
            None => remove(&sidecar::path_of(&self.root, key)?),
        }
    }

    /// Deletes objects, and the folders that become empty with them: a bucket has none.
    /// `others` are the directories of the other buckets.
    pub(super) fn delete(
        &self,
        deletions: Vec<Deletion>,
        others: &[(String, PathBuf)],
    ) -> Result<Vec<(String, Failure)>, Failure> {
        let mut parents = BTreeMap::new();
        let mut failures = Vec::new();
        for deletion in deletions {
            if let Err(failure) = self.delete_one(&deletion, &mut parents, others) {
                failures.push((deletion.key, failure));
            }
        }
        parents.keys().try_for_each(|parent| self.tidy(parent))?;
        Ok(failures)
    }

    pub(super) fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, Failure> {
        self.existing(key)?;
        Ok(Sidecar::read(&self.root, key)?.tags)
    }

    /// Changes what stands in the object's sidecar.
    pub(super) fn amend(
        &self,
        key: &str,
        change: impl FnOnce(&mut Sidecar),
    ) -> Result<(), Failure> {
        self.existing(key)?;
        let mut sidecar = Sidecar::read(&self.root, key)?;
        change(&mut sidecar);
        self.save(key, &sidecar)
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let mut keys = Vec::new();
        self.walk("", prefix, after.unwrap_or(""), &mut keys)?;
        let more = keys.len() > PAGE;
        keys.truncate(PAGE);
        let objects = keys
            .into_iter()
            .filter_map(|key| self.listed(key).transpose());
        Ok(Page {
            objects: objects.collect::<Result<_, _>>()?,
            more,
        })
    }

    /// Collects the keys below `folder` in key order, until one more than a page is found.
    /// A folder sorts as its name and a slash: `a-b` comes before `a/b`.
    fn walk(
        &self,
        folder: &str,
        prefix: &str,
        after: &str,
        keys: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut found = Vec::new();
        for name in entries(&self.root.join(folder))? {
            // A name that is not UTF-8 is no key.
            let Some(name) = name.to_str().filter(|name| *name != OWN) else {
                continue;
            };
            let key = format!("{folder}{name}");
            match self.root.join(&key).symlink_metadata() {
                Ok(entry) if entry.is_dir() => found.push(format!("{key}/")),
                Ok(entry) if entry.is_file() => found.push(key),
                // A link is not followed; what vanished meanwhile is not there.
                _ => {}
            }
        }
        found.sort_unstable();
        for key in found {
            if keys.len() > PAGE {
                break;
            }
            if !key.ends_with('/') {
                if key.starts_with(prefix) && key.as_str() > after {
                    keys.push(key);
                }
            } else if (key.starts_with(prefix) || prefix.starts_with(&key))
                && (key.as_str() > after || after.starts_with(&key))
            {
                self.walk(&key, prefix, after, keys)?;
            }
        }
        Ok(())
    }

    fn listed(&self, key: String) -> Result<Option<ObjectMeta>, Failure> {
        let path = self.root.join(&key);
        let Some(found) = file_at(&path)? else {
            return Ok(None);
        };
        Ok(Some(ObjectMeta {
            key,
            size: found.len(),
            etag: self.etag(&path, &found)?,
            attributes: Attributes::default(),
        }))
    }

    fn existing(&self, key: &str) -> Result<PathBuf, Failure> {
        let path = path::of_key(&self.root, key)?;
        if file_at(&path)?.is_some() {
            return Ok(path);
        }
        let reason = format!("there is no file {}", path.display());
        Err(Failure::new(FailureKind::Missing, reason))
    }

    fn etag(&self, path: &Path, found: &Metadata) -> Result<String, Failure> {
        if found.len() <= REMEMBER_ABOVE {
            return digest(path);
        }
        let modified = found.modified().map_err(|error| failure(path, &error))?;
        if let Some((size, time, etag)) = self.digests().get(path)
            && (*size, *time) == (found.len(), modified)
        {
            return Ok(etag.clone());
        }
        let etag = digest(path)?;
        let mut digests = self.digests();
        if digests.len() >= REMEMBERED {
            digests.clear();
        }
        digests.insert(path.to_owned(), (found.len(), modified, etag.clone()));
        Ok(etag)
    }

    fn digests(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (u64, SystemTime, String)>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> Result<PathBuf, Failure> {
        path::own(&self.root, &["parts"])
    }

    /// A new file in the same file system as the bucket, with the permissions that any
    /// new file has: whoever serves the directory must be able to read it.
    fn part(&self, prefix: &str) -> Result<NamedTempFile, Failure> {
        // What a crash cut short is written again, and nobody else knows of its part.
        self.remove_parts(prefix)?;
        let parts = self.parts()?;
        fs::create_dir_all(&parts).map_err(|error| failure(&parts, &error))?;
        tempfile::Builder::new()
            .prefix(prefix)
            .make_in(&parts, |path| {
                File::options().write(true).create_new(true).open(path)
            })
            .map_err(|error| failure(&parts, &error))
    }

    fn remove_parts(&self, prefix: &str) -> Result<(), Failure> {
        let parts = self.parts()?;
        let named = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(prefix);
        let mut found = entries(&parts)?.into_iter().filter(named);
        found.try_for_each(|name| remove(&parts.join(name)))
    }

    fn place(
        &self,
        part: NamedTempFile,
        key: &str,
        path: &Path,
        sidecar: &Sidecar,
    ) -> Result<ObjectMeta, Failure> {
        part.as_file()
            .sync_all()
            .map_err(|error| failure(part.path(), &error))?;
        self.save(key, sidecar)?;
        move_into_place(part, path)?;
        self.digests().remove(path);
        self.head(key)?.ok_or_else(|| {
            let reason = format!("{} was removed as soon as it was written", path.display());
            Failure::new(FailureKind::Unknown, reason)
        })
    }

    fn save(&self, key: &str, sidecar: &Sidecar) -> Result<(), Failure> {
        let path = sidecar::path_of(&self.root, key)?;
        let Some(json) = sidecar.to_json(key) else {
            return remove(&path);
        };
        let mut part = self.part(&sidecar_part(key))?;
        part.write_all(&json)
            .and_then(|()| part.as_file().sync_all())
            .map_err(|error| failure(part.path(), &error))?;
        move_into_place(part, &path)
    }

    /// Notes in `parents` whether the folder above the object is another bucket's, too.
    fn delete_one(
        &self,
        deletion: &Deletion,
        parents: &mut BTreeMap<PathBuf, Option<String>>,
        others: &[(String, PathBuf)],
    ) -> Result<(), Failure> {
        let key = &deletion.key;
        let path = path::of_key(&self.root, key)?;
        let sidecar = sidecar::path_of(&self.root, key)?;
        let parent = path.parent().unwrap_or(&self.root);
        let shared = parents
            .entry(parent.to_owned())
            .or_insert_with(|| shared_with(parent, others));
        if let Some(other) = shared {
            return Err(shared_folder(&path, other));
        }
        if let Some(found) = file_at(&path)? {
            if let Some((folder, stays)) = &deletion.stays {
                refuse_same(&path, &found, &path::of_key(&folder.root, stays)?)?;
            }
            remove(&path)?;
        }
        remove(&sidecar)
    }

    /// Makes deletions in `folder` durable, and removes it and those above it while empty.
    fn tidy(&self, folder: &Path) -> Result<(), Failure> {
        let mut folder = folder;
        while folder != self.root && fs::remove_dir(folder).is_ok() {
            folder = folder.parent().unwrap_or(&self.root);
        }
        match sync_dir(folder) {
            Err(error) if !is_absent(&error) => Err(failure(folder, &error)),
            _ => Ok(()),
        }
    }
}

/// The bucket beside this one whose directory holds `folder`.
fn shared_with(folder: &Path, others: &[(String, PathBuf)]) -> Option<String> {
    let here = locate(folder);
    let holds = |path: &Path| {
        let how = here.overlap(&locate(path));
        matches!(how, Some(Overlap::Same | Overlap::Inside))
    };
    let mut holding = others.iter().filter(|(_, path)| holds(path));
    holding.next().map(|(name, _)| name.clone())
}

fn shared_folder(path: &Path, other: &str) -> Failure {
    let reason = format!(
        "{} is not deleted: it is in the directory of bucket {other:?}, too, links and mounts followed;          give each bucket a directory of its own",
        path.display()
    );
    Failure::new(FailureKind::Forbidden, reason)
}

/// Refuses what would lose the file `found` at `path` when `other` is the same one.
fn refuse_same(path: &Path, found: &Metadata, other: &Path) -> Result<(), Failure> {
    let there = file_at(other)?;
    if there.is_none_or(|there| id_of(&there) != id_of(found)) {
        return Ok(());
    }
    let reason = format!(
        "{} and {} are one file, by a link, a mount or a spelling that is the same here;          nothing was moved or deleted: remove one of the two names, or move it elsewhere",
        path.display(),
        other.display()
    );
    Err(Failure::new(FailureKind::Forbidden, reason))
}

/// How the names of an object's parts begin: [`sidecar::stem_of`] and more.
fn object_part(key: &str) -> String {
    format!("{}.object.", sidecar::stem_of(key))
}

/// How the names of a sidecar's parts begin, in the same way.
fn sidecar_part(key: &str) -> String {
    format!("{}.json.", sidecar::stem_of(key))
}
