//! A person's connection to the store, next to the service.
//!
//! Works while the store is served, and never migrates it. The service notices changes within a
//! second.

use std::path::Path;

use rusqlite::Connection;

use super::chunks::Span;
use super::core::{Core, Txn};
use super::error::{self, OpenError};
use super::lock::{self, LockState};
use super::row;
use super::{cancel, file, lanes, lists, record, replay, retry, schema};
use crate::model::breaker::Pause;
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::Mode;
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::store::lists::{
    Cursor, EventDetail, EventFilter, EventRow, LaneRow, Page, TaskDetail, TaskFilter, TaskRow,
    Walk,
};
use crate::store::operator::{
    CancelOutcome, LaneOutcome, Operator, Replay, ReplayOutcome, RetryOutcome, Under,
};
use crate::store::{Arrival, Recorded, Unavailable};

pub struct SqliteOperator {
    pub(super) core: Core,
    pub(super) path: std::path::PathBuf,
}

impl SqliteOperator {
    /// Opens the store at `path`, which must exist and have this version.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = file::real(path)?;
        Ok(Self {
            core: Core::new(schema::open_beside(&path)?, &path)?,
            path,
        })
    }

    fn unavailable(&self) -> impl Fn(rusqlite::Error) -> Unavailable + use<> {
        let path = self.path.clone();
        move |error| error::unavailable(&path, &error)
    }

    /// For single reads, each with its own snapshot.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        read(&self.core.conn).map_err(self.unavailable())
    }

    /// Reads one snapshot. Blocks nobody.
    fn read_one_state<T>(
        &mut self,
        read: impl FnOnce(&Txn<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let unavailable = self.unavailable();
        self.core.read(read).map_err(unavailable)
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Txn<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Unavailable> {
        let unavailable = self.unavailable();
        self.core.commit(work).map_err(unavailable)
    }
}

impl Operator for SqliteOperator {
    fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Vec<TaskRow>, Unavailable> {
        self.read(|conn| lists::tasks(conn, filter, page))
    }

    fn task_cursor(&self, id: TaskId) -> Result<Option<Cursor>, Unavailable> {
        let key = self.read(|conn| row::key_of(conn, id))?;
        Ok(key.map(|key| Cursor(key.stored())))
    }

    fn task(&self, id: TaskId) -> Result<Option<TaskDetail>, Unavailable> {
        lists::task(&self.core.reads(), id).map_err(self.unavailable())
    }

    fn events(&self, filter: &EventFilter, page: Page) -> Result<Vec<EventRow>, Unavailable> {
        self.read(|conn| lists::events(conn, filter, page))
    }

    fn event_cursor(&self, id: EventId) -> Result<Option<Cursor>, Unavailable> {
        let key = self.read(|conn| lists::event_key(conn, id))?;
        Ok(key.map(Cursor))
    }

    fn event(&self, id: EventId) -> Result<Option<EventDetail>, Unavailable> {
        lists::event(&self.core.reads(), id).map_err(self.unavailable())
    }

    fn walk_tasks(&self, filter: TaskFilter) -> Result<Walk<TaskFilter>, Unavailable> {
        Ok(self.read(Span::of_tasks)?.walk(filter))
    }

    fn next_tasks(&self, walk: &mut Walk<TaskFilter>) -> Result<Vec<TaskRow>, Unavailable> {
        self.read(|conn| lists::next_tasks(conn, walk))
    }

    fn walk_events(&self, filter: EventFilter) -> Result<Walk<EventFilter>, Unavailable> {
        Ok(self.read(Span::of_events)?.walk(filter))
    }

    fn next_events(&self, walk: &mut Walk<EventFilter>) -> Result<Vec<EventRow>, Unavailable> {
        self.read(|conn| lists::next_events(conn, walk))
    }

    fn retry(
        &mut self,
        ids: &[TaskId],
        under: Option<&Under<'_>>,
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<RetryOutcome>, Unavailable> {
        let ids = ids.iter().copied();
        match mode {
            Mode::DryRun => self
                .read_one_state(|txn| ids.map(|id| retry::dry_run(txn, id, under, now)).collect()),
            Mode::Real(by) => self.write(|txn| {
                if let Some(under) = under {
                    record::keep_revision(txn, under.revision, under.text)?;
                }
                ids.map(|id| retry::retry(txn, id, under, by, now))
                    .collect()
            }),
        }
    }

    fn cancel(
        &mut self,
        ids: &[TaskId],
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<CancelOutcome>, Unavailable> {
        let ids = ids.iter().copied();
        match mode {
            Mode::DryRun => {
                self.read_one_state(|txn| ids.map(|id| cancel::dry_run(txn, id)).collect())
            }
            Mode::Real(by) => {
                self.write(|txn| ids.map(|id| cancel::cancel(txn, id, by, now)).collect())
            }
        }
    }

    fn replay(
        &mut self,
        events: &[EventId],
        replay: &Replay<'_>,
        mode: Mode<'_>,
        now: Timestamp,
    ) -> Result<Vec<ReplayOutcome>, Unavailable> {
        let ids = events.iter().copied();
        match mode {
            Mode::DryRun => {
                self.read_one_state(|txn| ids.map(|id| replay::dry_run(txn, id, replay)).collect())
            }
            Mode::Real(by) => {
                let judged: Vec<_> = self.read_one_state(|txn| {
                    ids.clone()
                        .map(|id| replay::judge(txn, id, replay))
                        .collect()
                })?;
                self.write(|txn| {
                    let judged = ids.zip(judged);
                    judged
                        .map(|(id, judged)| replay::replay(txn, id, judged, replay, by, now))
                        .collect()
                })
            }
        }
    }

    fn record(&mut self, arrival: &Arrival, rules: &str) -> Result<Recorded, Unavailable> {
        self.write(|txn| {
            record::keep_revision(txn, arrival.plan.revision, rules)?;
            record::record(txn, arrival, &[])
        })
    }

    fn lanes(&self) -> Result<Vec<LaneRow>, Unavailable> {
        self.read(lanes::rows)
    }

    fn pause(
        &mut self,
        lane: &Lane,
        why: &str,
        now: Timestamp,
    ) -> Result<LaneOutcome, Unavailable> {
        let why = why.to_owned();
        self.write(|txn| lanes::pause(txn, lane, &Pause { since: now, why }))
    }

    fn holds(&self, lane: &Lane) -> Result<bool, Unavailable> {
        let is_heard = self
            .read(|conn| lanes::is_heard(conn, lane))?
            .unwrap_or(true);
        Ok(is_heard || lock::outside(&self.path) != LockState::Served)
    }

    fn resume(&mut self, lane: &Lane) -> Result<LaneOutcome, Unavailable> {
        self.write(|txn| lanes::resume(txn, lane))
    }
}

impl std::fmt::Debug for SqliteOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteOperator")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
