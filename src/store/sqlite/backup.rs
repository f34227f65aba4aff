//! A copy of the whole store, made while a service may write to it.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, ffi};
use rustix::fs::OFlags;

use super::operator::SqliteOperator;
use super::{error, file, lineage, schema};
use crate::store::Unavailable;

/// Pages that are copied between two rests.
const PIECE: c_int = 1024;

/// What the copy's connection holds back of them, in KiB.
const HELD: i32 = 256;

/// Bytes that are synced between two rests.
const SYNCED: usize = 4 * 1024 * 1024;

/// Steps of SQLite's between two rests, while it looks through the copy. One may be a page.
const LOOKS: c_int = 500;

/// Where a database says that it has a write-ahead log, and what it says without one
/// (<https://sqlite.org/fileformat2.html#file_format_version_numbers>).
const LOGGED_AT: u64 = 18;
const NOT_LOGGED: [u8; 2] = [1, 1];

impl SqliteOperator {
    /// Copies the whole store, as it is at one moment, to a file that is not there yet. It
    /// gets its name once it is whole, looked through and synced. Calls `rest` after each
    /// piece of the work.
    ///
    /// SQLite's backup in steps begins anew with every commit of the service, unless the
    /// connection that it reads from holds one state. That locks nobody out, but the log keeps
    /// meanwhile what is written beside it, and is given back afterwards. So syncing and looking
    /// through, which take longer, come later.
    pub fn backup(
        &self,
        to: &Path,
        mut rest: impl FnMut() + Send + 'static,
    ) -> Result<(), Unavailable> {
        let failed = |error: io::Error| Unavailable::new(to, error.to_string());
        let copy = file::unnamed(to, ".aftertake-backup-").map_err(failed)?;
        self.copy_to(copy.path(), &mut rest)
            .map_err(|error| self.caused(to, &error))?;
        self.bring_log_in();
        sync(copy.path(), &mut rest).map_err(failed)?;
        // A log beside a copy would be taken for the store's.
        copy.as_file()
            .write_all_at(&NOT_LOGGED, LOGGED_AT)
            .map_err(failed)?;
        look_through(copy.path(), rest)
            .and_then(|()| set_apart(copy.path()))
            .map_err(|error| self.caused(to, &error))?;
        copy.as_file().sync_all().map_err(failed)?;
        copy.persist_noclobber(to)
            .map_err(|error| not_named(to, &error.error))?;
        file::sync_folder(to).map_err(failed)
    }

    /// Copies the pages of one state.
    fn copy_to(&self, path: &Path, rest: &mut dyn FnMut()) -> rusqlite::Result<()> {
        let state = self.core.conn.unchecked_transaction()?;
        // The transaction has its state from the first read on.
        state.pragma_query(None, "schema_version", |_| Ok(()))?;
        let mut copy = Connection::open(path)?;
        // What is not whole is thrown away.
        copy.pragma_update(None, "journal_mode", "off")?;
        copy.pragma_update(None, "synchronous", "off")?;
        copy.pragma_update(None, "cache_size", -HELD)?;
        let pieces = Backup::new(&state, &mut copy)?;
        while !is_last(pieces.step(PIECE)?)? {
            rest();
        }
        Ok(())
    }

    /// What the log has kept meanwhile is much for a commit of the service that happens to bring
    /// it in. Without success, such a commit does.
    fn bring_log_in(&self) {
        let passive = "PRAGMA wal_checkpoint(PASSIVE)";
        let _ = self.core.conn.query_row(passive, [], |_| Ok(()));
    }

    /// A disk that is full is that of the copy: of the store, nothing but its log is written.
    fn caused(&self, to: &Path, cause: &rusqlite::Error) -> Unavailable {
        if cause.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Unavailable::new(to, cause.to_string());
        }
        error::unavailable(&self.path, cause)
    }
}

/// Another backup may have got the name meanwhile.
fn not_named(to: &Path, error: &io::Error) -> Unavailable {
    let reason = match error.kind() {
        io::ErrorKind::AlreadyExists => "it exists already; name a file that does not".to_owned(),
        _ => error.to_string(),
    };
    Unavailable::new(to, reason)
}

/// Syncs the copy piece by piece: each is written again as it is, through a handle that syncs
/// what it writes and nothing else. While one sync of all wrote it out, the service's own would
/// have to wait.
fn sync(copy: &Path, rest: &mut dyn FnMut()) -> io::Result<()> {
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DSYNC.bits().cast_signed())
        .open(copy)?;
    let (mut piece, mut at) = (vec![0; SYNCED], 0);
    loop {
        let read = file.read_at(&mut piece, at)?;
        if read == 0 {
            return Ok(());
        }
        file.write_all_at(&piece[..read], at)?;
        at += read as u64;
        rest();
    }
}

/// Whether everything is copied. Nobody else knows the copy, to lock it.
fn is_last(step: StepResult) -> rusqlite::Result<bool> {
    match step {
        StepResult::Done => Ok(true),
        StepResult::More => Ok(false),
        _ => {
            let locked = ffi::Error::new(ffi::SQLITE_BUSY);
            Err(rusqlite::Error::SqliteFailure(locked, None))
        }
    }
}

/// Refuses a copy in which anything is wrong: so is the store then.
fn look_through(copy: &Path, mut rest: impl FnMut() + Send + 'static) -> rusqlite::Result<()> {
    let mut conn = Connection::open(copy)?;
    let resting = move || {
        rest();
        false
    };
    conn.progress_handler(LOOKS, Some(resting))?;
    match schema::fault(&conn)? {
        None => Ok(()),
        Some(fault) => Err(error::malformed(&fault)),
    }
}

/// Names the state of a copy anew: what comes after it is not what comes after the store, and
/// no log of the store belongs to it.
pub(super) fn set_apart(copy: &Path) -> rusqlite::Result<()> {
    let conn = Connection::open(copy)?;
    conn.pragma_update(None, "journal_mode", "memory")?;
    lineage::stamp(&conn)
}
