//! A store whose disk has failed: it answers every call and stores nothing.
//!
//! It tests callers in failures that a real store cannot be forced into on demand.

use std::future::pending;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aftertake::model::breaker::{LaneChange, LaneState, Pause};
use aftertake::model::id::TaskId;
use aftertake::model::moment::Present;
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
use tokio::sync::Notify;

/// Its signals show the progress of a call of `record`.
#[derive(Default)]
pub(crate) struct FailedDisk {
    pub(crate) come: Arc<Notify>,
    /// Whether calls panic instead of returning.
    pub(crate) crashes: bool,
    /// A call waits for this signal, if set, before it fails.
    pub(crate) go: Option<Arc<Notify>>,
    pub(crate) ended: Arc<Ended>,
}

/// Signals the end of a call, and whether its caller waited for it.
#[derive(Default)]
pub(crate) struct Ended {
    pub(crate) signal: Notify,
    pub(crate) whole: AtomicBool,
}

/// Signals when dropped, also when the call is cancelled.
struct Ending(Arc<Ended>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.signal.notify_one();
    }
}

fn failed<T>() -> Result<T, Unavailable> {
    Err(Unavailable::new("/full".as_ref(), "no space left"))
}

#[async_trait]
impl Store for FailedDisk {
    async fn keep_revision(&self, _: RevisionId, _: String) -> Result<(), Unavailable> {
        failed()
    }

    async fn revision(&self, _: RevisionId) -> Result<Option<String>, Unavailable> {
        failed()
    }

    async fn record(&self, _: Arrival, _: Vec<TaskId>) -> Result<Recorded, Unavailable> {
        let ending = Ending(Arc::clone(&self.ended));
        self.come.notify_one();
        assert!(!self.crashes, "planted");
        if let Some(go) = &self.go {
            go.notified().await;
        }
        ending.0.whole.store(true, Ordering::SeqCst);
        failed()
    }

    async fn claim(&self, _: Vec<LaneRoom>, _: Timestamp) -> Result<Claimed, Unavailable> {
        failed()
    }

    async fn outline(&self, _: &Claim) -> Result<Option<Outline>, Unavailable> {
        failed()
    }

    async fn moves(&self, _: &Claim, _: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        failed()
    }

    async fn drafts(&self, _: &Claim, _: Range<u32>) -> Result<Vec<Move>, Unavailable> {
        failed()
    }

    async fn earlier_moves(&self, _: &Claim, _: Vec<Place>) -> Result<Vec<Earlier>, Unavailable> {
        failed()
    }

    async fn made_from(&self, _: &Claim, _: Vec<Place>) -> Result<Vec<MadeBy>, Unavailable> {
        failed()
    }

    async fn put_by_others(&self, _: &Claim, _: Place) -> Result<Vec<PutBy>, Unavailable> {
        failed()
    }

    async fn taken(
        &self,
        _: &Claim,
        _: Vec<Place>,
        _: Present,
    ) -> Result<Option<Taken>, Unavailable> {
        failed()
    }

    async fn late_until(&self, _: &Claim, _: Present) -> Result<Option<Timestamp>, Unavailable> {
        failed()
    }

    async fn journal(&self, _: &Claim, _: JournalEntry, _: Present) -> Result<(), JournalError> {
        Ok(failed()?)
    }

    async fn apply(
        &self,
        claim: Claim,
        _: Settlement,
        _: Timestamp,
    ) -> Result<Applied, ApplyError> {
        failed().map_err(|cause| ApplyError::Unavailable {
            claim: Box::new(claim),
            cause,
        })
    }

    async fn mark_unknown_lanes(&self, _: Vec<Lane>) -> Result<Vec<Lane>, Unavailable> {
        failed()
    }

    async fn bucket_id(&self, _: String, _: Option<String>) -> Result<Option<String>, Unavailable> {
        failed()
    }

    async fn waits(&self) -> Result<Vec<Outside>, Unavailable> {
        failed()
    }

    async fn release(&self, _: Outside, _: Timestamp) -> Result<bool, Unavailable> {
        failed()
    }

    async fn lane_states(&self) -> Result<Vec<(Lane, LaneState)>, Unavailable> {
        failed()
    }

    async fn change_lane(&self, _: Lane, _: LaneChange) -> Result<(), Unavailable> {
        failed()
    }

    async fn correct_due(&self, _: Present) -> Result<usize, Unavailable> {
        failed()
    }

    async fn acknowledge_pauses(&self, _: Vec<(Lane, Pause)>) -> Result<(), Unavailable> {
        failed()
    }

    async fn cancel_requests(&self, _: Vec<TaskId>) -> Result<Vec<TaskId>, Unavailable> {
        failed()
    }

    async fn changed(&self) {
        pending::<()>().await;
    }

    async fn prune(&self, _: Retention, _: Present) -> Result<Pruned, Unavailable> {
        failed()
    }

    async fn figures(&self, _: Timestamp) -> Result<Figures, Unavailable> {
        failed()
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        failed()
    }

    async fn ended(&self) -> Unavailable {
        pending().await
    }
}
