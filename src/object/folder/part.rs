//! Files in the making: written beside the bucket's content, synced, then renamed into place.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Mode;

use super::dir::{Dir, OWN as OWN_MODE};
use super::path::{OWN, failure};
use crate::model::failure::Failure;

/// Where parts are, in the store's own directory.
const PARTS: &str = "parts";

/// So that no two parts of this process have one name.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A file that is not in its place yet; removed when it is dropped there.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: File,
    parts: Dir,
    name: OsString,
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
                return Ok(Self { file, parts, name });
            }
        }
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
    }
}

/// Removes the parts whose names begin with `prefix`.
pub(super) fn remove_all(root: &Dir, prefix: &str) -> Result<(), Failure> {
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
