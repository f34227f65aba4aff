//! Tracks requests without a response: their keys stay taken until the requests can no longer
//! arrive.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::Outline;
use crate::model::moves::keys::{Taken, TakenBy};
use crate::model::recording::Place;

#[derive(Debug, Default)]
pub(super) struct Late(Mutex<Vec<Place>>);

impl Late {
    /// Notes a failed request that would change the object at `place`.
    pub(super) fn note(&self, place: &Place, failure: &Failure) {
        if failure.kind.may_have_happened() {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            places.push(place.clone());
        }
    }

    fn take(&self) -> Vec<Place> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Stores that a run starts on this manifest.
pub(super) async fn begin(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    match lingers(reach, outline) {
        Duration::ZERO => Ok(()),
        lingers => progress.begun(lingers).await,
    }
}

/// Stores how a run ended, if it did not complete the step. If the process died or the store
/// failed, the next run finds that instead.
pub(super) async fn end<T>(
    reach: &Reach,
    ran: &Result<T, Stopped>,
    late: &Late,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let cut_short = matches!(ran, Err(Stopped::LeaseLost | Stopped::Unavailable(_)));
    let late = late.take();
    if cut_short || (ran.is_ok() && late.is_empty()) {
        return Ok(());
    }
    let Some(outline) = progress.outline().await? else {
        return Ok(());
    };
    match lingers(reach, &outline) {
        Duration::ZERO => Ok(()),
        lingers => progress.ended(late, lingers).await,
    }
}

/// Stores which requests of this run had no response, before they can do harm.
pub(super) async fn settle(
    reach: &Reach,
    outline: &Outline,
    late: &Late,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    let late = late.take();
    match lingers(reach, outline) {
        Duration::ZERO => Ok(()),
        _ if late.is_empty() => Ok(()),
        lingers => progress.ended(late, lingers).await,
    }
}

/// Waits while a copy from an earlier run may still arrive and overwrite a later step's result.
pub(super) async fn wait(to: &Place, progress: &mut dyn Progress) -> Result<(), Stopped> {
    match progress.late_until().await? {
        None => Ok(()),
        Some(until) => Err(Stopped::KeyTaken(Box::new(Taken {
            key: to.clone(),
            by: TakenBy::Late(until),
        }))),
    }
}

fn lingers(reach: &Reach, outline: &Outline) -> Duration {
    let places = [&outline.main.from, &outline.main.to];
    let buckets = places
        .iter()
        .filter_map(|place| reach.buckets.get(&place.bucket));
    let lingers = buckets.map(|bucket| bucket.store.lingers());
    lingers.max().unwrap_or_default()
}
