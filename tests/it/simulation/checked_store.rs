//! The real store as one process sees it, with every call checked against the ledger.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::model::breaker::{LaneChange, LaneState, Pause};
use aftertake::model::id::TaskId;
use aftertake::model::moment::{Moment, Present};
use aftertake::model::moves::keys::Taken;
use aftertake::model::moves::{Earlier, MadeBy, Move, Outline, PutBy};
use aftertake::model::recording::Place;
use aftertake::model::task::{Lane, RevisionId};
use aftertake::model::time::Timestamp;
use aftertake::model::wait::Outside;
use aftertake::store::{
    Applied, ApplyError, Arrival, Claim, Claimed, Figures, JournalEntry, JournalError, LaneRoom,
    Pruned, Recorded, Retention, Settlement, Store, Unavailable,
};
use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Notify;

use super::alive::Alive;
use super::ledger::Broken;
use super::sim::{Planted, Sim};
use crate::support::database::Database;

/// The store's database, and the store as the newest process opened it.
pub(super) struct Shelf {
    pub(super) database: Database,
    store: Mutex<Option<Box<dyn Store>>>,
}

/// The checked store of one process.
pub(super) struct CheckedStore {
    pub(super) sim: Arc<Sim>,
    pub(super) pulse: Arc<Alive>,
    pub(super) shelf: Arc<Shelf>,
    /// Signals that a person has written.
    pub(super) changed: Arc<Notify>,
}

/// The result of a call: the store works on the calling thread, so it is ready at once.
pub(super) fn now<T>(call: impl Future<Output = T>) -> T {
    let done = tokio::task::unconstrained(call).now_or_never();
    done.expect("a store without threads is done at once")
}

impl Shelf {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            store: Mutex::default(),
        }
    }

    /// Opens the store as a new process does.
    pub(super) fn open(&self) {
        let mut store = self.store.lock().unwrap();
        drop(store.take());
        *store = Some(Box::new(self.database.open_here()));
    }

    pub(super) fn with<T>(&self, call: impl FnOnce(&dyn Store) -> T) -> T {
        let store = self.store.lock().unwrap();
        call(store.as_deref().expect("a store that was opened"))
    }

    /// Changes the database without the store's knowledge.
    fn tamper(&self, sql: &str, id: TaskId, number: i64) {
        let conn = self.database.sql();
        conn.execute(sql, (id.as_bytes(), number)).unwrap();
    }
}

impl CheckedStore {
    fn unavailable(&self) -> Result<(), Unavailable> {
        if self.sim.store_away.load(Ordering::SeqCst) {
            return Err(Unavailable::new(
                self.shelf.database.path(),
                "the disk is away",
            ));
        }
        Ok(())
    }

    async fn call<T, E: From<Unavailable>>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        self.sim.step();
        self.pulse.goes_on().await;
        let answer = match self.unavailable() {
            Ok(()) => self.shelf.with(call),
            Err(away) => Err(away.into()),
        };
        self.pulse.goes_on().await;
        answer
    }

    fn check(&self, checked: Result<(), Broken>) {
        if let Err(how) = checked {
            self.sim.broken(how);
        }
    }

    fn hand_out<'a>(&self, claims: impl IntoIterator<Item = &'a Claim>) {
        for claim in claims {
            let task = claim.task();
            let (id, rule, attempt) = (task.id, task.work.rule(), claim.attempt());
            let (step, tries) = (task.step, task.tries);
            self.sim.tell(format!(
                "claim {id} {rule} attempt {attempt} step {step} try {tries}"
            ));
            let began = self.sim.ledger().begins(claim);
            self.check(began);
            if self.sim.planted == Planted::FreeTries {
                let sql = "UPDATE tasks SET tries = tries - ?2 WHERE id = ?1";
                self.shelf.tamper(sql, id, 1);
            }
        }
    }

    /// Makes a claim look like the newest one, as if the store never checked.
    fn forge(&self, claim: &Claim) {
        if self.sim.planted == Planted::NoFence {
            let sql = "UPDATE tasks SET attempt = ?2 WHERE id = ?1 AND state = 1";
            self.shelf.tamper(sql, claim.task().id, claim.attempt());
        }
    }

    /// Asserts that a recording is whole at its new place when the store says that it is there.
    fn commits(&self, claim: &Claim, place: &Place) {
        let named = claim.event().fields.place();
        let is_whole = {
            let world = self.sim.world();
            let takes = world.takes.iter();
            let mut takes = takes.filter(|take| Some(&take.named) == named.as_ref());
            takes.any(|take| world.whole(take).contains(place))
        };
        if !is_whole {
            self.sim
                .broken(format!("{place} is committed and not whole there"));
        }
    }
}

