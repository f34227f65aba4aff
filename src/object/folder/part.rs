//! Files being written: outside the bucket's content, then synced and renamed into place.
//!
//! A rename cannot cross file systems. So a part for a disk that is mounted below the bucket's
//! directory is written on that disk.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Mode;

use super::dir::{Dir, OWN as OWN_MODE};
use super::path::{OWN, failure};
use crate::model::failure::{Failure, FailureKind};

/// Directory of the parts, inside the store's own directory.
const PARTS: &str = "parts";

/// How often to retry creating a part whose directory was removed meanwhile.
const TRIES: u32 = 10;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A file that is not in place yet; removed on drop.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    parts: Dir,
    name: OsString,
    /// The object directory that the part was created next to, if any: the store's own directory
    /// there is removed with the last part.
    beside: Option<Dir>,
}

impl Part {
    /// Creates a part whose name begins with `prefix`, and removes older ones of that prefix: they
    /// were left by a crash and nobody uses them.
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

    /// Creates a part next to the objects in `dir`, so that it can be renamed to that directory and
    /// those below. Retries a few times, because dropping the last other part removes the parts
    /// directory.
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
            Err(failure) => {
                tidy(dir);
                failure.kind = unless_missing(failure.kind);
            }
        }
        part
    }

    pub(super) fn failure(&self, error: &io::Error) -> Failure {
        failure(&self.parts.path_of(&self.name), error)
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.failure(&error))
    }

    /// Gives the file, which must be synced, another name. Fails if that is taken.
    pub(super) fn link(&self, dir: &Dir, name: &OsStr) -> io::Result<()> {
        self.parts.link(&self.name, dir, name)
    }

    /// Renames the file, which must be synced, and replaces a file there.
    pub(super) fn place(&self, dir: &Dir, name: &OsStr) -> io::Result<()> {
        self.parts.rename(&self.name, dir, name)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After `place` the name is gone. What cannot be removed is left to the next part.
        let _ = self.parts.remove(&self.name);
        if let Some(dir) = &self.beside {
            tidy(dir);
        }
    }
}

/// No object is missing when a directory vanishes while it is written to.
fn unless_missing(kind: FailureKind) -> FailureKind {
    match kind {
        FailureKind::Missing => FailureKind::Unavailable,
        kind => kind,
    }
}

/// Removes the store's own directory next to objects if it is empty.
fn tidy(dir: &Dir) {
    if let Ok(Some(own)) = dir.directory(OsStr::new(OWN)) {
        let _ = own.remove_directory(OsStr::new(PARTS));
        let _ = dir.remove_directory(OsStr::new(OWN));
    }
}

/// Removes the parts whose names begin with `prefix` from every directory of `way`, which starts
/// with the bucket's root.
pub(super) fn remove_all_on(way: &[Dir], prefix: &str) -> Result<(), Failure> {
    for (depth, dir) in way.iter().enumerate() {
        remove_all(dir, prefix)?;
        if depth > 0 {
            tidy(dir);
        }
    }
    Ok(())
}

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
