//! Where directories and files are, whatever their names: links, mounts and hard links give
//! one file several.
//!
//! A rules file in which one bucket's directory holds another's is refused. Links and mounts
//! are made at any time, so this is looked at again before anything is deleted.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::model::bucket::{FileId, Whereabouts};

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
