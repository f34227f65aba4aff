//! The lock file: who serves a store, and whether the last service crashed.
//!
//! The service holds a file lock for as long as it lives. It writes its process id into the file
//! and removes it at a clean end: an id in an unlocked file means a crash. The second line
//! identifies the files that the service has opened, so that a command can detect replaced ones.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::OpenError;
use super::file::{self, LOCK, LOG, Opened};

/// Retries of the lock: a command that checks whether the store is served holds it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Lock {
    file: File,
    /// The lock file did not exist: nobody has served a store of this name yet.
    is_new: bool,
    is_served: bool,
}

impl Lock {
    /// Refuses a store with a second name: a lock beside one name does not keep the users of the
    /// other one away.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        file::refuse_other_names(path)?;
        let (file, is_new) =
            open(path).map_err(|error| OpenError::io(path, "cannot make its lock file", &error))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(held(path, &file)),
                Err(TryLockError::Error(error)) => {
                    return Err(OpenError::io(path, "cannot lock its lock file", &error));
                }
            }
        }
        // An earlier version made it accessible to others, who could lock it.
        if file::open_to_others(&file).is_some() {
            let _ = file::close_to_others(&file);
        }
        Ok(Self {
            file,
            is_new,
            is_served: false,
        })
    }

    pub(super) fn tells_of_a_crash(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.len() > 0)
    }

    /// Whether nobody has served a store of this name: an existing file was put there.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes the process id and the files, until a clean end.
    pub(super) fn serve(&mut self, files: &Opened) -> io::Result<()> {
        self.clear()?;
        write!(self.file, "{}\n{}\n", std::process::id(), files.to_text())?;
        self.is_served = true;
        self.file.sync_all()
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Unlocks explicitly: a child process that is just starting may have a copy of the file handle.
impl Drop for Lock {
    fn drop(&mut self) {
        // If it fails, the next process checks the store once more.
        if self.is_served {
            let _ = self.clear();
        }
        let _ = self.file.unlock();
    }
}

/// Whether the store at `path` was left by a crash: then opening it checks the whole file, which
/// takes long.
pub fn has_crashed(path: &Path) -> bool {
    file::real(path).is_ok_and(|path| match outside(&path) {
        LockState::Served => false,
        LockState::Crashed => true,
        LockState::Free => file::is_filled(&file::beside(&path, LOG)),
    })
}

/// A store as seen by a command that does not serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockState {
    Served,
    /// Not served; the last service ended cleanly.
    Free,
    /// Not served; the last service crashed.
    Crashed,
}

pub(super) fn outside(path: &Path) -> LockState {
    let file = match File::open(file::beside(path, LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return LockState::Free,
        // A lock file that this user may not open: assume that the service holds it.
        Err(_) => return LockState::Served,
        Ok(file) => file,
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => LockState::Served,
        _ if file.metadata().is_ok_and(|meta| meta.len() > 0) => LockState::Crashed,
        _ => LockState::Free,
    }
}

/// A file of a served store that is not the one the service has opened; `None` also if the lock
/// file does not name them.
pub(super) fn replaced(path: &Path) -> Option<PathBuf> {
    let said = std::fs::read_to_string(file::beside(path, LOCK)).ok()?;
    let files = said.lines().nth(1)?;
    Opened::from_text(path, files)?.gone()
}

fn open(path: &Path) -> io::Result<(File, bool)> {
    let name = file::beside(path, LOCK);
    let is_new = !name.exists();
    let file = file::private(&name)?;
    if is_new {
        file::give_to_owner_of(path, &file)?;
    }
    Ok((file, is_new))
}

fn held(path: &Path, file: &File) -> OpenError {
    match file::open_to_others(file) {
        Some(mode) => OpenError::Held {
            path: path.to_owned(),
            mode,
        },
        None => OpenError::Served(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_that_is_given_up_is_free_although_its_file_is_open_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let held = Lock::take(&path).unwrap();
        let elsewhere = held.file.try_clone().unwrap();
        assert!(matches!(Lock::take(&path), Err(OpenError::Served(_))));
        drop(held);
        assert!(Lock::take(&path).is_ok());
        drop(elsewhere);
    }

    #[test]
    fn only_who_serves_and_ends_in_order_leaves_no_crash_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut lock = Lock::take(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        lock.serve(&Opened::at(&path).unwrap()).unwrap();
        assert_eq!(outside(&path), LockState::Served);
        drop(lock);
        assert_eq!(outside(&path), LockState::Free);

        std::fs::write(file::beside(&path, LOCK), "4242\n").unwrap();
        assert_eq!(outside(&path), LockState::Crashed);
        // A refused process does not change that.
        let lock = Lock::take(&path).unwrap();
        assert!(lock.tells_of_a_crash());
        drop(lock);
        assert_eq!(outside(&path), LockState::Crashed);
    }
}
