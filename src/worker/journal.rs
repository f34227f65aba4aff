//! Lets an action remember how far it came, in the store, under its claim.

use std::ops::Range;
use std::sync::OnceLock;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::action::{Progress, Stopped};
use crate::model::moves::{Move, Outline};
use crate::model::recording::Place;
use crate::store::{Claim, JournalEntry, LeaseLost, Store, Unavailable};

/// The journal of the step that a claim runs.
pub(super) struct Journal<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) claim: &'a Claim,
    /// Learns where the step puts the recording.
    pub(super) committed: &'a OnceLock<Place>,
    /// Asks the step to come to a safe end.
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

    async fn earlier_moves(&mut self, from: Vec<Place>) -> Result<Vec<Move>, Stopped> {
        self.store
            .earlier_moves(self.claim, from)
            .await
            .map_err(unavailable)
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
        // Before the answer, which may not come: a commit that may be made is not undone.
        let _earlier = self.committed.set(place.clone());
        self.write(JournalEntry::Commit(place.clone())).await
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
        self.store
            .journal(self.claim, entry)
            .await
            .map_err(|error| match error {
                LeaseLost::Lost(_) => Stopped::LeaseLost,
                LeaseLost::Unavailable(cause) => unavailable(cause),
            })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn unavailable(cause: Unavailable) -> Stopped {
    Stopped::Unavailable(cause.to_string())
}