#[async_trait]
impl Store for CheckedStore {
    async fn keep_revision(&self, id: RevisionId, text: String) -> Result<(), Unavailable> {
        self.call(|store| now(store.keep_revision(id, text))).await
    }

    async fn revision(&self, id: RevisionId) -> Result<Option<String>, Unavailable> {
        self.call(|store| now(store.revision(id))).await
    }

    async fn record(&self, arrival: Arrival, start: Vec<TaskId>) -> Result<Recorded, Unavailable> {
        let planned = arrival.plan.tasks.clone();
        self.call(|store| {
            let recorded = now(store.record(arrival, start))?;
            if let Recorded::New { claims } = &recorded {
                self.sim.ledger().planned(&planned, false);
                self.hand_out(claims);
            }
            Ok(recorded)
        })
        .await
    }

    async fn claim(&self, room: Vec<LaneRoom>, at: Timestamp) -> Result<Claimed, Unavailable> {
        self.pulse.begins().await;
        self.call(|store| {
            let claimed = now(store.claim(room, at))?;
            self.hand_out(&claimed.claims);
            Ok(claimed)
        })
        .await
    }

    async fn outline(&self, claim: &Claim) -> Result<Option<Outline>, Unavailable> {
        self.call(|store| now(store.outline(claim))).await
    }

    async fn moves(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        self.call(|store| now(store.moves(claim, numbers))).await
    }

    async fn drafts(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        self.call(|store| now(store.drafts(claim, numbers))).await
    }

    async fn earlier_moves(
        &self,
        claim: &Claim,
        from: Vec<Place>,
    ) -> Result<Vec<Earlier>, Unavailable> {
        self.call(|store| now(store.earlier_moves(claim, from)))
            .await
    }

    async fn made_from(&self, claim: &Claim, from: Vec<Place>) -> Result<Vec<MadeBy>, Unavailable> {
        self.call(|store| now(store.made_from(claim, from))).await
    }

    async fn put_by_others(&self, claim: &Claim, place: Place) -> Result<Vec<PutBy>, Unavailable> {
        self.call(|store| now(store.put_by_others(claim, place)))
            .await
    }

    async fn taken(
        &self,
        claim: &Claim,
        targets: Vec<Place>,
        at: Present,
    ) -> Result<Option<Taken>, Unavailable> {
        self.call(|store| now(store.taken(claim, targets, at)))
            .await
    }

    async fn late_until(
        &self,
        claim: &Claim,
        at: Present,
    ) -> Result<Option<Timestamp>, Unavailable> {
        self.call(|store| now(store.late_until(claim, at))).await
    }

    async fn journal(
        &self,
        claim: &Claim,
        entry: JournalEntry,
        at: Present,
    ) -> Result<(), JournalError> {
        let (id, attempt) = (claim.task().id, claim.attempt());
        self.call(|store| {
            self.forge(claim);
            let written = now(store.journal(claim, entry.clone(), at));
            let mut ledger = self.sim.ledger();
            let checked = match &written {
                Ok(()) => {
                    ledger.manifests.took(claim, &entry);
                    ledger.wrote(id, attempt)
                }
                Err(JournalError::Lost(_)) => ledger.refused(id, attempt),
                Err(JournalError::Taken(_) | JournalError::Unavailable(_)) => Ok(()),
            };
            drop(ledger);
            self.check(checked);
            if let (Ok(()), JournalEntry::Commit(place)) = (&written, &entry) {
                self.commits(claim, place);
            }
            written
        })
        .await
    }

