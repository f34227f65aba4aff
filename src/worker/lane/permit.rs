//! The right to run one step: a seat in its lane, and a share of the process-wide limit.
//!
//! The seat is released when the step ends, the share when its result is stored. So a slow disk
//! does not leave a destination idle, and the number of unstored results is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use super::throttle::{Admission, Throttle};
use super::waker::WakeOnDrop;
use crate::model::breaker::{End, LaneChange, Shut, Whom};
use crate::model::moment::{Moment, Present};
use crate::model::retry::Jitter;

/// The right to run one step in a lane. Dropping it releases the room.
#[derive(Debug)]
pub struct Permit {
    /// `None` once the step has ended.
    pub(super) seat: Option<Seat>,
    /// `None` for a lane's first step while all shares are taken. Declared before `wake`, so that
    /// it is released before the wake-up.
    pub(super) share: Option<OwnedSemaphorePermit>,
    pub(super) wake: WakeOnDrop,
}

/// A seat among the concurrent steps of a lane, with the admission of its throttle.
#[derive(Debug)]
pub(super) struct Seat {
    /// `None` when the throttle did not admit a further step.
    pub(super) admission: Option<Admission>,
    pub(super) gate: Arc<Throttle>,
    pub(super) _taken: Taken,
    pub(super) wake: WakeOnDrop,
}

#[derive(Debug, Default)]
pub(super) struct Width {
    size: AtomicUsize,
    taken: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Taken(Arc<Width>);

pub(super) enum NoPermit {
    Full,
    Shut(Shut),
}

impl Permit {
    pub(in crate::worker) fn begin(&mut self) {
        if let Some(Seat {
            admission: Some(admission),
            wake,
            ..
        }) = &mut self.seat
        {
            admission.begin();
            wake.probe |= admission.probe().is_some();
        }
    }

    /// Returns an unused permit without waking the loop, which returns it itself.
    pub(super) fn give_back(mut self) {
        self.wake.silent = true;
        if let Some(seat) = &mut self.seat {
            seat.wake.silent = true;
        }
    }

    /// Whether a further step of the same lane may begin under this permit.
    pub(in crate::worker) fn renew(&mut self, now: Moment) -> bool {
        let Some(seat) = &mut self.seat else {
            return false;
        };
        // First, so that an ended probe does not block the next step.
        seat.admission = None;
        seat.admission = seat.gate.admit_newcomer(now).ok();
        seat.admission.is_some()
    }

    /// If the step is a probe, which task it is for.
    pub(super) fn probe(&self) -> Option<Whom> {
        self.seat.as_ref()?.admission.as_ref()?.probe()
    }

    pub(in crate::worker) fn record(
        &self,
        end: End<'_>,
        now: Present,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        let seat = self.seat.as_ref()?;
        seat.admission.as_ref()?.record(end, now, jitter)
    }

    /// The step has ended and none follows it in the lane: another task's step may begin. A step
    /// without a share keeps its seat, which bounds the number of unstored results.
    pub(in crate::worker) fn leave_lane(&mut self) {
        if self.share.is_some() {
            self.seat = None;
        }
    }
}

impl Width {
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::SeqCst)
    }

    pub(super) fn set_size(&self, size: usize) {
        self.size.store(size, Ordering::SeqCst);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Taken> {
        let size = self.size();
        let more = |taken| (taken < size).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()?;
        Some(Taken(Arc::clone(self)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}
