//! Key ranges that a reader still has to visit, one window at a time.
//!
//! A long read transaction blocks checkpoints, and the log grows. So no statement visits more than
//! one window, however few of its rows match, and no transaction is held between two windows.

use rusqlite::Connection;

use crate::store::lists::{Cursor, EventFilter, TaskFilter, Walk};
use crate::store::operator::CHUNK;
use crate::store::task_key::TaskKey;

/// Number of events (or events' tasks) that one statement visits.
const WINDOW: i64 = 4_000;

/// The keys after `after` up to `last`.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) after: i64,
    pub(super) last: i64,
    window: i64,
}

impl Span {
    pub(super) fn of_tasks(conn: &Connection) -> rusqlite::Result<Self> {
        let ends = "SELECT coalesce(min(seq), 0) FROM tasks UNION ALL SELECT coalesce(max(seq), 0) FROM tasks";
        Self::between(conn, ends, TaskKey::new(WINDOW, 0).stored())
    }

    pub(super) fn of_events(conn: &Connection) -> rusqlite::Result<Self> {
        let ends = "SELECT coalesce(min(seq), 0) FROM events UNION ALL SELECT coalesce(max(seq), 0) FROM events";
        Self::between(conn, ends, WINDOW)
    }

    pub(super) fn tasks_left(walk: &Walk<TaskFilter>) -> Self {
        Self::left(walk, TaskKey::new(WINDOW, 0).stored())
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

    pub(super) fn walk<Filter>(self, filter: Filter) -> Walk<Filter> {
        Walk {
            filter,
            after: Cursor(self.after),
            last: Cursor(self.last),
        }
    }

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

    /// The next rows, at most [`CHUNK`], and moves past them; empty at the end. `read` reads up to
    /// that many rows of a span, in order of their keys.
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

    /// The last `limit` rows, newest first. `read` reads up to that many rows of a span, in
    /// descending order of their keys.
    pub(super) fn newest<T>(
        mut self,
        limit: usize,
        read: impl Fn(&Self, usize) -> rusqlite::Result<Vec<(i64, T)>>,
    ) -> rusqlite::Result<Vec<T>> {
        // SQLite's limit is an i64.
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
