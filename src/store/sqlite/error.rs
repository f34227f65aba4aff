//! What is wrong with a store, and how to fix it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use super::file::{self, LOG};
use crate::store::Unavailable;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("store {} is already served by another process; stop it, or use another --store", .0.display())]
    Served(PathBuf),
    #[error(
        "store {}: another process holds its lock file {}, which other users can open (mode {mode:o}); if no \
         aftertake serves this store, `lslocks` tells which process that is: end it and delete the lock file",
        .path.display(), file::beside(.path, file::LOCK).display()
    )]
    Held { path: PathBuf, mode: u32 },
    #[error(
        "store {} was written by a newer version of aftertake (schema {found}, this one knows {known}); \
         install that version or a later one", .path.display()
    )]
    Newer {
        path: PathBuf,
        found: usize,
        known: usize,
    },
    #[error(
        "store {} was written by a build of aftertake from before its first release, which no later one reads; move it \
         away with the files beside it whose names begin with its own, and `aftertake serve` makes a new one",
        .0.display()
    )]
    Unreleased(PathBuf),
    #[error("store {} was written by an older version of aftertake; start `aftertake serve` on it once", .0.display())]
    Older(PathBuf),
    #[error("store {} does not exist; `aftertake serve` makes it, or name another with --store", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a store of aftertake; name another file with --store", .0.display())]
    Foreign(PathBuf),
    #[error(
        "store {path} and its log {log} do not belong together, as after a copy was put in the store's place; nothing \
         was changed. `aftertake restore FILE` puts a backup back and moves the old files aside; to go on with {path} \
         as it is, without what {log} holds, move {log} away",
        path = .0.display(), log = file::beside(.0, LOG).display()
    )]
    ForeignLog(PathBuf),
    #[error(
        "store {path} is gone, and its log {log} is still there; put the file back that belongs to it, or a backup \
         with `aftertake restore FILE`; to begin anew, move {log} away",
        path = .0.display(), log = file::beside(.0, LOG).display()
    )]
    LogAlone(PathBuf),
    #[error(
        "store {}: {} is not the file that the process which serves this store has opened: it was moved, removed or \
         replaced; move that file back, or end that process, put the store or a backup in its place, and start anew",
        .path.display(), .file.display()
    )]
    Replaced { path: PathBuf, file: PathBuf },
    #[error(
        "store {} is malformed ({reason}); put a backup back with `aftertake restore FILE`", .path.display()
    )]
    Malformed { path: PathBuf, reason: String },
    #[error(
        "store {path} has {links} names, which are hard links to one file, and SQLite keeps the newest callbacks in a \
         file -wal beside the name that was used: what is stored under one name is lost under another; remove the \
         other names, which `find / -samefile {path}` lists, and keep the one with a -wal beside it",
        path = .path.display()
    )]
    Linked { path: PathBuf, links: u64 },
    #[error(
        "store {} is a file that is mounted by itself, as with `docker run -v FILE:FILE`, and SQLite keeps the newest \
         callbacks in a file -wal beside it, which is not at the file's other place and may go with the container; \
         mount the folder that contains the store instead", .0.display()
    )]
    Mounted(PathBuf),
    #[error("store {} is a link to a missing file; point the link to a store, or remove it", .0.display())]
    DeadLink(PathBuf),
    #[error(
        "store {}: this user may not read and write it: it belongs to user {owner} (mode {mode:o}); run the command as \
         that user, for example with `sudo -u '#{owner}'`", .path.display()
    )]
    NotAllowed {
        path: PathBuf,
        mode: u32,
        owner: u32,
    },
    #[error("store {}: {reason}", .path.display())]
    Unusable { path: PathBuf, reason: String },
    /// The same, but the next try may succeed: the disk is full or fails, or somebody holds the
    /// file.
    #[error("store {}: {reason}", .path.display())]
    Away { path: PathBuf, reason: String },
}

impl OpenError {
    pub(super) fn unusable(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            reason: format!("{reason}"),
        }
    }

    /// A failed operation on a file of the store; `what` names the operation.
    pub(super) fn io(path: &Path, what: &str, error: &io::Error) -> Self {
        let (path, reason) = (path.to_owned(), format!("{what}: {error}"));
        match error.kind() {
            // A person has to fix the name or the permissions.
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename => Self::Unusable { path, reason },
            _ => Self::Away { path, reason },
        }
    }

    pub(super) fn malformed(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            reason: in_one_line(&reason.to_string()),
        }
    }

    /// Converts an error of SQLite while the store at `path` is opened.
    pub(super) fn of(path: &Path) -> impl Fn(rusqlite::Error) -> Self + Copy {
        move |error| {
            if is_damage(&error) {
                Self::malformed(path, error)
            } else if passes(&error) {
                let (path, reason) = (path.to_owned(), error.to_string());
                Self::Away { path, reason }
            } else {
                Self::unusable(path, error)
            }
        }
    }
}

/// Converts an error of SQLite while the store at `path` is used.
pub(super) fn unavailable(path: &Path, error: &rusqlite::Error) -> Unavailable {
    Unavailable {
        is_malformed: is_damage(error),
        ..Unavailable::new(path, reason(error))
    }
}

/// A file of the open store was moved, removed or replaced.
pub(super) fn moved(file: &Path) -> rusqlite::Error {
    let reason = format!(
        "{} is not the file that was opened: it was moved, removed or replaced, and nothing more is written to it; \
         move that file back, or end the process, put the store or a backup in its place, and start anew",
        file.display()
    );
    let code = ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED);
    rusqlite::Error::SqliteFailure(code, Some(reason))
}

pub(super) fn malformed(fault: &str) -> rusqlite::Error {
    let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
    let told = format!("it is malformed ({})", in_one_line(fault));
    rusqlite::Error::SqliteFailure(code, Some(told))
}

/// SQLite reports several lines.
fn in_one_line(told: &str) -> String {
    told.trim().replace('\n', ", ")
}

/// The error text, with the way out if there is one.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    if is_damage(error) {
        format!("{error}; put a backup back with `aftertake restore FILE`")
    } else {
        error.to_string()
    }
}

/// Whether a later try may succeed without any change to the store.
fn passes(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OutOfMemory
        )
    )
}

/// Whether the file is damaged, which later tries cannot change.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
