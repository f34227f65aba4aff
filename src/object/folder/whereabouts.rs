//! Where directories and files are, whatever their names: links, mounts and hard links give
//! one file several.
//!
//! A rules file in which one bucket's directory holds another's is refused. Links and mounts
//! are made at any time, so this is looked at again before anything is deleted.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::bucket::{FileId, Whereabouts};
use crate::model::failure::{Failure, FailureKind};

/// Where the directory at `path` is. Asks the file system.
pub fn locate(path: &Path) -> Whereabouts {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        Some((ancestor.canonicalize().ok()?, rest))
    });
    let Some((real, rest)) = real else {
        return Whereabouts::by_name(&path);
    };
    let id = |path: &Path| path.metadata().ok().map(|found| id_of(&found));
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

/// The directories of other buckets, none of which may hold what is deleted.
#[derive(Debug)]
pub(super) struct Overlaps<'a> {
    others: Vec<(&'a str, FileId)>,
    /// The directories above the bucket's own.
    above: Vec<FileId>,
}

impl<'a> Overlaps<'a> {
    /// As the bucket at `root` and the others are now.
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

    /// Refuses to delete `path` when one of `dirs`, the directories that it is in from the
    /// bucket's own on, or one above them, is another bucket's.
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