    async fn apply(
        &self,
        claim: Claim,
        settlement: Settlement,
        at: Timestamp,
    ) -> Result<Applied, ApplyError> {
        self.pulse.goes_on().await;
        if let Err(cause) = self.unavailable() {
            let claim = Box::new(claim);
            return Err(ApplyError::Unavailable { claim, cause });
        }
        let (id, attempt) = (claim.task().id, claim.attempt());
        let transition = settlement.transition.clone();
        let applied = self.shelf.with(|store| {
            self.forge(&claim);
            now(store.apply(claim, settlement, at))
        });
        self.sim
            .tell(format!("apply {id} attempt {attempt} {transition:?}"));
        let checked = match &applied {
            Ok(_) => self.sim.ledger().ended(id, attempt, &transition),
            Err(ApplyError::Lost(_)) => self.sim.ledger().refused(id, attempt),
            Err(ApplyError::Unavailable { .. }) => Ok(()),
        };
        self.check(checked);
        if let Ok(Applied::Continues(next)) = &applied {
            self.hand_out([&**next]);
        }
        self.pulse.goes_on().await;
        applied
    }

    async fn mark_unknown_lanes(&self, known: Vec<Lane>) -> Result<Vec<Lane>, Unavailable> {
        self.call(|store| now(store.mark_unknown_lanes(known)))
            .await
    }

    async fn bucket_id(
        &self,
        bucket: String,
        found: Option<String>,
    ) -> Result<Option<String>, Unavailable> {
        self.call(|store| now(store.bucket_id(bucket, found))).await
    }

    async fn waits(&self) -> Result<Vec<Outside>, Unavailable> {
        self.pulse.begins().await;
        self.call(|store| now(store.waits())).await
    }

    async fn release(&self, on: Outside, at: Timestamp) -> Result<bool, Unavailable> {
        self.sim.tell(format!("{on} is there"));
        self.call(|store| now(store.release(on, at))).await
    }

    async fn lane_states(&self) -> Result<Vec<(Lane, LaneState)>, Unavailable> {
        self.call(|store| now(store.lane_states())).await
    }

    async fn change_lane(&self, lane: Lane, change: LaneChange) -> Result<(), Unavailable> {
        self.sim.tell(format!("{lane}: {change:?}"));
        self.call(|store| now(store.change_lane(lane, change)))
            .await
    }

    async fn correct_due(&self, at: Present) -> Result<usize, Unavailable> {
        if self.sim.planted == Planted::CredulousOfDueTimes {
            return Ok(0);
        }
        self.call(|store| now(store.correct_due(at))).await
    }

    async fn acknowledge_pauses(&self, paused: Vec<(Lane, Pause)>) -> Result<(), Unavailable> {
        self.call(|store| now(store.acknowledge_pauses(paused)))
            .await
    }

    async fn cancel_requests(&self, running: Vec<TaskId>) -> Result<Vec<TaskId>, Unavailable> {
        self.call(|store| now(store.cancel_requests(running))).await
    }

    /// The real store polls every second; over simulated hours that is too much.
    async fn changed(&self) {
        self.changed.notified().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    async fn prune(&self, keep: Retention, at: Present) -> Result<Pruned, Unavailable> {
        self.pulse.begins().await;
        let mut at = at;
        if self.sim.planted == Planted::CredulousOfTheClock {
            let running = at.moment.since(Moment::default());
            at.moment = Moment::after(running.saturating_mul(100_000));
        }
        self.call(|store| now(store.prune(keep, at))).await
    }

    async fn figures(&self, at: Timestamp) -> Result<Figures, Unavailable> {
        self.call(|store| now(store.figures(at))).await
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        self.call(|store| now(store.ready())).await
    }

    async fn ended(&self) -> Unavailable {
        std::future::pending().await
    }
}
