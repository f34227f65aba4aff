//! Goes through tasks or events, the oldest first, a bounded number at a time.
//!
//! What came to be after a walk began is not met: it ends, whatever the service does
//! meanwhile. Between two chunks nothing is held.

use rusqlite::Row;

use super::look::{EventFilter, EventRow, TaskFilter, TaskRow, event_row, list, meant};
use super::look::{state_number, task_row};
use super::operator::SqliteOperator;
use super::span::Span;
use crate::store::Unavailable;

/// Rows in one chunk.
pub const CHUNK: usize = 500;

/// Tasks or events that one transaction of a bulk command should change: the service's own
/// commits wait no longer than that takes.
pub const STEP: usize = 40;

/// A walk through tasks.
#[derive(Debug)]
pub struct TaskWalk {
    filter: TaskFilter,
    /// One bit for each state that is meant.
    states: u8,
    span: Span,
}

/// A walk through events.
#[derive(Debug)]
pub struct EventWalk {
    filter: EventFilter,
    span: Span,
}

const TASKS: &str = concat!(
    list!("t.seq > ?9 AND t.seq <= ?10 AND (1 << t.state & ?8) AND "),
    meant!(),
    " ORDER BY t.seq LIMIT ?7"
);
const TASKS_IN_STATE: &str = concat!(
    list!("t.seq > ?9 AND t.seq <= ?10 AND t.state = ?8 AND "),
    meant!(),
    " ORDER BY t.seq LIMIT ?7"
);
const EVENTS: &str = "SELECT seq, id, received, event_type, room FROM events \
                      WHERE seq > ?5 AND seq <= ?6 AND (?1 IS NULL OR room = ?1) \
                      AND received >= ?2 AND received < ?3 ORDER BY seq LIMIT ?4";

impl SqliteOperator {
    /// Begins a walk through the tasks in these states that `filter` means besides; its state
    /// and limit do not count.
    pub fn walk_tasks(&self, filter: TaskFilter, states: &[&str]) -> Result<TaskWalk, Unavailable> {
        let numbers = states.iter().filter_map(|name| state_number(name));
        let span = Span::of_tasks(self.conn()).map_err(self.unavailable())?;
        Ok(TaskWalk {
            filter,
            states: numbers.fold(0, |all, number| all | 1 << number),
            span,
        })
    }

    /// The next tasks, at most [`CHUNK`]; none at the end.
    pub fn next_tasks(&self, walk: &mut TaskWalk) -> Result<Vec<TaskRow>, Unavailable> {
        // One state is found by its index; several are picked out on the way.
        let (sql, states) = if walk.states.is_power_of_two() {
            (TASKS_IN_STATE, walk.states.trailing_zeros())
        } else {
            (TASKS, walk.states.into())
        };
        let (rule, room, failure, lane, since, until) = walk.filter.conditions();
        let conditions = (&rule, &room, &failure, &lane, since, until);
        let window = |span: &Span, limit| {
            let (rule, room, failure, lane, since, until) = conditions;
            let which = rusqlite::params![
                rule, room, failure, lane, since, until, limit, states, span.after, span.last
            ];
            let mut statement = self.conn().prepare_cached(sql)?;
            let rows = statement.query_map(which, |row| Ok((row.get("seq")?, task_row(row)?)))?;
            rows.collect()
        };
        walk.span.next(window).map_err(self.unavailable())
    }

    /// Begins a walk through the events that `filter` means; its limit does not count.
    pub fn walk_events(&self, filter: EventFilter) -> Result<EventWalk, Unavailable> {
        let span = Span::of_events(self.conn()).map_err(self.unavailable())?;
        Ok(EventWalk { filter, span })
    }

    /// The next events, at most [`CHUNK`]; none at the end.
    pub fn next_events(&self, walk: &mut EventWalk) -> Result<Vec<EventRow>, Unavailable> {
        let (room, since, until) = walk.filter.conditions();
        let window = |span: &Span, limit| {
            let which = (room, since, until, limit, span.after, span.last);
            let read = |row: &Row<'_>| Ok((row.get("seq")?, event_row(row)?));
            let mut statement = self.conn().prepare_cached(EVENTS)?;
            statement.query_map(which, read)?.collect()
        };
        walk.span.next(window).map_err(self.unavailable())
    }
}
