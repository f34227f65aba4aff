//! Opening a database: the file lock, the pragmas, the migrations.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use url::Url;

/// Every migration, in order; a database's `user_version` counts those it has had.
const MIGRATIONS: [&str; 2] = [
    include_str!("../migrations/0001_queue.sql"),
    include_str!("../migrations/0002_promises.sql"),
];

/// "Aftk", which says whose file it is
/// (<https://sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION: i32 = 0x4166_746b;

/// SQLite before 3.51.3 can corrupt a database when it resets its write-ahead log
/// (<https://sqlite.org/wal.html>).
const LEAST_SQLITE: i32 = 3_051_003;

/// How long a connection waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(10);

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("store {} is already served by another process; stop it, or use another --store", .0.display())]
    Served(PathBuf),
    #[error(
        "store {} was written by a newer version of aftertake (schema {found}, this one knows {known}); \
         install that version or a later one", .path.display()
    )]
    Newer {
        path: PathBuf,
        found: usize,
        known: usize,
    },
    #[error("store {} was written by an older version of aftertake; start `aftertake serve` on it once", .0.display())]
    Older(PathBuf),
    #[error("store {} does not exist; `aftertake serve` makes it, or name another with --store", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a store of aftertake; name another file with --store", .0.display())]
    Foreign(PathBuf),
    #[error("store {}: {reason}", .path.display())]
    Unusable { path: PathBuf, reason: String },
}

impl OpenError {
    pub(super) fn unusable(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            reason: format!("{reason}"),
        }
    }
}

/// Refuses a file that is not a store, before anything is written to it or made beside it.
/// A file that is empty or not there becomes one.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    if !path.metadata().is_ok_and(|meta| meta.len() > 0) {
        return Ok(());
    }
    let unusable = |error: rusqlite::Error| OpenError::unusable(path, error);
    match application(path) {
        Ok(APPLICATION) => Ok(()),
        Ok(_) => Err(OpenError::Foreign(path.to_owned())),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(OpenError::Foreign(path.to_owned()))
        }
        Err(error) => Err(unusable(error)),
    }
}

/// Whose file it is by its header. Immutable: SQLite takes no lock, makes no file beside it
/// and does not bring in what a program that crashed has left in its log. Not by reading the
/// bytes: closing a file gives up all locks that this process has on it.
fn application(path: &Path) -> rusqlite::Result<i32> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut name = Url::from_file_path(absolute)
        .map_err(|()| rusqlite::Error::InvalidPath(path.to_owned()))?;
    name.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(name.as_str(), flags)?;
    // A program that crashed while its log was being brought in may have left a file that is
    // shorter than its header says. The log makes up for that, and this connection does not
    // see it; with this setting it does not call the file malformed for it.
    conn.pragma_update(None, "writable_schema", true)?;
    whose(&conn)
}

fn whose(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Says that this process serves the store. Ends with the process at the latest.
pub(super) struct Lock(File);

/// Not by closing the file alone: a child process that is just starting has a copy of it.
impl Drop for Lock {
    fn drop(&mut self) {
        // Closing it is all that is left to do.
        let _ = self.0.unlock();
    }
}

/// Takes the lock.
pub(super) fn lock(path: &Path) -> Result<Lock, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(|error| {
            OpenError::unusable(path, format!("cannot make its lock file: {error}"))
        })?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Served(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::unusable(path, error)),
    }
}

/// Opens the database, makes it if it is not there, and brings it up to this version.
pub(super) fn open_serving(path: &Path) -> Result<Connection, OpenError> {
    let mut conn = Connection::open(path).map_err(|error| OpenError::unusable(path, error))?;
    let unusable = |error: rusqlite::Error| OpenError::unusable(path, error);
    if rusqlite::version_number() < LEAST_SQLITE {
        return Err(OpenError::unusable(
            path,
            "the SQLite library is too old; it must be 3.51.3 or later",
        ));
    }
    configure(&conn).map_err(unusable)?;
    // A new file is marked before it has a log, so that the mark stands in the file itself.
    if whose(&conn).map_err(unusable)? != APPLICATION {
        conn.pragma_update(None, "application_id", APPLICATION)
            .map_err(unusable)?;
    }
    conn.pragma_update(None, "journal_mode", "wal")
        .map_err(unusable)?;
    conn.pragma_update(None, "wal_autocheckpoint", 2000)
        .map_err(unusable)?;
    renew_log(&mut conn, path)?;
    let found = version(&conn).map_err(unusable)?;
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        let txn = conn.transaction().map_err(unusable)?;
        txn.execute_batch(migration).map_err(unusable)?;
        txn.pragma_update(None, "user_version", number + 1)
            .map_err(unusable)?;
        txn.commit().map_err(unusable)?;
    }
    Ok(conn)
}

/// Writes the log again as it is, and syncs it.
///
/// The last process may have been killed after a sync that failed. What it could not write the
/// system has all the same, and counts it as written: it is read as committed, and no later
/// sync writes it (<https://wiki.postgresql.org/wiki/Fsync_Errors>). Commits behind such a gap
/// would be lost with the power.
fn renew_log(conn: &mut Connection, path: &Path) -> Result<(), OpenError> {
    // Nobody else may write to the log meanwhile, the command line included.
    let held = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| OpenError::unusable(path, error))?;
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    rewrite(Path::new(&name)).map_err(|error| OpenError::unusable(path, error))?;
    held.rollback()
        .map_err(|error| OpenError::unusable(path, error))
}

/// Writes a file's own content to it, and syncs it.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut buffer = vec![0; 1024 * 1024];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return file.sync_all();
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&buffer[..read])?;
        at += read as u64;
    }
}

/// Opens a database that is there and of this version, beside whoever serves it.
pub(super) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    refuse_foreign(path)?;
    let unusable = |error: rusqlite::Error| OpenError::unusable(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(unusable)?;
    configure(&conn).map_err(unusable)?;
    match version(&conn).map_err(unusable)? {
        found if found > MIGRATIONS.len() => Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        }),
        found if found < MIGRATIONS.len() => Err(OpenError::Older(path.to_owned())),
        _ => Ok(conn),
    }
}

/// `synchronous` and the timeout belong to a connection and have to be set on each.
fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "synchronous", "full")?;
    // Commits look through all of it for pages beyond the end: with 32 MB that was an eighth of
    // the writer's time. What the queue reads lies close together.
    conn.pragma_update(None, "cache_size", -8_000)?;
    // Else SQLite prepares a statement anew whenever a value is bound that one of the partial
    // indexes or statistics might turn on: a fifth of the writer's time
    // (<https://sqlite.org/queryplanner-ng.html#qpstab>).
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn version(conn: &Connection) -> rusqlite::Result<usize> {
    conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|version| usize::try_from(version).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_that_is_given_up_is_free_although_its_file_is_open_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let held = lock(&path).unwrap();
        let elsewhere = held.0.try_clone().unwrap();
        assert!(matches!(lock(&path), Err(OpenError::Served(_))));
        drop(held);
        assert!(lock(&path).is_ok());
        drop(elsewhere);
    }
}
