//! The right to run one step: a seat in its lane, and a share of what all lanes have.
//!
//! The seat is for the step, the share for its end as well: a step that has ended makes room
//! in its lane at once, while what it came to waits for the store. So a slow disk does not
//! leave a destination idle, and what waits for the disk stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use super::gate::{Admission, Gate};
use super::waker::WakeOnDrop;
use crate::model::breaker::{End, LaneChange, Shut, Whom};
use crate::model::moment::{Moment, Present};
use crate::model::retry::Jitter;

/// The right to run one step in a lane. Dropping it frees the room.
#[derive(Debug)]
pub struct Permit {
    /// `None` once the step has ended.
    pub(super) seat: Option<Seat>,
    /// `None` for a lane's first step while all shares are taken. Dropped before the waker is
    /// told, since fields are dropped in this order.
    pub(super) share: Option<OwnedSemaphorePermit>,
    pub(super) wake: WakeOnDrop,
}

/// A place among the steps that a lane runs at once, and the gate's leave to use it.
#[derive(Debug)]
pub(super) struct Seat {
    /// `None` when the gate did not let a further step through.
    pub(super) admission: Option<Admission>,
    pub(super) gate: Arc<Gate>,
    pub(super) _taken: Taken,
    pub(super) wake: WakeOnDrop,
}

/// How many steps a lane may run at once, and how many run.
#[derive(Debug, Default)]
pub(super) struct Width {
    size: AtomicUsize,
    taken: AtomicUsize,
}

/// Room for one step of a lane.
#[derive(Debug)]
pub(super) struct Taken(Arc<Width>);

/// Why a lane gives no permit.
pub(super) enum Refused {
    /// Too many steps run.
    Full,
    Shut(Shut),
}

impl Permit {
    /// A step begins under this permit.
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

    /// Is given back by the loop itself, which knows that there was nothing to use it for.
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
        // First, so that a probe that has ended does not keep the next step out.
        seat.admission = None;
        seat.admission = seat.gate.admit_newcomer(now).ok();
        seat.admission.is_some()
    }

    /// Whose step it is for, if it is to find out whether the lane is well again.
    pub(super) fn probe(&self) -> Option<Whom> {
        self.seat.as_ref()?.admission.as_ref()?.probe()
    }

    pub(in crate::worker) fn hear(
        &self,
        end: End<'_>,
        now: Present,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        let seat = self.seat.as_ref()?;
        seat.admission.as_ref()?.hear(end, now, jitter)
    }

    /// The step has ended, and no other follows it in the lane: another task's may begin. A
    /// step without a share keeps its seat, or nothing would bound how many ends wait for
    /// the store.
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
