//! The default store: one SQLite file, served by one process.
//!
//! Write-ahead log, `synchronous=FULL`, one writer thread that commits in groups, and a separate
//! connection for reads. It replies only after the commit: durability depends on that order.

mod apply;
mod backup;
mod bucket_ids;
mod cancel;
mod certain;
mod chunks;
mod claim;
mod core;
mod due;
mod error;
mod file;
mod found;
mod health;
mod interventions;
mod journal;
mod keys;
mod lanes;
mod left;
mod lineage;
mod lists;
mod lock;
mod named_task;
mod notice;
mod operator;
mod order;
mod prune;
#[cfg(test)]
mod query_plans;
mod record;
mod refusal;
mod replaced;
mod replay;
mod restore;
mod retry;
mod row;
mod schema;
mod service_reads;
mod settled;
mod turn;
mod wait;
mod waiting;
mod wal;
mod whose;
mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use self::apply::Written;
use self::core::Core;
use self::health::{Health, Trouble};
use self::journal::Entered;
use self::lock::Lock;
use self::writer::Writer;
use super::{
    Applied, ApplyError, Arrival, Claim, Claimed, Figures, JournalEntry, JournalError, LaneRoom,
    Pruned, Recorded, Retention, Settlement, Store, Unavailable,
};
use crate::model::breaker::{LaneChange, LaneState, Pause};
use crate::model::certain::Reckoning;
use crate::model::id::TaskId;
use crate::model::moment::Present;
use crate::model::moves::keys::{Taken, Use};
use crate::model::moves::{Earlier, MadeBy, Move, Outline, PutBy};
use crate::model::recording::Place;
use crate::model::task::{Lane, RevisionId, TaskState};
use crate::model::time::Timestamp;
use crate::model::wait::Outside;
use crate::store::task_key::TaskKey;

pub use self::error::OpenError;
pub use self::found::Found;
pub use self::lock::has_crashed;
pub use self::operator::SqliteOperator;
pub use self::restore::{RestoreError, Restored, restore};
pub use self::writer::AroundCommit;

/// The reading connection's cache in KiB, negative as SQLite takes it. Every commit invalidates it,
/// so a larger one would be of no use.
const READER_CACHE: i32 = -1_000;

/// How often to check for writes of other processes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A served SQLite store.
pub struct SqliteStore {
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    path: PathBuf,
    found: Found,
    /// Tasks that waited when it was opened.
    waiting: u64,
    health: Health,
    /// What the last sweep knew about the time.
    reckoning: Mutex<Option<Reckoning>>,
    /// The version that [`Store::changed`] saw last.
    seen: AtomicI64,
    /// Held while the store is served. The last field, so that the writer ends before it is
    /// released.
    _lock: Lock,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store at `path` for this process only, and creates it if missing. Tasks that were
    /// running when the last process ended are due at once.
    pub fn open(path: &Path, around_commit: AroundCommit) -> Result<Self, OpenError> {
        Self::open_with(path, |core, health| {
            Writer::start(core, health, around_commit)
                .map_err(|error| OpenError::io(path, "cannot start its writer", &error))
        })
    }

    /// [`SqliteStore::open`] without threads: a call does its work when it is first polled, on the
    /// polling thread. So a simulation can repeat a history.
    pub fn open_here(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, |core, health| Ok(Writer::here(core, health)))
    }

    fn open_with(
        path: &Path,
        writer: impl FnOnce(Core, Health) -> Result<Writer, OpenError>,
    ) -> Result<Self, OpenError> {
        let path = &file::real(path)?;
        let failed = OpenError::of(path);
        file::refuse_unusable(path, file::USED)?;
        schema::refuse_foreign(path)?;
        let mut lock = Lock::take(path)?;
        let found = Found::at(path, &lock);
        let mut core = Core::new(schema::open_serving(path, &lock)?, path)?;
        core.commit(recover).map_err(failed)?;
        let waiting = service_reads::ready(&core.conn).map_err(failed)?;
        lock.serve(&core.files)
            .map_err(|error| OpenError::io(path, "cannot write its lock file", &error))?;
        let seen = data_version(&core.conn).map_err(failed)?;
        let reader = schema::open_beside(path)?;
        reader
            .pragma_update(None, "cache_size", READER_CACHE)
            .map_err(failed)?;
        let health = Health::new(path.to_owned());
        let writer = writer(core, health.clone())?;
        Ok(Self {
            writer,
            reader: Arc::new(Mutex::new(reader)),
            path: path.to_owned(),
            found,
            waiting,
            health,
            reckoning: Mutex::default(),
            seen: AtomicI64::new(seen),
            _lock: lock,
        })
    }

    /// What was at its path when it was opened.
    pub const fn found(&self) -> Found {
        self.found
    }

    /// The number of tasks that waited when it was opened.
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Its file, independent of the current directory.
    pub fn place(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// Limits the database to `pages` pages of 4,096 bytes; beyond that, writes fail as on a full
    /// disk.
    pub async fn limit_pages(&self, pages: u32) -> Result<(), Unavailable> {
        self.writer
            .run(move |txn| txn.conn.pragma_update(None, "max_page_count", pages))
            .await
    }

    async fn correct(&self, tasks: Vec<TaskKey>, now: Timestamp) -> Result<usize, Unavailable> {
        if tasks.is_empty() {
            return Ok(0);
        }
        let correct = self.writer.run(move |txn| due::correct(txn, &tasks, now));
        correct.await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let reader = Arc::clone(&self.reader);
        let read = move || read(&reader.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = |error: rusqlite::Error| {
            let trouble = Trouble::from(error);
            self.health.failed(trouble.clone());
            self.health.caused_by(&trouble)
        };
        if self.writer.is_here() {
            return read().map_err(failed);
        }
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_crashed| self.health.unavailable("a read has crashed".to_owned()))?
            .map_err(failed)
    }
}

