//! Where an object of a folder is: its directory and all parents, held open.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::path::PathBuf;

use super::dir::{Dir, Entry, SHARED};
use super::path::{linked, names_of};
use crate::model::bucket::FileId;
use crate::model::failure::Failure;

#[derive(Debug)]
pub(super) struct Location {
    /// From the bucket's root to the object's directory; never empty.
    dirs: Vec<Dir>,
    /// The name of each directory except the root, then the object's name.
    names: Vec<OsString>,
}

impl Location {
    /// The location of `key` below `root`; `None` when one of its directories does not exist.
    pub(super) fn find(root: Dir, key: &str) -> Result<Option<Self>, Failure> {
        Self::walk(root, key, Dir::directory)
    }

    /// Like [`Self::find`], but creates missing directories.
    pub(super) fn make(root: Dir, key: &str) -> Result<Self, Failure> {
        let made = Self::walk(root, key, |dir, name| dir.made(name, SHARED).map(Some))?;
        Ok(made.expect("what is made is there"))
    }

    /// The existing directories on the path to `key`, starting with `root`.
    pub(super) fn way(root: Dir, key: &str) -> Result<Vec<Dir>, Failure> {
        let mut names: Vec<&str> = names_of(key)?.collect();
        names.pop();
        let mut dirs = vec![root];
        for name in names {
            match dirs[dirs.len() - 1].directory(OsStr::new(name))? {
                Some(dir) => dirs.push(dir),
                None => break,
            }
        }
        Ok(dirs)
    }

    fn walk(
        root: Dir,
        key: &str,
        next: impl Fn(&Dir, &OsStr) -> Result<Option<Dir>, Failure>,
    ) -> Result<Option<Self>, Failure> {
        let names: Vec<OsString> = names_of(key)?.map(OsString::from).collect();
        let mut dirs = vec![root];
        for name in &names[..names.len() - 1] {
            match next(&dirs[dirs.len() - 1], name)? {
                Some(dir) => dirs.push(dir),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { dirs, names }))
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dirs[self.dirs.len() - 1]
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.names[self.names.len() - 1]
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir().path_of(self.name())
    }

    pub(super) fn file(&self) -> Result<Option<(File, Metadata)>, Failure> {
        self.dir().file(self.name())
    }

    /// Refuses a link: replacing it would not replace the file that it points to.
    pub(super) fn refuse_link(&self) -> Result<(), Failure> {
        match self.dir().entry(self.name())? {
            Some(Entry::Link) => Err(linked(&self.path())),
            _ => Ok(()),
        }
    }

    pub(super) fn ids(&self) -> Result<Vec<FileId>, Failure> {
        self.dirs.iter().map(Dir::id).collect()
    }

    /// Fsyncs the object's directory after deletions, and removes it and its parents while they are
    /// empty: a bucket has no directories.
    pub(super) fn tidy(&self) -> Result<(), Failure> {
        let mut last = self.dirs.len() - 1;
        while last > 0
            && self.dirs[last - 1]
                .remove_directory(&self.names[last - 1])
                .is_ok()
        {
            last -= 1;
        }
        self.dirs[last].sync()
    }
}
