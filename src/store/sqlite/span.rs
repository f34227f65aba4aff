//! Keys that a reader has still to look at, and how it goes through them: a window at a time.
//!
//! A read that goes on for long holds up the log: what was written since it began cannot be
//! brought into the database, and the log grows. So no statement looks at more than a window,
//! however few of its rows are meant, and between two windows nothing is held.

use rusqlite::Connection;

use super::row::TASK_BITS;
use crate::store::lists::{Cursor, EventFilter, TaskFilter, Walk};
use crate::store::operator::CHUNK;

/// Events, or the tasks of so many, that one statement looks at.
const WINDOW: i64 = 4_000;

/// The keys after the one, up to the other.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) after: i64,
    pub(super) last: i64,
    /// Keys in a window.
    window: i64,
}

impl Span {
    pub(super) fn of_tasks(conn: &Connection) -> rusqlite::Result<Self> {
        let ends = "SELECT coalesce(min(seq), 0) FROM tasks UNION ALL SELECT coalesce(max(seq), 0) FROM tasks";
        Self::between(conn, ends, WINDOW << TASK_BITS)
    }

    pub(super) fn of_events(conn: &Connection) -> rusqlite::Result<Self> {
        let ends = "SELECT coalesce(min(seq), 0) FROM events UNION ALL SELECT coalesce(max(seq), 0) FROM events";
        Self::between(conn, ends, WINDOW)
    }

    /// What a walk has still to meet.
    pub(super) fn tasks_left(walk: &Walk<TaskFilter>) -> Self {
        Self::left(walk, WINDOW << TASK_BITS)
    }

    pub(super) fn events_left(walk: &Walk<EventFilter>) -> Self {
        Self::left(walk, WINDOW)
    }

    fn left<Filter>(walk: &Walk<Filter>, window: i64) -> Self {
        Self {
            after: walk.after.0,
            last: walk.last.0,
            window,
        }
    }

    /// A walk through all of it.
    pub(super) fn walk<Filter>(self, filter: Filter) -> Walk<Filter> {
        Walk {
            filter,
            after: Cursor(self.after),
            last: Cursor(self.last),
        }
    }

    /// The keys before this one.
    pub(super) fn before(self, cursor: Option<Cursor>) -> Self {
        let last = cursor.map_or(self.last, |Cursor(key)| self.last.min(key - 1));
        Self { last, ..self }
    }

    fn between(conn: &Connection, ends: &str, window: i64) -> rusqlite::Result<Self> {
        let ends: Vec<i64> = conn
            .prepare_cached(ends)?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(Self {
            after: ends.first().map_or(0, |first| first - 1),
            last: ends.last().copied().unwrap_or(0),
            window,
        })
    }

    /// The next rows, from the beginning, and goes behind them: at most [`CHUNK`], none at the
    /// end. `read` reads so many rows of a span, in the order of their keys.
    pub(super) fn next<T>(
        &mut self,
        read: impl Fn(&Self, usize) -> rusqlite::Result<Vec<(i64, T)>>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut all = Vec::new();
        while self.after < self.last && all.len() < CHUNK {
            let window = Self {
                last: self.last.min(self.after.saturating_add(self.window)),
                ..*self
            };
            let limit = CHUNK - all.len();
            let rows = read(&window, limit)?;
            self.after = match rows.last() {
                Some((seq, _)) if rows.len() == limit => *seq,
                _ => window.last,
            };
            all.extend(rows.into_iter().map(|(_, row)| row));
        }
        Ok(all)
    }

    /// The last `limit` rows, the last one first. `read` reads so many rows of a span, in the
    /// reverse order of their keys.
    pub(super) fn newest<T>(
        mut self,
        limit: usize,
        read: impl Fn(&Self, usize) -> rusqlite::Result<Vec<(i64, T)>>,
    ) -> rusqlite::Result<Vec<T>> {
        // The database counts no further.
        let limit = limit.min(usize::try_from(i64::MAX).unwrap_or(limit));
        let mut all = Vec::new();
        while self.after < self.last && all.len() < limit {
            let window = Self {
                after: self.after.max(self.last.saturating_sub(self.window)),
                ..self
            };
            let rows = read(&window, limit - all.len())?;
            all.extend(rows.into_iter().map(|(_, row)| row));
            self.last = window.after;
        }
        Ok(all)
    }
}
