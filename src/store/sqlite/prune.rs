//! Removes history that is older than its retention, a bounded number of rows at a time.
//!
//! The sweep visits events in order of arrival, twice: once to remove their history and once, at
//! the dedup horizon, to remove the event. Its position is stored, so it does not visit an event
//! again. An event that is still needed is put in `passed`; when its last task is settled, the time
//! is noted there, and the sweep returns once that is long enough ago.

use rusqlite::{OptionalExtension, Params};

use super::core::Txn;
use super::{certain, keys};
use crate::model::certain::{Certain, Reckoning};
use crate::model::moment::Present;
use crate::model::task::TaskState;
use crate::model::time::Timestamp;
use crate::store::task_key::TaskKey;
use crate::store::{Pruned, Retention};

/// Events visited in one call. Tasks of visited events count, too.
const LOOKS: usize = 250;

/// Rows removed in one call, because the service's commits wait for it.
const ROWS: usize = 250;

/// What is removed. The names are rows of `sweeps`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    History,
    Event,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Event => "event",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    seq: i64,
    /// When the newest visited event was received.
    newest: i64,
}

/// Events received before these times are removed.
#[derive(Clone, Copy)]
struct Ages {
    now: i64,
    history: i64,
    horizon: i64,
    /// Whether the clock is behind: then an event from the future may be right.
    is_behind: bool,
}

impl Ages {
    fn at(certain: Certain, is_behind: bool, keep: Retention) -> Self {
        let now = certain.time();
        Self {
            now: now.millis(),
            history: now.minus(keep.history).millis(),
            horizon: now.minus(keep.dedup_horizon).millis(),
            is_behind,
        }
    }

    /// The time that is as old as history retention once `received` is at the horizon.
    const fn until_horizon(self, received: i64) -> i64 {
        let longer = self.history.saturating_sub(self.horizon);
        received.saturating_add(longer)
    }

