//! Forgets what has outlived its retention, a bounded number of rows at a time.

use rusqlite::Params;

use super::core::Txn;
use super::row::TASK_BITS;
use super::{certain, keys};
use crate::model::certain::{Certain, Reckoning};
use crate::model::moment::Present;
use crate::store::{Pruned, Retention};

/// Events looked at in one call.
const EVENTS: usize = 500;

/// Rows removed in one call, and tasks after which no further event is looked at: the writer
/// must not be held for long.
const ROWS: usize = 2_000;

/// Where a sweep goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sweep {
    /// The event that was looked at last.
    cursor: i64,
    /// When the newest event came that was looked at.
    newest: i64,
    reckoning: Option<Reckoning>,
}

/// By when an event must have come to be forgotten.
#[derive(Clone, Copy)]
struct Ages {
    now: i64,
    history: i64,
    horizon: i64,
}

impl Ages {
    fn at(certain: Certain, keep: Retention) -> Self {
        let now = certain.time();
        Self {
            now: now.millis(),
            history: now.minus(keep.history).millis(),
            horizon: now.minus(keep.dedup_horizon).millis(),
        }
    }
}

/// What a call may still do, and what it did.
struct Step<'a, 't> {
    txn: &'a mut Txn<'t>,
    rows: usize,
    looks: usize,
    pruned: Pruned,
}

/// Looks at the next events, oldest first; answers where to go on, from the beginning again
/// once everything old enough was seen.
///
/// No event is older than one that came before it: a clock that was behind makes nothing old.
/// One that came while the clock was ahead is as old as it says, once that time has come.
///
/// The newest event always stays: SQLite gives a new row the greatest key and one more, and
/// a key that is given twice would tie a new event to what an old one left behind.
pub(super) fn prune(
    txn: &mut Txn<'_>,
    sweep: Sweep,
    keep: Retention,
    now: Present,
) -> rusqlite::Result<(Pruned, Sweep)> {
    let (reckoning, certain) = certain::reckon(txn.conn, sweep.reckoning, now)?;
    keys::forget(txn.conn, now.moment)?;
    let ages = Ages::at(certain, keep);
    let events = next_events(txn, sweep.cursor)?;
    let mut step = Step {
        txn,
        rows: ROWS,
        looks: ROWS,
        pruned: Pruned::default(),
    };
    let seen = step.look_at(&events, sweep, ages)?;
    let next = if step.pruned.more {
        seen
    } else {
        Sweep::default()
    };
    let reckoning = Some(reckoning);
    Ok((step.pruned, Sweep { reckoning, ..next }))
}

/// The events after `cursor`, but for the newest of all, and when they came.
fn next_events(txn: &Txn<'_>, cursor: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
    txn.conn
        .prepare_cached(
            "SELECT seq, received FROM events WHERE seq > ?1 AND seq < (SELECT max(seq) FROM events) \
             ORDER BY seq LIMIT ?2",
        )?
        .query_map((cursor, EVENTS), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

impl Step<'_, '_> {
    /// Looks at these events, up to the first that is too young; how far that came.
    fn look_at(
        &mut self,
        events: &[(i64, i64)],
        mut sweep: Sweep,
        ages: Ages,
    ) -> rusqlite::Result<Sweep> {
        self.pruned.more = events.len() == EVENTS;
        for &(event, received) in events {
            if received <= ages.now {
                sweep.newest = sweep.newest.max(received);
                if sweep.newest >= ages.history {
                    self.pruned.more = false;
                    break;
                }
                if !self.event(event, ages.history, sweep.newest < ages.horizon)? {
                    self.pruned.more = true;
                    break;
                }
            }
            sweep.cursor = event;
            if self.looks == 0 {
                self.pruned.more = true;
                break;
            }
        }
        Ok(sweep)
    }

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
        self.delete(
            "DELETE FROM places WHERE moved_event <= ?3 \
             AND recording = (SELECT recording FROM tasks WHERE seq >= ?1 AND seq < ?2 LIMIT 1)",
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
                "SELECT count(*), max((state < 2 OR state = 3) OR at >= ?3 OR leaves IS NOT NULL) FROM tasks WHERE seq >= ?1 AND seq < ?2",
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