/// Tasks that ran when the last process ended are ready again.
fn recover(txn: &mut core::Txn<'_>) -> rusqlite::Result<()> {
    let orphans = txn.conn.execute(
        "UPDATE tasks SET state = 0 WHERE state <> 2 AND state = 1",
        [],
    )?;
    keys::recover(txn.conn)?;
    for _ in 0..orphans {
        txn.leaves(TaskState::Running);
        txn.enters(TaskState::Ready);
    }
    Ok(())
}

fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "data_version", |row| row.get(0))
}

#[async_trait]
impl Store for SqliteStore {
    async fn keep_revision(&self, id: RevisionId, text: String) -> Result<(), Unavailable> {
        self.writer
            .run(move |txn| record::keep_revision(txn, id, &text))
            .await
    }

    async fn revision(&self, id: RevisionId) -> Result<Option<String>, Unavailable> {
        self.read(move |conn| service_reads::revision(conn, id))
            .await
    }

    async fn record(&self, arrival: Arrival, start: Vec<TaskId>) -> Result<Recorded, Unavailable> {
        self.writer
            .run(move |txn| record::record(txn, &arrival, &start))
            .await
    }

    async fn claim(&self, room: Vec<LaneRoom>, now: Timestamp) -> Result<Claimed, Unavailable> {
        self.writer
            .run(move |txn| claim::claim(txn, &room, now))
            .await
    }

    async fn outline(&self, claim: &Claim) -> Result<Option<Outline>, Unavailable> {
        let (seq, step) = (claim.key, claim.task.step);
        self.read(move |conn| journal::outline(conn, seq, step))
            .await
    }

    async fn moves(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        let (seq, step) = (claim.key, claim.task.step);
        self.read(move |conn| journal::moves(conn, seq, step, &numbers))
            .await
    }

    async fn drafts(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        let (seq, step) = (claim.key, claim.task.step);
        self.read(move |conn| journal::drafts(conn, seq, step, &numbers))
            .await
    }

    async fn earlier_moves(
        &self,
        claim: &Claim,
        from: Vec<Place>,
    ) -> Result<Vec<Earlier>, Unavailable> {
        let Some(recording) = claim.task.recording else {
            return Ok(Vec::new());
        };
        let origin = claim.event.fields.origin();
        self.read(move |conn| journal::earlier(conn, recording, origin.as_ref(), &from))
            .await
    }

    async fn made_from(&self, claim: &Claim, from: Vec<Place>) -> Result<Vec<MadeBy>, Unavailable> {
        let Some(recording) = claim.task.recording else {
            return Ok(Vec::new());
        };
        let (key, origin) = (claim.key, claim.event.fields.origin());
        self.read(move |conn| journal::made_from(conn, key, recording, origin.as_ref(), &from))
            .await
    }

    async fn put_by_others(&self, claim: &Claim, place: Place) -> Result<Vec<PutBy>, Unavailable> {
        let Some(recording) = claim.task.recording else {
            return Ok(Vec::new());
        };
        let origin = claim.event.fields.origin().map(|origin| origin.to_row());
        self.read(move |conn| replaced::put_by_others(conn, recording, origin.as_deref(), &place))
            .await
    }

    async fn journal(
        &self,
        claim: &Claim,
        entry: JournalEntry,
        now: Present,
    ) -> Result<(), JournalError> {
        let by = journal::By {
            seq: claim.key,
            attempt: claim.attempt,
            task: claim.task.clone(),
            origin: claim.event.fields.origin().map(|origin| origin.to_row()),
            known: claim.known,
            settled: claim.settled,
        };
        let entered = self
            .writer
            .run(move |txn| journal::write(txn, &by, &entry, now))
            .await?;
        match entered {
            Entered::Written => Ok(()),
            Entered::Lost => Err(JournalError::Lost(claim.task.id)),
            Entered::Taken(taken) => Err(JournalError::Taken(Box::new(taken))),
        }
    }

