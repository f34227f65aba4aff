//! Forgets what has outlived its retention, a bounded number of rows at a time.

use rusqlite::Params;

use super::core::Txn;
use super::keys;
use super::row::TASK_BITS;
use crate::model::time::Timestamp;
use crate::store::{Pruned, Retention};

/// Events looked at in one call.
const EVENTS: usize = 500;

/// Rows removed in one call, and tasks after which no further event is looked at: the writer
/// must not be held for long.
const ROWS: usize = 2_000;

/// What a call may still do, and what it did.
struct Sweep<'a, 't> {
    txn: &'a mut Txn<'t>,
    rows: usize,
    looks: usize,
    pruned: Pruned,
}

/// Looks at the events after `cursor`, oldest first; answers where to go on, from the
/// beginning again once everything old enough was seen.
///
/// The newest event always stays: SQLite gives a new row the greatest key and one more, and
/// a key that is given twice would tie a new event to what an old one left behind.
pub(super) fn prune(
    txn: &mut Txn<'_>,
    cursor: i64,
    keep: Retention,
    now: Timestamp,
) -> rusqlite::Result<(Pruned, i64)> {
    keys::forget(txn.conn, now)?;
    let history = now.minus(keep.history).millis();
    let horizon = now.minus(keep.dedup_horizon).millis();
    let old: Vec<(i64, i64)> = txn
        .conn
        .prepare_cached(
            "SELECT seq, received FROM events WHERE seq > ?1 AND received < ?2 \
             AND seq < (SELECT max(seq) FROM events) ORDER BY seq LIMIT ?3",
        )?
        .query_map((cursor, history, EVENTS), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut sweep = Sweep {
        txn,
        rows: ROWS,
        looks: ROWS,
        pruned: Pruned {
            more: old.len() == EVENTS,
            ..Pruned::default()
        },
    };
    let mut seen = cursor;
    for (event, received) in old {
        let is_whole = sweep.event(event, history, received < horizon)?;
        if is_whole {
            seen = event;
        }
        if !is_whole || sweep.looks == 0 {
            sweep.pruned.more = true;
            break;
        }
    }
    let next = if sweep.pruned.more { seen } else { 0 };
    Ok((sweep.pruned, next))
}

impl Sweep<'_, '_> {
    /// Forgets what is due of an event, in an order that leaves what stands for the rest
    /// until the end; whether it came to that end.
    fn event(&mut self, event: i64, history: i64, is_beyond: bool) -> rusqlite::Result<bool> {
        let (first, end) = (event << TASK_BITS, (event + 1) << TASK_BITS);
        if self.is_needed(first, end, history)? {
            return Ok(true);
        }
        // With its body gone, none of its tasks can be retried any more.
        self.pruned.bodies += self.delete("DELETE FROM bodies WHERE event = ?1", [event])?;
        self.delete(
            "DELETE FROM attempts WHERE (task, attempt) IN \
             (SELECT task, attempt FROM attempts WHERE task >= ?1 AND task < ?2 LIMIT ?3)",
            (first, end, self.rows),
        )?;
        self.delete(
            "DELETE FROM interventions WHERE (task, number) IN \
             (SELECT task, number FROM interventions WHERE task >= ?1 AND task < ?2 LIMIT ?3)",
            (first, end, self.rows),
        )?;
        if is_beyond {
            self.beyond(event, first, end)?;
        }
        Ok(self.rows > 0)
    }

    /// Moves are kept as long as ids: a later event of the recording may refer to them.
    fn beyond(&mut self, event: i64, first: i64, end: i64) -> rusqlite::Result<()> {
        self.delete(
            "DELETE FROM moves WHERE (task, step, number) IN \
             (SELECT task, step, number FROM moves WHERE task >= ?1 AND task < ?2 LIMIT ?3)",
            (first, end, self.rows),
        )?;
        self.delete(
            "DELETE FROM manifests WHERE task >= ?1 AND task < ?2",
            (first, end),
        )?;
        // All tasks of an event are of the recording that it names.
        self.delete(
            "DELETE FROM recordings WHERE turn IS NULL AND coalesce(moved_event, 0) <= ?3 \
             AND id = (SELECT recording FROM tasks WHERE seq >= ?1 AND seq < ?2 LIMIT 1)",
            (first, end, event),
        )?;
        self.tasks(first, end)?;
        if self.rows > 0 {
            self.pruned.events += self.delete("DELETE FROM events WHERE seq = ?1", [event])?;
        }
        Ok(())
    }

    fn tasks(&mut self, first: i64, end: i64) -> rusqlite::Result<()> {
        let gone: Vec<usize> = self
            .txn
            .conn
            .prepare_cached(
                "DELETE FROM tasks WHERE seq IN \
                 (SELECT seq FROM tasks WHERE seq >= ?1 AND seq < ?2 LIMIT ?3) RETURNING state",
            )?
            .query_map((first, end, self.rows), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        self.spend(gone.len());
        self.pruned.tasks += gone.len();
        for state in gone {
            self.txn.leaves(state);
        }
        Ok(())
    }

    /// Whether the event has a task that is not finished, that a person has to look at, or
    /// that finished within the time that history is kept.
    fn is_needed(&mut self, first: i64, end: i64, history: i64) -> rusqlite::Result<bool> {
        let (tasks, needed): (usize, Option<bool>) = self
            .txn
            .conn
            .prepare_cached(
                "SELECT count(*), max(state IN (0, 1, 3) OR at >= ?3 OR leaves IS NOT NULL) FROM tasks WHERE seq >= ?1 AND seq < ?2",
            )?
            .query_row((first, end, history), |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.looks = self.looks.saturating_sub(tasks);
        Ok(needed == Some(true))
    }

    fn delete(&mut self, sql: &str, which: impl Params) -> rusqlite::Result<usize> {
        let gone = self.txn.conn.prepare_cached(sql)?.execute(which)?;
        self.spend(gone);
        Ok(gone)
    }

    fn spend(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
    }
}
