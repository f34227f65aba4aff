//! Opening a database: whose it is, the pragmas, the migrations.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use url::Url;

use super::error::OpenError;
use super::file::{self, LOG};
use super::lineage;
use super::lock::{self, Lock, Outside};

/// Every migration, in order. A database's `user_version` counts those it has had, and the versions
/// before the first release.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001_store.sql")];

/// Versions of builds before the first release, whose stores are refused.
const UNRELEASED: usize = 3;

/// The version that this program reads and writes.
const VERSION: usize = UNRELEASED + MIGRATIONS.len();

/// "Aftk", which says whose file it is
/// (<https://sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION: i32 = 0x4166_746b;

/// SQLite before 3.51.3 can corrupt a database when it resets its write-ahead log
/// (<https://sqlite.org/wal.html>).
const LEAST_SQLITE: i32 = 3_051_003;

/// How long a connection waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(10);

/// Between two looks of the service whether another process's transaction has ended. SQLite's
/// own waiting looks up to 100 ms later, and meanwhile the next transaction of a command would
/// have begun.
const SERVICE_LOOKS: Duration = Duration::from_micros(500);

/// Between two looks of a command whether the service's transaction has ended. It lets the
/// service look first.
const COMMAND_LOOKS: Duration = Duration::from_millis(3);

/// Bytes that the log keeps on the disk once what it holds is in the database: about twice
/// what it grows to in an ordinary load.
const LOG_KEPT: i64 = 16 * 1024 * 1024;

/// Refuses a file that is not a store, before anything is written to it or made beside it.
/// A file that is empty or not there becomes one.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    if !path.metadata().is_ok_and(|meta| meta.len() > 0) {
        return Ok(());
    }
    match open_alone(path).and_then(|conn| whose(&conn)) {
        Ok(APPLICATION) => Ok(()),
        Ok(_) => Err(OpenError::Foreign(path.to_owned())),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(OpenError::Foreign(path.to_owned()))
        }
        Err(error) => Err(OpenError::of(path)(error)),
    }
}

/// Opens the file itself, to be read. Immutable: SQLite takes no lock, makes no file beside it
/// and does not bring in what a program that crashed has left in its log. Not by reading the
/// bytes: closing a file gives up all locks that this process has on it.
pub(super) fn open_alone(path: &Path) -> rusqlite::Result<Connection> {
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
    Ok(conn)
}

fn whose(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Opens the database, makes it if it is not there, and brings it up to this version.
///
/// Until its log is known to belong to it, and after a crash it has been looked through, nothing
/// is written to it: a store that is refused is left as it was found.
pub(super) fn open_serving(path: &Path, lock: &Lock) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < LEAST_SQLITE {
        return Err(OpenError::unusable(
            path,
            "the SQLite library is too old; it must be 3.51.3 or later",
        ));
    }
    let failed = OpenError::of(path);
    lineage::refuse_foreign_log(path)?;
    file::private(path).map_err(|error| OpenError::io(path, "cannot make it", &error))?;
    let is_brought = lock.is_new() && file::is_filled(path);
    let crashed =
        is_brought || lock.tells_of_a_crash() || file::is_filled(&file::beside(path, LOG));
    if crashed {
        // It only saves time.
        let _ = file::read_ahead(path);
    }
    let mut conn = open_found(path, OpenFlags::default(), crashed)?;
    known_version(&conn, path)?;
    conn.busy_handler(Some(|looks| look_again(looks, SERVICE_LOOKS)))
        .map_err(failed)?;
    // A new file is marked before it has a log, so that the mark stands in the file itself.
    if whose(&conn).map_err(failed)? != APPLICATION {
        conn.pragma_update(None, "application_id", APPLICATION)
            .map_err(failed)?;
    }
    conn.pragma_update(None, "journal_mode", "wal")
        .map_err(failed)?;
    conn.pragma_update(None, "wal_autocheckpoint", 2000)
        .map_err(failed)?;
    renew_log(&mut conn, path)?;
    if migrate(&mut conn, path)? {
        // The file names its state from now on, whenever the process ends.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
    }
    Ok(conn)
}

/// Opens what is there as it is, and looks all of it through where it may be damaged.
fn open_found(path: &Path, flags: OpenFlags, look: bool) -> Result<Connection, OpenError> {
    let failed = OpenError::of(path);
    let mut conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    conn.set_db_config(keep_log, true).map_err(failed)?;
    configure(&mut conn).map_err(failed)?;
    if look {
        look_through(&conn, path)?;
    }
    conn.set_db_config(keep_log, false).map_err(failed)?;
    Ok(conn)
}

/// Refuses a database in which anything is wrong.
pub(super) fn look_through(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    match fault(conn).map_err(OpenError::of(path))? {
        None => Ok(()),
        Some(fault) => Err(OpenError::malformed(path, fault)),
    }
}

/// What is wrong in the whole database, indexes that lack a row included.
pub(super) fn fault(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

/// Brings the database up to this version; whether there was anything to do. `path` is what it
/// is called.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<bool, OpenError> {
    let failed = OpenError::of(path);
    let found = known_version(conn, path)?;
    let had = found.saturating_sub(UNRELEASED);
    for (version, migration) in (UNRELEASED + 1..).zip(MIGRATIONS).skip(had) {
        let txn = conn.transaction().map_err(failed)?;
        txn.execute_batch(migration).map_err(failed)?;
        txn.pragma_update(None, "user_version", version)
            .map_err(failed)?;
        // The first one gives the state its first name.
        if version > UNRELEASED + 1 {
            lineage::stamp(&txn).map_err(failed)?;
        }
        txn.commit().map_err(failed)?;
    }
    Ok(found < VERSION)
}

/// The version of a database that this program can bring up to its own; 0 for an empty one.
fn known_version(conn: &Connection, path: &Path) -> Result<usize, OpenError> {
    match version(conn).map_err(OpenError::of(path))? {
        1..=UNRELEASED => Err(OpenError::Unreleased(path.to_owned())),
        found if found > VERSION => Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        }),
        found => Ok(found),
    }
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
        .map_err(OpenError::of(path))?;
    rewrite(&file::beside(path, LOG))
        .map_err(|error| OpenError::io(path, "cannot write its log anew", &error))?;
    held.rollback().map_err(OpenError::of(path))
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

/// Opens a database that is there and of this version, beside whoever serves it. Where nobody
/// does, its log and what a crash has left are looked at as whoever serves it would. Where
/// somebody does, another file under the store's name is nothing that a command may write to.
pub(super) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    file::refuse_unusable(path, file::USED)?;
    let outside = lock::outside(path);
    if outside != Outside::Served {
        lineage::refuse_foreign_log(path)?;
    } else if let Some(file) = lock::replaced(path) {
        let path = path.to_owned();
        return Err(OpenError::Replaced { path, file });
    }
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    refuse_foreign(path)?;
    let crashed = outside != Outside::Served && lock::has_crashed(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = open_found(path, flags, crashed)?;
    match known_version(&conn, path)? {
        VERSION => Ok(conn),
        _ => Err(OpenError::Older(path.to_owned())),
    }
}

/// Waits before another look; whether to look again.
fn look_again(looks: i32, every: Duration) -> bool {
    std::thread::sleep(every);
    every.saturating_mul(looks.unsigned_abs()) < BUSY
}

/// `synchronous` and the others belong to a connection and have to be set on each.
fn configure(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.busy_handler(Some(|looks| look_again(looks, COMMAND_LOOKS)))?;
    conn.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
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
