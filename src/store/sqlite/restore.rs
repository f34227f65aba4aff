//! Restores a backup in place of a store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::NamedTempFile;

use super::backup::set_apart;
use super::error::OpenError;
use super::file::{self, INDEX, JOURNAL, LOG};
use super::lock::{self, Lock, LockState};
use super::schema;
use crate::model::time::Timestamp;

#[derive(Debug)]
pub struct Restored {
    pub bytes: u64,
    /// The replaced files, under their new names.
    pub aside: Vec<PathBuf>,
}

/// Why a backup was not restored. The store is unchanged, unless the error says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{} does not exist; name a file that `aftertake backup` made", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a file; name a file that `aftertake backup` made", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: {error}; name a file that this user may read", .file.display())]
    Unreadable { file: PathBuf, error: io::Error },
    #[error("{} is the store itself; name a file that `aftertake backup` made", .0.display())]
    Itself(PathBuf),
    #[error(
        "{file} is no backup but a store in use, or one that was not closed: {log} belongs to it; make a backup of it \
         with `aftertake backup --store sqlite:{file} FILE`",
        file = .0.display(), log = file::beside(.0, LOG).display()
    )]
    InUse(PathBuf),
    #[error("{} is not a store of aftertake; name a file that `aftertake backup` made", .0.display())]
    Foreign(PathBuf),
    #[error(
        "{} was written by a newer version of aftertake (schema {found}, this one knows {known}); install that version \
         or a later one, or name an older backup", .file.display()
    )]
    Newer {
        file: PathBuf,
        found: usize,
        known: usize,
    },
    #[error("{} is malformed ({reason}); name another file that `aftertake backup` made", .file.display())]
    Malformed { file: PathBuf, reason: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{what}: {error}")]
    Failed { what: String, error: io::Error },
}

/// Restores the backup `from` in place of the store `to`, which must not be served. Existing files
/// are renamed, with this time in their names.
///
/// The copy replaces the old file in one step, and the old log is moved after that. If the process
/// dies, there is the old store, the new one, or one that is refused with the way out: the old one
/// under two names, or the new one with an old log.
pub fn restore(from: &Path, to: &Path, now: Timestamp) -> Result<Restored, RestoreError> {
    let to = file::real(to)?;
    // A log and a lock are beside the real file.
    let from = &file::real(from).unwrap_or_else(|_| from.to_owned());
    let lock = Lock::take(&to)?;
    refuse(from, &to)?;
    let copy = copy(from, &to).map_err(failed(format!("copy {}", from.display())))?;
    make_ready(copy.path(), from).map_err(unfit)?;
    let bytes = sync(copy.as_file(), &to).map_err(failed("prepare the copy".to_owned()))?;
    let in_place = put_in_place(copy, &to, now);
    let aside = in_place.map_err(failed(format!(
        "put the copy in the place of {}",
        to.display()
    )))?;
    lock.clear()
        .map_err(failed("write the lock file".to_owned()))?;
    Ok(Restored { bytes, aside })
}

fn failed(what: String) -> impl FnOnce(io::Error) -> RestoreError {
    move |error| RestoreError::Failed { what, error }
}

/// The error for the backup file: the store's own advice would not fit.
fn unfit(error: OpenError) -> RestoreError {
    match error {
        OpenError::Foreign(file) => RestoreError::Foreign(file),
        OpenError::Malformed { path: file, reason } => RestoreError::Malformed { file, reason },
        OpenError::Newer {
            path: file,
            found,
            known,
        } => RestoreError::Newer { file, found, known },
        other => RestoreError::Open(other),
    }
}

fn refuse(from: &Path, to: &Path) -> Result<(), RestoreError> {
    let file = from.to_owned();
    let meta = match File::open(from).and_then(|opened| opened.metadata()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RestoreError::Missing(file));
        }
        Err(error) => return Err(RestoreError::Unreadable { file, error }),
        Ok(meta) if !meta.is_file() => return Err(RestoreError::NotAFile(file)),
        Ok(meta) => meta,
    };
    if file::Identity::of(to).is_ok_and(|there| there == file::Identity::from(&meta)) {
        return Err(RestoreError::Itself(file));
    }
    if file::is_filled(&file::beside(from, LOG)) || lock::outside(from) == LockState::Served {
        return Err(RestoreError::InUse(file));
    }
    if meta.len() == 0 {
        return Err(RestoreError::Foreign(file));
    }
    schema::refuse_foreign(from).map_err(unfit)
}

fn copy(from: &Path, to: &Path) -> io::Result<NamedTempFile> {
    let mut copy = file::unnamed(to, ".aftertake-restore-")?;
    io::copy(&mut File::open(from)?, copy.as_file_mut())?;
    Ok(copy)
}

/// Checks the copy and migrates it. Renames its state, because the same backup may be restored
/// again after the store has continued from it.
fn make_ready(copy: &Path, from: &Path) -> Result<(), OpenError> {
    let named = OpenError::of(from);
    let mut conn = Connection::open(copy).map_err(named)?;
    conn.pragma_update(None, "journal_mode", "memory")
        .map_err(named)?;
    schema::look_through(&conn, from)?;
    schema::migrate(&mut conn, from)?;
    drop(conn);
    set_apart(copy).map_err(named)
}

fn sync(copy: &File, to: &Path) -> io::Result<u64> {
    file::give_to_owner_of(to, copy)?;
    copy.sync_all()?;
    Ok(copy.metadata()?.len())
}

fn put_in_place(copy: NamedTempFile, to: &Path, now: Timestamp) -> io::Result<Vec<PathBuf>> {
    let name = free_name(to, now);
    let mut aside = Vec::new();
    if to.exists() {
        // A hard link if possible: then the store's name is never without a file.
        fs::hard_link(to, &name).or_else(|_| fs::rename(to, &name))?;
        aside.push(name.clone());
    }
    copy.persist(to)?;
    for end in [LOG, INDEX, JOURNAL] {
        let (from, name) = (file::beside(to, end), file::beside(&name, end));
        if from.exists() {
            fs::rename(from, &name)?;
            aside.push(name);
        }
    }
    file::sync_folder(to)?;
    Ok(aside)
}

/// A name that neither a file nor its log has.
fn free_name(to: &Path, now: Timestamp) -> PathBuf {
    let second = Timestamp::from_millis(now.seconds() * 1000);
    let time = second.to_string().replace(['-', ':'], "");
    let mut names = (1..).map(|number| match number {
        1 => file::beside(to, &format!("-replaced-{time}")),
        _ => file::beside(to, &format!("-replaced-{time}-{number}")),
    });
    let is_free = |name: &PathBuf| !name.exists() && !file::beside(name, LOG).exists();
    names
        .find(is_free)
        .unwrap_or_else(|| file::beside(to, "-replaced"))
}
