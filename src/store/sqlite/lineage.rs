//! Checks that a write-ahead log belongs to its database file.
//!
//! SQLite plays any log onto the file next to it. A log of another file (for example, after a
//! backup was copied over a crashed store) destroys both. So every commit names its own state and
//! the state before it, in the one row of a table. A log belongs to a file if its first commit
//! follows the file's state, or if one of its commits made the file's state, because a part of it
//! was checkpointed.
//!
//! The row is the last on its page and has a fixed length. So it can be found in the log without
//! SQLite, and it lies in one sector, so that a power loss cannot leave half of it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::error::OpenError;
use super::file::{self, LOG};
use super::schema;
use super::wal;

/// The beginning of the row. The first byte occurs in no text, so callbacks cannot forge it.
const MARK: [u8; 16] = *b"\xffaftertake-state";

type State = [u8; 16];

/// The state before a store's first one.
const NOTHING: State = [0; 16];

/// Retries when a log does not seem to belong: a command that is just ending checkpoints it.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

struct Commit {
    page: u32,
    latest: State,
    previous: State,
}

/// The state of the file without its log.
enum Base {
    Known {
        page: u32,
        latest: State,
    },
    /// It has no row: a new store, or one of an earlier version.
    Unknown,
    /// A checkpoint was interrupted; only the log can repair that.
    Unreadable,
}

type Log = wal::Log<Commit>;

/// Refuses a store whose log belongs to another file. Changes neither.
pub(super) fn refuse_foreign_log(path: &Path) -> Result<(), OpenError> {
    for look in 1.. {
        let log = Log::read(&file::beside(path, LOG), Commit::of)
            .map_err(|error| OpenError::io(path, "cannot read its log", &error))?;
        let Some(log) = log else { break };
        if !file::is_filled(path) {
            return Err(OpenError::LogAlone(path.to_owned()));
        }
        if Base::of(path).is_continued_by(&log) {
            break;
        }
        if look == LOOKS {
            return Err(OpenError::ForeignLog(path.to_owned()));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Gives the transaction's state a name. SQLite's random numbers are good enough for that.
pub(super) fn stamp(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE lineage SET previous = latest, latest = randomblob(16)")?
        .execute([])?;
    Ok(())
}

impl Commit {
    fn of(page: u32, content: &[u8]) -> Option<Self> {
        let (row, previous) = content.split_last_chunk()?;
        let (row, latest) = row.split_last_chunk()?;
        row.ends_with(&MARK).then_some(Self {
            page,
            latest: *latest,
            previous: *previous,
        })
    }
}

impl Base {
    fn of(path: &Path) -> Self {
        let read = schema::open_alone(path).and_then(|conn| Self::read(&conn));
        read.unwrap_or(Self::Unreadable)
    }

    fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'lineage'";
        let page = conn.query_row(sql, [], |row| row.get(0)).optional()?;
        let Some(page) = page else {
            return Ok(Self::Unknown);
        };
        let latest = conn.query_row("SELECT latest FROM lineage", [], |row| row.get(0))?;
        Ok(Self::Known { page, latest })
    }

    /// Whether the log belongs to the file. A log without our row was written by other programs and
    /// has to be checked completely.
    fn is_continued_by(&self, log: &Log) -> bool {
        let Some(first) = log.found.first() else {
            return true;
        };
        match *self {
            Self::Known { page, latest } => {
                // The row moves to another page only in a `VACUUM`: then the log holds the whole
                // database.
                let is_here = |commit: &Commit| commit.page == page || log.is_whole();
                let is_made = |commit: &Commit| commit.latest == latest && is_here(commit);
                first.previous == latest && is_here(first) || log.found.iter().any(is_made)
            }
            Self::Unknown => first.previous == NOTHING,
            Self::Unreadable => true,
        }
    }
}
