//! The journal of a running step: an action stores its progress under the claim.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::action::{Progress, Stopped};
use crate::clock::Clock;
use crate::model::moves::keys::Taken;
use crate::model::moves::{Earlier, MadeBy, Move, Outline, PutBy};
use crate::model::recording::Place;
use crate::model::time::Timestamp;
use crate::store::{Claim, JournalEntry, JournalError, Store, Unavailable};

pub(super) struct Journal<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) claim: &'a Claim,
    pub(super) clock: &'a dyn Clock,
    /// Set to where the step moves the recording.
    pub(super) committed: &'a OnceLock<Place>,
    /// Set if the next try has less to do than this one.
    pub(super) gained: &'a AtomicBool,
    /// Asks the step to stop safely.
    pub(super) stop: &'a CancellationToken,
}

#[async_trait]
impl Progress for Journal<'_> {
    async fn outline(&mut self) -> Result<Option<Outline>, Stopped> {
        self.store.outline(self.claim).await.map_err(unavailable)
    }

    async fn moves(&mut self, numbers: Range<u32>) -> Result<Vec<Move>, Stopped> {
        self.store
            .moves(self.claim, numbers)
            .await
            .map_err(unavailable)
    }

    async fn drafts(&mut self, numbers: Range<u32>) -> Result<Vec<Move>, Stopped> {
        let drafts = self.store.drafts(self.claim, numbers).await;
        drafts.map_err(unavailable)
    }

    async fn earlier_moves(&mut self, from: Vec<Place>) -> Result<Vec<Earlier>, Stopped> {
        self.store
            .earlier_moves(self.claim, from)
            .await
            .map_err(unavailable)
    }

    async fn made_from(&mut self, from: Vec<Place>) -> Result<Vec<MadeBy>, Stopped> {
        let made = self.store.made_from(self.claim, from);
        made.await.map_err(unavailable)
    }

    async fn put_by_others(&mut self, place: &Place) -> Result<Vec<PutBy>, Stopped> {
        let put = self.store.put_by_others(self.claim, place.clone());
        put.await.map_err(unavailable)
    }

    async fn draft(&mut self, page: Vec<Move>) -> Result<(), Stopped> {
        self.write(JournalEntry::Draft(page)).await
    }

    async fn manifest(&mut self, page: Vec<Move>) -> Result<(), Stopped> {
        self.write(JournalEntry::Manifest(page)).await
    }

    async fn moved(&mut self, moves: &[Move]) -> Result<(), Stopped> {
        self.write(JournalEntry::Progress(moves.to_vec())).await
    }

    async fn commit(&mut self, place: &Place) -> Result<(), Stopped> {
        // Before the write, because its answer may be lost: a commit that may have happened is not
        // undone.
        let _earlier = self.committed.set(place.clone());
        self.write(JournalEntry::Commit(place.clone())).await
    }

    async fn last(&mut self, moves: &[Move]) -> Result<(), Stopped> {
        self.write(JournalEntry::Last(moves.to_vec())).await
    }

    async fn taken(&mut self, targets: Vec<Place>) -> Result<Option<Taken>, Stopped> {
        let taken = self.store.taken(self.claim, targets, self.clock.present());
        taken.await.map_err(unavailable)
    }

    async fn begun(&mut self, lingers: Duration) -> Result<(), Stopped> {
        self.write(JournalEntry::Begun { lingers }).await
    }

    async fn ended(&mut self, late: Vec<Place>, lingers: Duration) -> Result<(), Stopped> {
        self.write(JournalEntry::Ended { late, lingers }).await
    }

    async fn late_until(&mut self) -> Result<Option<Timestamp>, Stopped> {
        let until = self.store.late_until(self.claim, self.clock.present());
        until.await.map_err(unavailable)
    }

    fn gained(&mut self) {
        self.gained.store(true, Ordering::Relaxed);
    }

    fn checkpoint(&mut self) -> Result<(), Stopped> {
        if self.stop.is_cancelled() {
            Err(Stopped::Interrupted)
        } else {
            Ok(())
        }
    }
}

impl Journal<'_> {
    async fn write(&self, entry: JournalEntry) -> Result<(), Stopped> {
        let gains = !matches!(
            entry,
            JournalEntry::Begun { .. } | JournalEntry::Ended { .. }
        );
        self.gained.fetch_or(gains, Ordering::Relaxed);
        self.store
            .journal(self.claim, entry, self.clock.present())
            .await
            .map_err(|error| match error {
                JournalError::Lost(_) => Stopped::LeaseLost,
                JournalError::Taken(taken) => Stopped::KeyTaken(taken),
                JournalError::Unavailable(cause) => unavailable(cause),
            })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn unavailable(cause: Unavailable) -> Stopped {
    Stopped::Unavailable(cause.to_string())
}
