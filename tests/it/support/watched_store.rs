//! The SQLite store, with signals for what passes through it.
//!
//! Every call reaches the real store unchanged. A call can be held after its effect, as a slow
//! disk would delay its result.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aftertake::model::breaker::{LaneChange, LaneState, Pause};
use aftertake::model::id::TaskId;
use aftertake::model::moment::Present;
use aftertake::model::moves::keys::Taken;
use aftertake::model::moves::{Earlier, MadeBy, Move, Outline, PutBy};
use aftertake::model::recording::Place;
use aftertake::model::task::{Lane, RevisionId};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::model::wait::Outside;
use aftertake::store::sqlite::SqliteStore;
use aftertake::store::{
    Applied, ApplyError, Arrival, Claim, Claimed, Figures, JournalEntry, JournalError, LaneRoom,
    Pruned, Recorded, Retention, Settlement, Store, Unavailable,
};
use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use super::{TOO_LONG, in_time};

/// How often to poll what no signal reports.
const NOW_AND_THEN: Duration = Duration::from_millis(50);

pub(crate) struct WatchedStore {
    store: SqliteStore,
    applies: watch::Sender<usize>,
    settled: watch::Sender<Vec<Transition>>,
    refused: watch::Sender<usize>,
    cancels: watch::Sender<usize>,
    lane_changes: watch::Sender<Vec<LaneChange>>,
    corrected: watch::Sender<usize>,
    /// Holds a claim of some task after its commit.
    pub(crate) claimed: Hold,
    /// Holds a settlement before its commit.
    pub(crate) applying: Hold,
    /// Holds a settlement after its commit.
    pub(crate) applied: Hold,
}

#[derive(Default)]
pub(crate) struct Hold {
    armed: AtomicBool,
    reached: Notify,
    go: Notify,
}

impl Hold {
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn reached(&self) {
        in_time(self.reached.notified()).await;
    }

    pub(crate) fn release(&self) {
        self.go.notify_one();
    }

    async fn pass(&self) {
        if self.armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go.notified().await;
        }
    }
}

async fn at_least<T: Clone>(signal: &watch::Sender<T>, enough: impl Fn(&T) -> bool) -> T {
    let mut seen = signal.subscribe();
    let seen = in_time(seen.wait_for(enough)).await;
    seen.unwrap().clone()
}

impl WatchedStore {
    pub(crate) fn watch(store: SqliteStore) -> Arc<Self> {
        Arc::new(Self {
            store,
            applies: watch::Sender::default(),
            settled: watch::Sender::default(),
            refused: watch::Sender::default(),
            cancels: watch::Sender::default(),
            lane_changes: watch::Sender::default(),
            corrected: watch::Sender::default(),
            claimed: Hold::default(),
            applying: Hold::default(),
            applied: Hold::default(),
        })
    }

    /// Waits until `count` settlements have begun.
    pub(crate) async fn applies(&self, count: usize) {
        at_least(&self.applies, |applies| *applies >= count).await;
    }

    /// Waits until `count` settlements were committed and returns all of them.
    pub(crate) async fn settled(&self, count: usize) -> Vec<Transition> {
        at_least(&self.settled, |settled| settled.len() >= count).await
    }

    /// Whether `enough` becomes true in time. Checked after every settlement, and polled for
    /// what no settlement signals.
    pub(crate) async fn comes_true(&self, enough: impl Fn() -> bool) -> bool {
        let mut settled = self.settled.subscribe();
        let asks = async {
            while !enough() {
                let _ = tokio::time::timeout(NOW_AND_THEN, settled.changed()).await;
            }
        };
        tokio::time::timeout(TOO_LONG, asks).await.is_ok()
    }

    /// Waits until `count` settlements were refused.
    pub(crate) async fn refused(&self, count: usize) {
        at_least(&self.refused, |refused| *refused >= count).await;
    }

    /// Waits until `count` running tasks were notified of their cancellation.
    pub(crate) async fn cancels(&self, count: usize) {
        at_least(&self.cancels, |cancels| *cancels >= count).await;
    }

    /// Waits until `count` lane changes were committed and returns all of them.
    pub(crate) async fn lane_changes(&self, count: usize) -> Vec<LaneChange> {
        at_least(&self.lane_changes, |changes| changes.len() >= count).await
    }

    /// Waits until the due times of `count` tasks were corrected.
    pub(crate) async fn corrected(&self, count: usize) {
        at_least(&self.corrected, |corrected| *corrected >= count).await;
    }

    /// Fills the disk: what needs another page is refused.
    pub(crate) async fn fill(&self) {
        self.store.limit_pages(1).await.unwrap();
    }