    const fn of(self, what: What) -> i64 {
        match what {
            What::History => self.history,
            What::Event => self.horizon,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A task is unfinished, dead, or has left something behind.
    Unsettled,
    /// Settled or received at this time, which is within history retention.
    Since(i64),
    None,
}

/// One call: its budget, and what it did.
struct Step<'a, 't> {
    txn: &'a mut Txn<'t>,
    ages: Ages,
    rows: usize,
    looks: usize,
    pruned: Pruned,
}

/// A task was settled: if the sweep has passed its event, it may return.
pub(super) fn settled(txn: &Txn<'_>, task: TaskKey, now: Timestamp) -> rusqlite::Result<()> {
    txn.conn
        .prepare_cached("UPDATE passed SET since = ?2 WHERE event = ?1 AND since IS NULL")?
        .execute((task.event(), now.millis()))?;
    Ok(())
}

/// Removes what is due, oldest first. `before` is the reckoning of the last call.
///
/// An event counts as at least as young as every event before it, so a clock that was behind makes
/// nothing old. An event received while the clock was ahead counts from its own time, once that has
/// come.
///
/// The newest event always stays: SQLite gives a new row the greatest key plus one, and a reused
/// key would tie a new event to the remains of an old one.
pub(super) fn prune(
    txn: &mut Txn<'_>,
    before: Option<Reckoning>,
    keep: Retention,
    now: Present,
) -> rusqlite::Result<(Pruned, Reckoning)> {
    let (reckoning, certain) = certain::reckon(txn.conn, before, now)?;
    keys::forget(txn.conn, now.moment)?;
    let mut step = Step {
        txn,
        ages: Ages::at(certain, reckoning.finds_behind(now.time), keep),
        rows: ROWS,
        looks: LOOKS,
        pruned: Pruned::default(),
    };
    step.come_back()?;
    step.go_on(What::History)?;
    step.go_on(What::Event)?;
    Ok((step.pruned, reckoning))
}

impl Step<'_, '_> {
    /// Visits events up to the first that is too young.
    fn go_on(&mut self, what: What) -> rusqlite::Result<()> {
        let from = self.reached(what)?;
        let mut reached = from;
        while let Some((event, received)) = self.next(reached.seq)? {
            if received <= self.ages.now {
                reached.newest = reached.newest.max(received);
                if reached.newest >= self.ages.of(what) {
                    break;
                }
            } else if self.ages.is_behind {
                self.pruned.awaits_clock = true;
                break;
            }
            if self.is_spent() || !self.event(what, event, received)? {
                self.pruned.more = true;
                break;
            }
            reached.seq = event;
        }
        if reached.seq != from.seq {
            self.txn
                .conn
                .prepare_cached("UPDATE sweeps SET seq = ?2, newest = ?3 WHERE what = ?1")?
                .execute((what.name(), reached.seq, reached.newest))?;
        }
        Ok(())
    }

    fn reached(&self, what: What) -> rusqlite::Result<Progress> {
        self.txn
            .conn
            .prepare_cached("SELECT seq, newest FROM sweeps WHERE what = ?1")?
            .query_row([what.name()], |row| {
                let (seq, newest) = (row.get(0)?, row.get(1)?);
                Ok(Progress { seq, newest })
            })
    }

    /// The next event and when it was received. Never the newest of all.
    fn next(&self, seq: i64) -> rusqlite::Result<Option<(i64, i64)>> {
        self.txn
            .conn
            .prepare_cached(
                "SELECT seq, received FROM events WHERE seq > ?1 AND seq < (SELECT max(seq) FROM events) \
                 ORDER BY seq LIMIT 1",
            )?
            .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// Visits one event; answers whether nothing is left to do for it.
    fn event(&mut self, what: What, event: i64, received: i64) -> rusqlite::Result<bool> {
        self.look();
        if self.is_passed(event)? {
            return Ok(true);
        }
        match self.need(event, received)? {
            Need::None => self.remove(what, event),
            need => self.pass(event, need).map(|()| true),
        }
    }

    /// Returns to the passed events that are no longer needed.
    fn come_back(&mut self) -> rusqlite::Result<()> {
        let forgotten = self.reached(What::Event)?.seq;
        while let Some((event, received)) = self.next_passed()? {
            if self.is_spent() {
                self.pruned.more = true;
                break;
            }
            self.look();
            // An event received while the clock was ahead is passed whatever its age.
            let is_due = received < self.ages.horizon;
            let what = if event <= forgotten && is_due {
                What::Event
            } else {
                What::History
            };
            match self.need(event, received)? {
                Need::None if self.remove(what, event)? => {
                    if event <= forgotten && !is_due {
                        self.pass(event, Need::Since(self.ages.until_horizon(received)))?;
                    } else {
                        self.unpass(event)?;
                    }
                }
                Need::None => {
                    self.pruned.more = true;
                    break;
                }
                need => self.pass(event, need)?,
            }
        }
        Ok(())
    }

    fn next_passed(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        self.txn
            .conn
            .prepare_cached(
                "SELECT p.event, e.received FROM passed p JOIN events e ON e.seq = p.event \
                 WHERE p.since < ?1 ORDER BY p.since LIMIT 1",
            )?
            .query_row([self.ages.history], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn is_passed(&self, event: i64) -> rusqlite::Result<bool> {
        self.txn
            .conn
            .prepare_cached("SELECT 1 FROM passed WHERE event = ?1")?
            .exists([event])
    }

    fn pass(&mut self, event: i64, need: Need) -> rusqlite::Result<()> {
        let since = match need {
            Need::Since(at) => Some(at),
            Need::Unsettled | Need::None => None,
        };
        self.txn
            .conn
            .prepare_cached("INSERT OR REPLACE INTO passed (event, since) VALUES (?1, ?2)")?
            .execute((event, since))?;
        Ok(())
    }

    fn unpass(&mut self, event: i64) -> rusqlite::Result<()> {
        self.txn
            .conn
            .prepare_cached("DELETE FROM passed WHERE event = ?1")?
            .execute([event])?;
        Ok(())
    }

    fn need(&mut self, event: i64, received: i64) -> rusqlite::Result<Need> {
        let (tasks, unsettled, last): (usize, Option<bool>, Option<i64>) = self
            .txn
            .conn
            .prepare_cached(
                "SELECT count(*), max(state < 2 OR state = 3 OR leaves IS NOT NULL), max(at) FROM tasks \
                 WHERE seq >= ?1 AND seq < ?2",
            )?
            .query_row(TaskKey::of_event(event), |row| row.try_into())?;
        self.looks = self.looks.saturating_sub(tasks);
        let since = last.map_or(received, |last| last.max(received));
        Ok(if unsettled == Some(true) {
            Need::Unsettled
        } else if since >= self.ages.history {
            Need::Since(since)
        } else {
            Need::None
        })
    }

    /// Removes the event's history, or the event, in an order that allows for interruption; answers
    /// whether all was removed.
    fn remove(&mut self, what: What, event: i64) -> rusqlite::Result<bool> {
        let (first, end) = TaskKey::of_event(event);
        // Without the body, none of its tasks can be retried.
        self.pruned.bodies += self.delete("DELETE FROM bodies WHERE event = ?1", [event])?;
        self.delete(
            "UPDATE tasks SET tried = NULL WHERE seq IN \
             (SELECT seq FROM tasks WHERE seq >= ?1 AND seq < ?2 AND tried IS NOT NULL LIMIT ?3)",
            (first, end, self.rows),
        )?;
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
        if what == What::Event {
            self.forget(event, first, end)?;
        }
        Ok(self.rows > 0)
    }

    /// Moves are kept as long as ids, because a later event of the recording may refer to them.
    fn forget(&mut self, event: i64, first: TaskKey, end: TaskKey) -> rusqlite::Result<()> {
        self.delete(
            "DELETE FROM moves WHERE (task, step, number) IN \
             (SELECT task, step, number FROM moves WHERE task >= ?1 AND task < ?2 LIMIT ?3)",
            (first, end, self.rows),
        )?;
        self.delete(
            "DELETE FROM manifests WHERE task >= ?1 AND task < ?2",
            (first, end),
        )?;
        // All tasks of an event belong to the recording that it names.
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
        self.delete("DELETE FROM announced WHERE event = ?1", [event])?;
        self.replaced(first, end)?;
        self.tasks(first, end)?;
        if self.rows > 0 {
            self.pruned.events += self.delete("DELETE FROM events WHERE seq = ?1", [event])?;
        }
        Ok(())
    }

    /// Which task replaced a recording is kept as long as that task, and as long as a task of the
    /// recording may be retried.
    fn replaced(&mut self, first: TaskKey, end: TaskKey) -> rusqlite::Result<()> {
        self.delete(
            "DELETE FROM replaced WHERE mover >= ?1 AND mover < ?2 AND NOT EXISTS \
             (SELECT 1 FROM tasks t INDEXED BY tasks_recording WHERE t.recording = replaced.recording \
             AND (t.state < 2 OR t.state = 3) AND t.needs_turn = 1)",
            (first, end),
        )?;
        self.delete(
            "DELETE FROM replaced WHERE recording = (SELECT recording FROM tasks WHERE seq >= ?1 AND seq < ?2 LIMIT 1) \
             AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.seq = replaced.mover) AND NOT EXISTS \
             (SELECT 1 FROM tasks t INDEXED BY tasks_recording WHERE t.recording = replaced.recording \
             AND (t.state < 2 OR t.state = 3) AND t.needs_turn = 1)",
            (first, end),
        )?;
        Ok(())
    }

    fn tasks(&mut self, first: TaskKey, end: TaskKey) -> rusqlite::Result<()> {
        let gone: Vec<TaskState> = self
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

    fn delete(&mut self, sql: &str, which: impl Params) -> rusqlite::Result<usize> {
        let gone = self.txn.conn.prepare_cached(sql)?.execute(which)?;
        self.spend(gone);
        Ok(gone)
    }

    fn spend(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
    }

    fn look(&mut self) {
        self.pruned.looked += 1;
        self.looks = self.looks.saturating_sub(1);
    }

    fn is_spent(&self) -> bool {
        self.rows == 0 || self.looks == 0
    }
}
