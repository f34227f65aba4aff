//! The synchronous core: one connection, one transaction at a time.
//!
//! Knows no thread and no clock. The writer thread wraps it, the command line uses it on
//! a connection of its own, and tests drive it directly.

use rusqlite::{Connection, TransactionBehavior};

use super::lineage;
use crate::store::Decode;

/// Positions in `TaskState::NAMES`, as stored.
pub(super) const READY: usize = 0;
pub(super) const RUNNING: usize = 1;
pub(super) const DONE: usize = 2;
pub(super) const DEAD: usize = 3;
pub(super) const CANCELLED: usize = 4;

/// A connection that writes.
pub(super) struct Core {
    pub(super) conn: Connection,
    decode: Decode,
}

/// A transaction in the making.
pub(super) struct Txn<'a> {
    pub(super) conn: &'a Connection,
    pub(super) decode: Decode,
    /// How the counts by state change, written once for the whole batch.
    delta: [i64; 5],
}

impl Core {
    pub(super) fn new(conn: Connection, decode: Decode) -> Self {
        Self { conn, decode }
    }

    /// Runs `work` in one transaction and commits it, or nothing of it.
    ///
    /// The connection stays usable after a failed read, write or sync: with the rollback,
    /// SQLite drops the pages it holds and goes back to the last whole commit of its log, so
    /// what a failed sync may have lost is written again before it counts
    /// (<https://sqlite.org/lang_transaction.html>, errors within a transaction). Once the disk
    /// works again, so does the next call.
    pub(super) fn commit<T>(
        &mut self,
        work: impl FnOnce(&mut Txn<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        // Immediate: a deferred transaction that reads first may fail to write later.
        let transaction = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut txn = Txn {
            conn: &transaction,
            decode: self.decode,
            delta: [0; 5],
        };
        let before = transaction.total_changes();
        let value = work(&mut txn)?;
        txn.write_counts()?;
        if transaction.total_changes() != before {
            lineage::stamp(&transaction)?;
        }
        transaction.commit()?;
        Ok(value)
    }

    /// Runs `look`, which only reads, on one state of the store: nobody has to wait for it.
    pub(super) fn look<T>(
        &mut self,
        look: impl FnOnce(&Txn<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.conn.transaction()?;
        look(&Txn {
            conn: &transaction,
            decode: self.decode,
            delta: [0; 5],
        })
    }
}

impl Txn<'_> {
    /// A task came to be in a state.
    pub(super) fn enters(&mut self, state: usize) {
        self.delta[state] += 1;
    }

    /// A task left a state.
    pub(super) fn leaves(&mut self, state: usize) {
        self.delta[state] -= 1;
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
