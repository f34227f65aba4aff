//! Which log belongs to which file.
//!
//! SQLite plays a log onto whatever file it lies beside. One that belongs to another file, as
//! after a backup was copied over a store that had crashed, destroys both. So every commit
//! names the state that it makes and the one that it follows, in the one row of a table. A
//! log belongs to a file when it follows the state that the file is in, or when the file is
//! in a state that the log makes, because a part of it was brought in already.
//!
//! That the row is the last of its page, and always of one length, is what this rests on: it
//! is found in the log without SQLite, and lies in one sector, so that no loss of power
//! leaves half of it.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::error::OpenError;
use super::file::{self, LOG};
use super::schema;
use super::wal;

/// What the row begins with. No text has such a byte: nothing that others send looks like it.
const MARK: [u8; 16] = *b"\xffaftertake-state";

/// The name of a state, drawn by chance.
type State = [u8; 16];

/// What the first state of a store follows.
const NOTHING: State = [0; 16];

/// How often a log is looked at that does not seem to belong, and the pause in between: a
/// command that ends at the moment brings its log in.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// The row, as a page of the log has it.
struct Commit {
    page: u32,
    latest: State,
    previous: State,
}

/// The state of the file itself, whatever its log says.
enum Base {
    Known {
        page: u32,
        latest: State,
    },
    /// It has no row: a store that is being made, or one of an earlier version.
    Unknown,
    /// Bringing the log in was cut short; only the log makes up for that.
    Unreadable,
}

type Log = wal::Log<Commit>;

/// Refuses a store whose log belongs to another file. Touches neither.
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

/// Names the state that the transaction makes. Chance of SQLite's own: nothing turns on it.
pub(super) fn stamp(conn: &Connection) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE lineage SET previous = latest, latest = randomblob(16)")?
        .execute([])?;
    Ok(())
}

impl Commit {
    /// The row at the end of a page.
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

    /// Whether the log belongs to the file. What other programs alone wrote names no state, and
    /// has to be looked through.
    fn is_continued_by(&self, log: &Log) -> bool {
        let Some(first) = log.found.first() else {
            return true;
        };
        match *self {
            Self::Known { page, latest } => {
                // The row never changes its page, unless somebody has SQLite write the whole
                // database anew: then the log holds all of it.
                let is_here = |commit: &Commit| commit.page == page || log.is_whole();
                let is_made = |commit: &Commit| commit.latest == latest && is_here(commit);
                first.previous == latest && is_here(first) || log.found.iter().any(is_made)
            }
            Self::Unknown => first.previous == NOTHING,
            Self::Unreadable => true,
        }
    }
}
