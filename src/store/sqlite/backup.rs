//! Backs up the whole store while a service may write to it.

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

const PIECE: c_int = 1024;

/// Cache of the copy's connection, in KiB.
const HELD: i32 = 256;

const SYNCED: usize = 4 * 1024 * 1024;

/// Steps of SQLite's virtual machine between two rests of the check. One may read a page.
const LOOKS: c_int = 500;

/// The file format bytes that say whether a database uses a write-ahead log
/// (<https://sqlite.org/fileformat2.html#file_format_version_numbers>).
const LOGGED_AT: u64 = 18;
const NOT_LOGGED: [u8; 2] = [1, 1];

impl SqliteOperator {
    /// Copies the whole store, as it is at one moment, to a new file. The file gets its name once
    /// it is complete, checked and synced. Calls `rest` after each piece of work.
    ///
    /// SQLite's incremental backup restarts at every commit of the service, so the source
    /// connection holds a read transaction. That blocks nobody, but the log grows until it ends. So
    /// syncing and checking, which take longer, come after it.
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
        // A log next to a copy would be taken for the store's.
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

    fn copy_to(&self, path: &Path, rest: &mut dyn FnMut()) -> rusqlite::Result<()> {
        let state = self.core.conn.unchecked_transaction()?;
        // The transaction's snapshot begins at the first read.
        state.pragma_query(None, "schema_version", |_| Ok(()))?;
        let mut copy = Connection::open(path)?;
        // An incomplete copy is thrown away.
        copy.pragma_update(None, "journal_mode", "off")?;
        copy.pragma_update(None, "synchronous", "off")?;
        copy.pragma_update(None, "cache_size", -HELD)?;
        let pieces = Backup::new(&state, &mut copy)?;
        while !is_last(pieces.step(PIECE)?)? {
            rest();
        }
        Ok(())
    }

    /// Checkpoints the log that has grown meanwhile, so that no commit of the service has to. If it
    /// fails, a commit does.
    fn bring_log_in(&self) {
        let passive = "PRAGMA wal_checkpoint(PASSIVE)";
        let _ = self.core.conn.query_row(passive, [], |_| Ok(()));
    }

    /// A full disk is the copy's: of the store, only the log is written.
    fn caused(&self, to: &Path, cause: &rusqlite::Error) -> Unavailable {
        if cause.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Unavailable::new(to, cause.to_string());
        }
        error::unavailable(&self.path, cause)
    }
}

fn not_named(to: &Path, error: &io::Error) -> Unavailable {
    let reason = match error.kind() {
        io::ErrorKind::AlreadyExists => "it exists already; name a file that does not".to_owned(),
        _ => error.to_string(),
    };
    Unavailable::new(to, reason)
}

/// Syncs the copy in pieces: each is written again through a handle that syncs only what it writes.
/// During one sync of the whole file, the service's own sync would wait.
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

/// Whether the copy is complete. Nobody else can lock it.
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

/// Refuses a damaged copy: then the store is damaged, too.
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

/// Gives the copy's state a new name: the store's log does not belong to it, and its own later
/// states are not the store's.
pub(super) fn set_apart(copy: &Path) -> rusqlite::Result<()> {
    let conn = Connection::open(copy)?;
    conn.pragma_update(None, "journal_mode", "memory")?;
    lineage::stamp(&conn)
}
