//! The synchronous core: one connection, one transaction at a time.
//!
//! No threads and no clock. The writer thread wraps it, commands use it on their own connection,
//! and tests drive it directly.

use std::cell::RefCell;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::{self, OpenError};
use super::file::Opened;
use super::lineage;
use super::settled::Settled;
use crate::model::task::TaskState;

pub(super) struct Core {
    pub(super) conn: Connection,
    pub(super) files: Opened,
    settled: RefCell<Settled>,
}

pub(super) struct Txn<'a> {
    pub(super) conn: &'a Connection,
    /// Not rolled back with the transaction: a surplus entry only costs another task a new survey.
    pub(super) settled: &'a RefCell<Settled>,
    /// Changes of the counts by state, written once per batch.
    delta: [i64; 5],
}

impl Core {
    pub(super) fn new(conn: Connection, path: &Path) -> Result<Self, OpenError> {
        let files = Opened::at(path).map_err(|error| OpenError::unusable(path, error))?;
        Ok(Self {
            conn,
            files,
            settled: RefCell::default(),
        })
    }

    /// Runs `work` in one transaction and commits it, or nothing of it. Fails if the store's files
    /// were moved or replaced: SQLite would write to them all the same, and nobody would find it.
    ///
    /// The connection stays usable after a failed read, write or sync: the rollback drops SQLite's
    /// cached pages and returns to the last whole commit in the log, so data lost by a failed sync
    /// is written again before it counts (<https://sqlite.org/lang_transaction.html>, errors within
    /// a transaction). Once the disk works again, so does the next call.
    pub(super) fn commit<T>(
        &mut self,
        work: impl FnOnce(&mut Txn<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.files_are_there()?;
        // Immediate: a deferred transaction that reads first may fail to write later.
        let transaction = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut txn = Txn {
            conn: &transaction,
            settled: &self.settled,
            delta: [0; 5],
        };
        let before = transaction.total_changes();
        let value = work(&mut txn)?;
        txn.write_counts()?;
        if transaction.total_changes() != before {
            lineage::stamp(&transaction)?;
        }
        transaction.commit()?;
        self.files_are_there()?;
        Ok(value)
    }

    fn files_are_there(&self) -> rusqlite::Result<()> {
        match self.files.gone() {
            Some(file) => Err(error::moved(&file)),
            None => Ok(()),
        }
    }

    /// For single reads, each with its own snapshot.
    pub(super) fn reads(&self) -> Txn<'_> {
        Txn {
            conn: &self.conn,
            settled: &self.settled,
            delta: [0; 5],
        }
    }

    /// Runs `look`, which only reads, in one snapshot. Blocks nobody.
    pub(super) fn read<T>(
        &mut self,
        look: impl FnOnce(&Txn<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.conn.transaction()?;
        look(&Txn {
            conn: &transaction,
            settled: &self.settled,
            delta: [0; 5],
        })
    }
}

impl Txn<'_> {
    pub(super) fn enters(&mut self, state: TaskState) {
        self.delta[state as usize] += 1;
    }

    pub(super) fn leaves(&mut self, state: TaskState) {
        self.delta[state as usize] -= 1;
    }

    fn write_counts(&self) -> rusqlite::Result<()> {
        let mut update = self
            .conn
            .prepare_cached("UPDATE counts SET tasks = tasks + ?2 WHERE state = ?1")?;
        for (state, change) in (0_i64..).zip(self.delta).filter(|(_, change)| *change != 0) {
            let _one: usize = update.execute((state, change))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{SqliteStore, schema};

    #[test]
    fn commit_to_a_file_that_has_lost_its_name_meanwhile_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("a.db"), dir.path().join("away.db"));
        drop(SqliteStore::open_here(&path).unwrap());
        let conn = schema::open_beside(&path).unwrap();
        let mut core = Core::new(conn, &path).unwrap();
        let moved = core.commit(|txn| {
            std::fs::rename(&path, &away).unwrap();
            txn.conn.execute("DELETE FROM lanes", [])
        });
        let why = moved.unwrap_err().to_string();
        assert!(
            why.contains("a.db is not the file that was opened"),
            "{why}"
        );
        std::fs::rename(&away, &path).unwrap();
        core.commit(|txn| txn.conn.execute("DELETE FROM lanes", []))
            .unwrap();
    }
}
