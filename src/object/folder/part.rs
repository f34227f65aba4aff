//! Files in the making: written beside the bucket's content, synced, then renamed into place.
//!
//! No rename leads from one file system to another, so what is to be on a disk that is mounted
//! below the bucket's directory is made there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Mode;

use super::dir::{Dir, OWN as OWN_MODE};
use super::path::{OWN, failure};
use crate::model::failure::{Failure, FailureKind};

/// Where parts are, in the store's own directory.
const PARTS: &str = "parts";

/// How often a part is made again whose directory was removed as it was made.
const TRIES: u32 = 10;

/// So that no two parts of this process have one name.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A file that is not in its place yet; removed when it is dropped there.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    parts: Dir,
    name: OsString,
    /// The directory of objects that it was made beside, if so: the store's own directory there
    /// is removed with the last part.
    beside: Option<Dir>,
}

impl Part {
    /// A new one whose name begins with `prefix`. What a crash cut short is written again, and
    /// nobody else knows of its part: those of this prefix are removed.
    pub(super) fn new(root: &Dir, prefix: &str, mode: Mode) -> Result<Self, Failure> {
        remove_all(root, prefix)?;
        let own = root.made(OsStr::new(OWN), OWN_MODE)?;
        let parts = own.made(OsStr::new(PARTS), OWN_MODE)?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!("{prefix}{}-{number}", std::process::id()));
            if let Some(file) = parts.create(&name, mode)? {
                return Ok(Self {
                    file,
                    parts,
                    name,
                    beside: None,
                });
            }
        }
    }

    /// The same beside the objects of a directory, from where it can be renamed into that one and
    /// those below. The last part that is dropped there takes the directory with it, so this is tried
    /// a few times.
    pub(super) fn beside(dir: &Dir, prefix: &str, mode: Mode) -> Result<Self, Failure> {
        let beside = dir.again()?;
        let mut part = Self::new(dir, prefix, mode);
        for _ in 1..TRIES {
            if !matches!(&part, Err(failure) if failure.kind == FailureKind::Missing) {
                break;
            }
            part = Self::new(dir, prefix, mode);
        }
        match &mut part {
            Ok(part) => part.beside = Some(beside),
            Err(_) => tidy(dir),
        }
        part
    }

    /// What is wrong with it when `error` happened.
    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        failure(&self.parts.path_of(&self.name), error)
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.failure(&error))
    }

    /// Renames the file, which was synced, over whatever file is there.
    pub(super) fn place(&self, dir: &Dir, name: &OsStr) -> io::Result<()> {
        self.parts.rename(&self.name, dir, name)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // One that was placed is not here any more, and what stays is removed by the next one.
        let _ = self.parts.remove(&self.name);
        if let Some(dir) = &self.beside {
            tidy(dir);
        }
    }
}

/// Removes the store's own directory beside objects while it is empty.
fn tidy(dir: &Dir) {
    if let Ok(Some(own)) = dir.directory(OsStr::new(OWN)) {
        let _ = own.remove_directory(OsStr::new(PARTS));
        let _ = dir.remove_directory(OsStr::new(OWN));
    }
}

/// Removes the parts whose names begin with `prefix`, also those that were made beside objects
/// in a directory of `way`, which begins with that of the bucket.
pub(super) fn remove_all_on(way: &[Dir], prefix: &str) -> Result<(), Failure> {
    for (depth, dir) in way.iter().enumerate() {
        remove_all(dir, prefix)?;
        if depth > 0 {
            tidy(dir);
        }
    }
    Ok(())
}

/// Removes the parts whose names begin with `prefix`.
fn remove_all(root: &Dir, prefix: &str) -> Result<(), Failure> {
    let Some(own) = root.directory(OsStr::new(OWN))? else {
        return Ok(());
    };
    let Some(parts) = own.directory(OsStr::new(PARTS))? else {
        return Ok(());
    };
    let named = |name: &OsString| name.to_string_lossy().starts_with(prefix);
    let mut found = parts.names()?.into_iter().filter(named);
    found.try_for_each(|name| parts.remove(&name))
}
