//! Opens databases: checks what they are, sets the pragmas, runs the migrations.

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
use super::lock::{self, Lock, LockState};

/// All migrations, in order. `user_version` is their number plus [`UNRELEASED`].
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001_store.sql")];

/// Versions before the first release, which are refused.
const UNRELEASED: usize = 3;

const VERSION: usize = UNRELEASED + MIGRATIONS.len();

/// "Aftk", the application id of our files
/// (<https://sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION: i32 = 0x4166_746b;

/// SQLite before 3.51.3 can corrupt a database when it resets its write-ahead log
/// (<https://sqlite.org/wal.html>).
const LEAST_SQLITE: i32 = 3_051_003;

const BUSY: Duration = Duration::from_secs(10);

/// How often the service checks whether another process's transaction has ended. SQLite's busy
/// timeout checks up to 100 ms apart, and meanwhile a command would begin its next transaction.
const SERVICE_LOOKS: Duration = Duration::from_micros(500);

/// The same for a command: more rarely, so that the service comes first.
const COMMAND_LOOKS: Duration = Duration::from_millis(3);

/// Bytes of log that stay allocated after a checkpoint: about twice its size under ordinary load.
const LOG_KEPT: i64 = 16 * 1024 * 1024;

/// Refuses a file that is not a store, before anything is written to it or next to it. A missing or
/// empty file will become one.
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

/// Opens the file read-only and immutable: SQLite takes no lock, makes no files and ignores the
/// log. Reading the bytes ourselves would not do: closing a file gives up all locks that this
/// process has on it.
pub(super) fn open_alone(path: &Path) -> rusqlite::Result<Connection> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut name = Url::from_file_path(absolute)
        .map_err(|()| rusqlite::Error::InvalidPath(path.to_owned()))?;
    name.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(name.as_str(), flags)?;
    // A crash during a checkpoint may leave a file that is shorter than its header says. The log
    // makes up for that, but this connection does not read the log. With this setting SQLite does
    // not report the file as malformed.
    conn.pragma_update(None, "writable_schema", true)?;
    Ok(conn)
}

fn whose(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Opens the database, creates it if missing, and migrates it.
///
/// Nothing is written before its log is known to belong to it and, after a crash, the whole file
/// was checked: a refused store is left as it was found.
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
    // Before there is a log, so that the id is in the file itself.
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
        // So that the file itself names its state, whenever the process ends.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
    }
    Ok(conn)
}

/// Opens the database without changing it. `look`: checks all of it.
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

pub(super) fn look_through(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    match fault(conn).map_err(OpenError::of(path))? {
        None => Ok(()),
        Some(fault) => Err(OpenError::malformed(path, fault)),
    }
}

/// The first error in the whole database, missing index rows included.
pub(super) fn fault(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

/// Migrates the database; answers whether there was anything to do. `path` is for errors.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<bool, OpenError> {
    let failed = OpenError::of(path);
    let found = known_version(conn, path)?;
    let had = found.saturating_sub(UNRELEASED);
    for (version, migration) in (UNRELEASED + 1..).zip(MIGRATIONS).skip(had) {
        let txn = conn.transaction().map_err(failed)?;
        txn.execute_batch(migration).map_err(failed)?;
        txn.pragma_update(None, "user_version", version)
            .map_err(failed)?;
        // The first migration sets the first state itself.
        if version > UNRELEASED + 1 {
            lineage::stamp(&txn).map_err(failed)?;
        }
        txn.commit().map_err(failed)?;
    }
    Ok(found < VERSION)
}

/// The version of a database that this program can migrate; 0 if empty.
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

/// Writes the log again and syncs it.
///
/// The last process may have been killed after a failed sync. Then the page cache has data that the
/// disk lacks, but counts it as written: reads return it, and no later sync writes it
/// (<https://wiki.postgresql.org/wiki/Fsync_Errors>). After a power loss, commits behind such a gap
/// would be lost.
fn renew_log(conn: &mut Connection, path: &Path) -> Result<(), OpenError> {
    // Nobody else may write to the log meanwhile, not even the command line.
    let held = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(OpenError::of(path))?;
    rewrite(&file::beside(path, LOG))
        .map_err(|error| OpenError::io(path, "cannot rewrite its log", &error))?;
    held.rollback().map_err(OpenError::of(path))
}

/// Overwrites a file with its content, and syncs it.
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

/// Opens an existing database of this version for a command. If nobody serves it, log and crash are
/// checked as the service would, and a second name is refused. If somebody does, refuses files that
/// are not those that the service has opened; then this is the name that the service uses.
pub(super) fn open_beside(path: &Path) -> Result<Connection, OpenError> {
    file::refuse_unusable(path, file::USED)?;
    let outside = lock::outside(path);
    if outside != LockState::Served {
        lineage::refuse_foreign_log(path)?;
    } else if let Some(file) = lock::replaced(path) {
        let path = path.to_owned();
        return Err(OpenError::Replaced { path, file });
    }
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    refuse_foreign(path)?;
    if outside != LockState::Served {
        file::refuse_other_names(path)?;
    }
    let crashed = outside != LockState::Served && lock::has_crashed(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = open_found(path, flags, crashed)?;
    match known_version(&conn, path)? {
        VERSION => Ok(conn),
        _ => Err(OpenError::Older(path.to_owned())),
    }
}

/// Sleeps before the next check; answers whether to check again.
fn look_again(looks: i32, every: Duration) -> bool {
    std::thread::sleep(every);
    every.saturating_mul(looks.unsigned_abs()) < BUSY
}

/// These settings belong to a connection, so each sets them.
fn configure(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.busy_handler(Some(|looks| look_again(looks, COMMAND_LOOKS)))?;
    conn.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
    conn.pragma_update(None, "synchronous", "full")?;
    // Each commit searches the whole cache for pages past the end: with 32 MB that was an eighth of
    // the writer's time. The queue's working set is small.
    conn.pragma_update(None, "cache_size", -8_000)?;
    // Else SQLite prepares a statement again whenever a bound value could affect the use of a
    // partial index or of statistics: a fifth of the writer's time
    // (<https://sqlite.org/queryplanner-ng.html#qpstab>).
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn version(conn: &Connection) -> rusqlite::Result<usize> {
    conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|version| usize::try_from(version).unwrap_or(usize::MAX))
}
