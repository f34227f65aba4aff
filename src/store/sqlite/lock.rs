//! The lock that says who serves a store, and how the last who did has ended.
//!
//! A file beside the store, locked by the system for as long as its process lives. Who serves
//! writes its process id there and removes it at an orderly end: an id in a lock that nobody
//! holds is that of a process that ended otherwise. Below it stands which files it has opened,
//! for a command that finds others under their names.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::OpenError;
use super::file::{self, LOCK, LOG, Opened};

/// How often the lock is asked for, and the pause in between: a command that asks whether the
/// store is served has it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Says that this process serves the store. Ends with the process at the latest.
pub(super) struct Lock {
    file: File,
    /// It was not there: nobody has served a store of this name yet.
    is_new: bool,
    is_served: bool,
}

impl Lock {
    /// Takes the lock of the store at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
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
        // An earlier version has left it open to others, who can hold it.
        if file::open_to_others(&file).is_some() {
            let _ = file::close_to_others(&file);
        }
        Ok(Self {
            file,
            is_new,
            is_served: false,
        })
    }

    /// Whether the last process that served ended without a word.
    pub(super) fn tells_of_a_crash(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.len() > 0)
    }

    /// Whether nobody has served a store of this name yet: one that is there was brought.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// Says that this process serves these files, until its orderly end.
    pub(super) fn serve(&mut self, files: &Opened) -> io::Result<()> {
        self.clear()?;
        write!(self.file, "{}\n{}\n", std::process::id(), files.to_text())?;
        self.is_served = true;
        self.file.sync_all()
    }

    /// Forgets how the last process ended.
    pub(super) fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Not by closing the file alone: a child process that is just starting has a copy of it.
impl Drop for Lock {
    fn drop(&mut self) {
        // At worst the next process looks through the store once more.
        if self.is_served {
            let _ = self.clear();
        }
        // Closing it is all that is left to do.
        let _ = self.file.unlock();
    }
}

/// Whether the store at `path` was left by a crash: whoever opens it looks all of it through,
/// which takes its time.
pub fn has_crashed(path: &Path) -> bool {
    match outside(path) {
        Outside::Served => false,
        Outside::Crashed => true,
        Outside::Free => file::is_filled(&file::beside(path, LOG)),
    }
}

/// How the store at `path` stands for a command that does not serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    Served,
    /// Nobody serves it; the last one who did ended in order.
    Free,
    /// Nobody serves it, and the last one who did ended otherwise.
    Crashed,
}

/// Asks whether the store is served.
pub(super) fn outside(path: &Path) -> Outside {
    let file = match File::open(file::beside(path, LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Outside::Free,
        // Whose lock this user may not open looks after the store.
        Err(_) => return Outside::Served,
        Ok(file) => file,
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Outside::Served,
        _ if file.metadata().is_ok_and(|meta| meta.len() > 0) => Outside::Crashed,
        _ => Outside::Free,
    }
}

/// The file of a served store that is not the one that its process has opened; `None` also when
/// the lock file does not say which those are.
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
        assert_eq!(outside(&path), Outside::Served);
        drop(lock);
        assert_eq!(outside(&path), Outside::Free);

        std::fs::write(file::beside(&path, LOCK), "4242\n").unwrap();
        assert_eq!(outside(&path), Outside::Crashed);
        // Who is refused before it serves knows no better.
        let lock = Lock::take(&path).unwrap();
        assert!(lock.tells_of_a_crash());
        drop(lock);
        assert_eq!(outside(&path), Outside::Crashed);
    }
}