    async fn taken(
        &self,
        claim: &Claim,
        targets: Vec<Place>,
        now: Present,
    ) -> Result<Option<Taken>, Unavailable> {
        let seq = claim.key;
        self.read(move |conn| {
            for key in targets {
                if let Some(by) = keys::taken(conn, seq, &key, Use::Writes, now)? {
                    return Ok(Some(Taken { key, by }));
                }
            }
            Ok(None)
        })
        .await
    }

    async fn late_until(
        &self,
        claim: &Claim,
        now: Present,
    ) -> Result<Option<Timestamp>, Unavailable> {
        let seq = claim.key;
        let left = self.read(move |conn| keys::late(conn, seq, now.moment));
        Ok(left.await?.map(|left| now.time.plus(left)))
    }

    async fn apply(
        &self,
        claim: Claim,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Applied, ApplyError> {
        let (seq, attempt) = (claim.key, claim.attempt);
        match self
            .writer
            .run(move |txn| apply::apply(txn, seq, attempt, &settlement, now))
            .await
        {
            Ok(Written::Settled) => Ok(Applied::Settled),
            Ok(Written::Continues(next)) => Ok(Applied::Continues(next)),
            Ok(Written::Lost) => Err(ApplyError::Lost(claim.task.id)),
            Err(cause) => Err(ApplyError::Unavailable {
                claim: Box::new(claim),
                cause,
            }),
        }
    }

    async fn mark_unknown_lanes(&self, known: Vec<Lane>) -> Result<Vec<Lane>, Unavailable> {
        self.writer
            .run(move |txn| lanes::mark_unknown(txn, &known))
            .await
    }

    async fn bucket_id(
        &self,
        bucket: String,
        found: Option<String>,
    ) -> Result<Option<String>, Unavailable> {
        match found {
            None => {
                self.read(move |conn| bucket_ids::noted(conn, &bucket))
                    .await
            }
            Some(id) => {
                self.writer
                    .run(move |txn| bucket_ids::note(txn, &bucket, &id))
                    .await
            }
        }
    }

    async fn waits(&self) -> Result<Vec<Outside>, Unavailable> {
        self.read(wait::all).await
    }

    async fn release(&self, on: Outside, now: Timestamp) -> Result<bool, Unavailable> {
        self.writer
            .run(move |txn| wait::release(txn, &on, now))
            .await
    }

    async fn lane_states(&self) -> Result<Vec<(Lane, LaneState)>, Unavailable> {
        self.read(lanes::states).await
    }

    async fn change_lane(&self, lane: Lane, change: LaneChange) -> Result<(), Unavailable> {
        self.writer
            .run(move |txn| lanes::change(txn, &lane, &change))
            .await
    }

    async fn correct_due(&self, now: Present) -> Result<usize, Unavailable> {
        if self.read(keys::are_recovered).await? {
            self.writer
                .run(move |txn| keys::begin(txn.conn, now.moment))
                .await?;
        }
        let now = now.time;
        let mut corrected = 0;
        for lane in self.read(service_reads::lanes).await? {
            let mut after = Some((now.millis(), TaskKey::from_stored(i64::MAX)));
            while let Some(from) = after {
                let lane = lane.clone();
                let look = self.read(move |conn| due::ahead(conn, &lane, from, now));
                let ahead = look.await?;
                after = ahead.next;
                corrected += self.correct(ahead.tasks, now).await?;
            }
        }
        Ok(corrected)
    }

    async fn acknowledge_pauses(&self, paused: Vec<(Lane, Pause)>) -> Result<(), Unavailable> {
        self.writer.run(move |txn| lanes::heard(txn, &paused)).await
    }

    async fn cancel_requests(&self, running: Vec<TaskId>) -> Result<Vec<TaskId>, Unavailable> {
        self.read(move |conn| service_reads::cancel_requests(conn, running))
            .await
    }

    async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // On the writer's connection, which does not report its own writes.
            let Ok(version) = self.writer.run(|txn| data_version(txn.conn)).await else {
                continue;
            };
            if self.seen.swap(version, Ordering::SeqCst) != version {
                return;
            }
        }
    }

    async fn prune(&self, keep: Retention, now: Present) -> Result<Pruned, Unavailable> {
        let known = || {
            self.reckoning
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let before = *known();
        let (pruned, reckoning) = self
            .writer
            .run(move |txn| prune::prune(txn, before, keep, now))
            .await?;
        *known() = Some(reckoning);
        Ok(pruned)
    }

    async fn figures(&self, now: Timestamp) -> Result<Figures, Unavailable> {
        self.read(move |conn| service_reads::figures(conn, now))
            .await
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        self.writer.run(|txn| health::probe(txn.conn)).await?;
        self.writer.run(|txn| health::clear_probe(txn.conn)).await?;
        self.health.check()
    }

    async fn ended(&self) -> Unavailable {
        self.writer.ended().await
    }
}
