//! Open directories: names are resolved inside them and cannot be redirected by links.
//!
//! A directory on a path may be replaced by a link between two lookups. So paths are walked name by
//! name, each directory opened inside the one before it without following links, and files are
//! opened, renamed and removed inside an open directory. A single system call (`openat2`) can do
//! this only on Linux and not in every container.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::path::{OWN as OWN_NAME, failure, failure_of_all, is_absent, linked};
use super::same_files::id_of;
use crate::model::bucket::FileId;
use crate::model::failure::Failure;

/// Permissions of the bucket's directories and files, before the process's umask.
pub(super) const SHARED: Mode = Mode::from_raw_mode(0o777);

/// Permissions of the store's own directories: never writable by everybody.
pub(super) const OWN: Mode = Mode::from_raw_mode(0o775);

#[derive(Debug)]
pub(super) struct Dir {
    held: File,
    /// Its path when it was opened, for messages.
    path: PathBuf,
    holds: Holds,
}

/// What a directory contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// The whole bucket: its root.
    All,
    /// The store's own files.
    Own,
    Some,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File,
    Directory,
    Link,
    /// Not an object, such as a pipe.
    Other,
}

impl Dir {
    /// The directory at a bucket's path; `None` when there is none. Links on the way to it are
    /// followed, because the operator chose the path. Whether it is the bucket's, `identity` knows.
    pub(super) fn root(path: &Path) -> Result<Option<Self>, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| fs::open(path, flags, Mode::empty()));
        match opened {
            Ok(held) => Ok(Some(Self {
                held: held.into(),
                path: path.to_owned(),
                holds: Holds::All,
            })),
            Err(error) if is_absent(&error.into()) => Ok(None),
            Err(error) => Err(failure_of_all(path, &error.into())),
        }
    }

    /// The directory `name` inside this one; `None` when it does not exist or is a file.
    pub(super) fn directory(&self, name: &OsStr) -> Result<Option<Self>, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| fs::openat(&self.held, name, flags, Mode::empty()));
        let path = self.path.join(name);
        let holds = self.holds.within(name);
        match opened {
            Ok(held) => Ok(Some(Self {
                held: held.into(),
                path,
                holds,
            })),
            // The error code for a link differs between systems.
            Err(_) if self.is_link(name) => Err(linked(&path)),
            Err(error) if is_absent(&error.into()) => Ok(None),
            Err(error) => Err(holds.failure(&path, &error.into())),
        }
    }

    pub(super) fn again(&self) -> Result<Self, Failure> {
        let held = self.held.try_clone();
        Ok(Self {
            held: held.map_err(|error| failure(&self.path, &error))?,
            path: self.path.clone(),
            holds: self.holds,
        })
    }

    /// The directory `name` inside this one, durably created if needed.
    pub(super) fn made(&self, name: &OsStr, mode: Mode) -> Result<Self, Failure> {
        if let Some(found) = self.directory(name)? {
            return Ok(found);
        }
        match fs::mkdirat(&self.held, name, mode) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(self.failure_to_add(name, error)),
        }
        self.directory(name)?.ok_or_else(|| self.not_made(name))
    }

    /// Why there is no directory `name` after it was made: it is a file, or was removed again.
    fn not_made(&self, name: &OsStr) -> Failure {
        if matches!(self.entry(name), Ok(Some(_))) {
            return self.failure(name, Errno::NOTDIR);
        }
        let error = Errno::NOENT.into();
        let holds = self.holds.within(name);
        holds.failure(&self.path.join(name), &error)
    }

    pub(super) fn entry(&self, name: &OsStr) -> Result<Option<Entry>, Failure> {
        let found = fs::statat(&self.held, name, AtFlags::SYMLINK_NOFOLLOW);
        match found {
            Ok(found) => Ok(Some(match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => Entry::File,
                FileType::Directory => Entry::Directory,
                FileType::Symlink => Entry::Link,
                _ => Entry::Other,
            })),
            Err(error) if is_absent(&error.into()) => Ok(None),
            Err(error) => Err(self.failure(name, error)),
        }
    }

    /// Opens the file `name` for reading; `None` when it does not exist or is not a file.
    pub(super) fn file(&self, name: &OsStr) -> Result<Option<(File, Metadata)>, Failure> {
        match self.entry(name)? {
            Some(Entry::File) => {}
            Some(Entry::Link) => return Err(linked(&self.path.join(name))),
            _ => return Ok(None),
        }
        // `NONBLOCK`, so that opening a pipe that has just replaced the file does not wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| fs::openat(&self.held, name, flags, Mode::empty()));
        let file: File = match opened {
            Ok(file) => file.into(),
            Err(_) if self.is_link(name) => return Err(linked(&self.path.join(name))),
            Err(error) if is_absent(&error.into()) => return Ok(None),
            Err(error) => return Err(self.failure(name, error)),
        };
        let found = file.metadata();
        let found = found.map_err(|error| failure(&self.path.join(name), &error))?;
        Ok(found.is_file().then_some((file, found)))
    }

    /// Creates the file `name` for writing and reading; `None` when the name is taken.
    pub(super) fn create(&self, name: &OsStr, mode: Mode) -> Result<Option<File>, Failure> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file_mode = mode & Mode::from_raw_mode(0o666);
        match retry_on_intr(|| fs::openat(&self.held, name, flags, file_mode)) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(self.failure_to_add(name, error)),
        }
    }

    /// Renames the file `name` to `new` in `to`, replacing a file or link there.
    pub(super) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        fs::renameat(&self.held, name, &to.held, new).map_err(Into::into)
    }

    /// Gives the file `name` the name `new` in `to` as well. Fails if that is taken.
    pub(super) fn link(&self, name: &OsStr, to: &Self, new: &OsStr) -> io::Result<()> {
        fs::linkat(&self.held, name, &to.held, new, AtFlags::empty()).map_err(Into::into)
    }

    /// Removes the file `name`, if it exists.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), Failure> {
        match fs::unlinkat(&self.held, name, AtFlags::empty()) {
            Err(error) if !is_absent(&error.into()) => Err(self.failure(name, error)),
            _ => Ok(()),
        }
    }

    /// The directory must be empty.
    pub(super) fn remove_directory(&self, name: &OsStr) -> io::Result<()> {
        fs::unlinkat(&self.held, name, AtFlags::REMOVEDIR).map_err(Into::into)
    }

    pub(super) fn names(&self) -> Result<Vec<OsString>, Failure> {
        use std::os::unix::ffi::OsStrExt;
        let own = |name: &OsString| name != "." && name != "..";
        let entries = fs::Dir::read_from(&self.held).and_then(|entries| {
            entries
                .map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()))
                .collect::<Result<Vec<_>, Errno>>()
        });
        match entries {
            Ok(names) => Ok(names.into_iter().filter(own).collect()),
            // The directory was removed meanwhile.
            Err(Errno::NOENT) if self.holds != Holds::All => Ok(Vec::new()),
            Err(error) => Err(self.holds.failure(&self.path, &error.into())),
        }
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        let synced = self.held.sync_all();
        synced.map_err(|error| failure(&self.path, &error))
    }

    pub(super) fn id(&self) -> Result<FileId, Failure> {
        let found = self.held.metadata();
        let found = found.map_err(|error| failure(&self.path, &error))?;
        Ok(id_of(&found))
    }

    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    fn is_link(&self, name: &OsStr) -> bool {
        self.entry(name) == Ok(Some(Entry::Link))
    }

    fn failure(&self, name: &OsStr, error: Errno) -> Failure {
        failure(&self.path.join(name), &error.into())
    }

    fn failure_to_add(&self, name: &OsStr, error: Errno) -> Failure {
        self.holds.failure(&self.path.join(name), &error.into())
    }
}

impl Holds {
    fn within(self, name: &OsStr) -> Self {
        match self {
            Self::All if name == OWN_NAME => Self::Own,
            Self::Own => Self::Own,
            Self::All | Self::Some => Self::Some,
        }
    }

    fn failure(self, path: &Path, error: &io::Error) -> Failure {
        match self {
            Self::All | Self::Own => failure_of_all(path, error),
            Self::Some => failure(path, error),
        }
    }
}
