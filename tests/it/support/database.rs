//! The SQLite database of a test: tests that are not about SQLite open theirs here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use aftertake::store::sqlite::AroundCommit;
use aftertake::store::sqlite::{SqliteOperator, SqliteStore};
use rusqlite::Connection;

/// A store's database, by the path of its file.
pub(crate) struct Database(PathBuf);

impl Database {
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// That of the program when it runs in this folder without `--store`.
    pub(crate) fn of_program(folder: &Path) -> Self {
        Self::at(folder.join("aftertake.db"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the service's half, as a process does at its start.
    pub(crate) fn open(&self) -> SqliteStore {
        open(&self.0)
    }

    /// Like `open`, with commits that go through `around`.
    pub(crate) fn open_around(&self, around: AroundCommit) -> SqliteStore {
        SqliteStore::open(&self.0, around).unwrap()
    }

    /// Like `open`, without a writer thread: each call completes in its first poll.
    pub(crate) fn open_here(&self) -> SqliteStore {
        SqliteStore::open_here(&self.0).unwrap()
    }

    /// The person's half, next to the service.
    pub(crate) fn operator(&self) -> SqliteOperator {
        SqliteOperator::open(&self.0).unwrap()
    }

    /// Makes the store, as a first start does, and returns the person's half of it.
    pub(crate) fn create(&self) -> SqliteOperator {
        drop(self.open());
        self.operator()
    }

    /// Opens the store as a start after an unclean stop does, and checks it; returns the person's
    /// half of it, or what is wrong.
    pub(crate) fn recovered(&self) -> Result<SqliteOperator, String> {
        let opened = SqliteStore::open(&self.0, plain());
        drop(opened.map_err(|error| error.to_string())?);
        self.check()?;
        SqliteOperator::open(&self.0).map_err(|error| error.to_string())
    }

    /// SQLite's integrity check of the file.
    pub(crate) fn check(&self) -> Result<(), String> {
        let check = self
            .sql()
            .query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        match check {
            Ok(said) if said == "ok" => Ok(()),
            said => Err(format!("integrity_check: {said:?}")),
        }
    }

    /// A connection for what neither half does: another writer's lock, a write that fails, a row
    /// that is changed behind the store's back.
    pub(crate) fn sql(&self) -> Connection {
        Connection::open(&self.0).unwrap()
    }
}

/// Commits without anything around them.
pub(crate) fn plain() -> AroundCommit {
    Arc::new(|_operations, commit| commit())
}

/// Opens the service's half of the store with this file.
pub(crate) fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, plain()).unwrap()
}
