//! Identifies directories and files independently of their paths: links, mounts and hard links give
//! one file several paths.
//!
//! A rules file with overlapping bucket directories is refused. Links and mounts may be added
//! later, so this is checked again before every deletion.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::bucket::{FileId, Whereabouts};
use crate::model::failure::{Failure, FailureKind};

/// Asks the file system where the directory at `path` is.
pub fn locate(path: &Path) -> Whereabouts {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some((ancestor.canonicalize().ok()?, rest))
    });
    let Some((real, rest)) = real else {
        return Whereabouts::by_name(&path);
    };
    let id = |path: &Path| {
        let found = path.metadata().ok().filter(Metadata::is_dir)?;
        Some(id_of(&found))
    };
    let exists = rest.as_os_str().is_empty();
    let above = real.ancestors().skip(usize::from(exists));
    Whereabouts {
        own: exists.then(|| id(&real)).flatten(),
        above: above.filter_map(id).collect(),
        ..Whereabouts::by_name(&real.join(rest))
    }
}

pub(super) fn id_of(found: &Metadata) -> FileId {
    FileId {
        device: found.dev(),
        inode: found.ino(),
    }
}

/// The directories of other buckets, which must not contain anything that is deleted.
#[derive(Debug)]
pub(super) struct Overlaps<'a> {
    others: Vec<(&'a str, FileId)>,
    /// The parents of the bucket's directory.
    above: Vec<FileId>,
}

impl<'a> Overlaps<'a> {
    pub(super) fn new(root: &Path, others: &'a [(String, PathBuf)]) -> Self {
        let others = others.iter().filter_map(|(name, path)| {
            let found = path.metadata().ok()?;
            Some((name.as_str(), id_of(&found)))
        });
        Self {
            others: others.collect(),
            above: locate(root).above,
        }
    }

    /// Refuses to delete `path` when another bucket's directory is one of `dirs`, the directories
    /// from the bucket's root to the file, or a parent of the root.
    pub(super) fn refuse(&self, path: &Path, dirs: &[FileId]) -> Result<(), Failure> {
        let holds = |id: &FileId| dirs.contains(id) || self.above.contains(id);
        let Some((other, _)) = self.others.iter().find(|(_, id)| holds(id)) else {
            return Ok(());
        };
        let reason = format!(
            "{} is not deleted: it is in the directory of bucket {other:?}, too, links and mounts followed; \
             give each bucket a directory of its own",
            path.display()
        );
        Err(Failure::new(FailureKind::Forbidden, reason))
    }
}