    pub(crate) async fn free(&self) {
        self.store.limit_pages(1_000_000).await.unwrap();
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn keep_revision(&self, id: RevisionId, text: String) -> Result<(), Unavailable> {
        self.store.keep_revision(id, text).await
    }

    async fn revision(&self, id: RevisionId) -> Result<Option<String>, Unavailable> {
        self.store.revision(id).await
    }

    async fn record(&self, arrival: Arrival, start: Vec<TaskId>) -> Result<Recorded, Unavailable> {
        self.store.record(arrival, start).await
    }

    async fn claim(&self, room: Vec<LaneRoom>, now: Timestamp) -> Result<Claimed, Unavailable> {
        let claimed = self.store.claim(room, now).await?;
        if !claimed.claims.is_empty() {
            self.claimed.pass().await;
        }
        Ok(claimed)
    }

    async fn outline(&self, claim: &Claim) -> Result<Option<Outline>, Unavailable> {
        self.store.outline(claim).await
    }

    async fn moves(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        self.store.moves(claim, numbers).await
    }

    async fn drafts(&self, claim: &Claim, numbers: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        self.store.drafts(claim, numbers).await
    }

    async fn earlier_moves(
        &self,
        claim: &Claim,
        from: Vec<Place>,
    ) -> Result<Vec<Earlier>, Unavailable> {
        self.store.earlier_moves(claim, from).await
    }

    async fn made_from(&self, claim: &Claim, from: Vec<Place>) -> Result<Vec<MadeBy>, Unavailable> {
        self.store.made_from(claim, from).await
    }

    async fn put_by_others(&self, claim: &Claim, place: Place) -> Result<Vec<PutBy>, Unavailable> {
        self.store.put_by_others(claim, place).await
    }

    async fn taken(
        &self,
        claim: &Claim,
        targets: Vec<Place>,
        now: Present,
    ) -> Result<Option<Taken>, Unavailable> {
        self.store.taken(claim, targets, now).await
    }

    async fn late_until(
        &self,
        claim: &Claim,
        now: Present,
    ) -> Result<Option<Timestamp>, Unavailable> {
        self.store.late_until(claim, now).await
    }

    async fn journal(
        &self,
        claim: &Claim,
        entry: JournalEntry,
        now: Present,
    ) -> Result<(), JournalError> {
        self.store.journal(claim, entry, now).await
    }

    async fn apply(
        &self,
        claim: Claim,
        settlement: Settlement,
        now: Timestamp,
    ) -> Result<Applied, ApplyError> {
        let transition = settlement.transition.clone();
        self.applies.send_modify(|count| *count += 1);
        self.applying.pass().await;
        let applied = self.store.apply(claim, settlement, now).await;
        match &applied {
            Ok(_) => {
                self.settled.send_modify(|all| all.push(transition));
                self.applied.pass().await;
            }
            Err(ApplyError::Unavailable { .. }) => self.refused.send_modify(|count| *count += 1),
            Err(ApplyError::Lost(_)) => {}
        }
        applied
    }

    async fn mark_unknown_lanes(&self, known: Vec<Lane>) -> Result<Vec<Lane>, Unavailable> {
        self.store.mark_unknown_lanes(known).await
    }

    async fn bucket_id(
        &self,
        bucket: String,
        found: Option<String>,
    ) -> Result<Option<String>, Unavailable> {
        self.store.bucket_id(bucket, found).await
    }

    async fn waits(&self) -> Result<Vec<Outside>, Unavailable> {
        self.store.waits().await
    }

    async fn release(&self, on: Outside, now: Timestamp) -> Result<bool, Unavailable> {
        self.store.release(on, now).await
    }

    async fn lane_states(&self) -> Result<Vec<(Lane, LaneState)>, Unavailable> {
        self.store.lane_states().await
    }

    async fn change_lane(&self, lane: Lane, change: LaneChange) -> Result<(), Unavailable> {
        self.store.change_lane(lane, change.clone()).await?;
        self.lane_changes.send_modify(|all| all.push(change));
        Ok(())
    }

    async fn correct_due(&self, now: Present) -> Result<usize, Unavailable> {
        let corrected = self.store.correct_due(now).await?;
        self.corrected.send_modify(|count| *count += corrected);
        Ok(corrected)
    }

    async fn acknowledge_pauses(&self, paused: Vec<(Lane, Pause)>) -> Result<(), Unavailable> {
        self.store.acknowledge_pauses(paused).await
    }

    async fn cancel_requests(&self, running: Vec<TaskId>) -> Result<Vec<TaskId>, Unavailable> {
        let asked = self.store.cancel_requests(running).await?;
        self.cancels.send_modify(|count| *count += asked.len());
        Ok(asked)
    }

    async fn changed(&self) {
        self.store.changed().await;
    }

    async fn prune(&self, keep: Retention, now: Present) -> Result<Pruned, Unavailable> {
        self.store.prune(keep, now).await
    }

    async fn figures(&self, now: Timestamp) -> Result<Figures, Unavailable> {
        self.store.figures(now).await
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        self.store.ready().await
    }

    async fn ended(&self) -> Unavailable {
        self.store.ended().await
    }
}
