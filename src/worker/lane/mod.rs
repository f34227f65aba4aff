//! Room in lanes: how many steps may run at once for each bucket and destination.
//!
//! A lane that is full or shut is not claimed from, so a slow destination delays only its own
//! tasks, and they wait in the store. Knows no tasks, only permits.

mod permit;
mod reserved;
#[cfg(test)]
mod tests;
mod throttle;
mod waker;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard, Notify, Semaphore};

pub use self::permit::Permit;
use self::permit::{NoPermit, Seat, Width};
pub use self::reserved::Reserved;
pub(super) use self::throttle::Admission;
use self::throttle::Throttle;
use self::waker::WakeOnDrop;
pub use self::waker::Waker;
use crate::action::Reach;
use crate::clock;
use crate::model::breaker::{LaneChange, LaneState, Shut};
use crate::model::bucket::Bucket;
use crate::model::destination::{Breaker, Destination, Rate};
use crate::model::moment::{Moment, Present};
use crate::model::task::Lane;

/// Maximum number of running tasks in the process, in addition to the first one of each lane. Tasks
/// whose result waits to be stored count. Bounds memory, however many lanes there are.
pub const RUNNING_LIMIT: usize = 1024;

/// Maximum number of tasks that one claim takes, so that a backlog cannot block the store's writer
/// for long.
const CLAIM_BATCH: usize = 128;

/// The lanes of the rules file in force.
#[derive(Debug)]
pub struct Lanes {
    /// A lane that is gone stays, without room, while steps run in it.
    by_name: RwLock<BTreeMap<Lane, OneLane>>,
    running: Arc<Semaphore>,
    waker: Arc<Waker>,
    turn: Mutex<()>,
    replaced: Notify,
}

#[derive(Debug, Clone)]
struct OneLane {
    width: Arc<Width>,
    gate: Arc<Throttle>,
}

#[derive(Debug, Clone, Copy)]
pub struct LaneLimits {
    /// Maximum number of concurrent steps.
    pub steps: usize,
    pub rate: Option<Rate>,
    pub breaker: Breaker,
}

impl From<usize> for LaneLimits {
    /// This many concurrent steps, at any rate.
    fn from(steps: usize) -> Self {
        Self {
            steps,
            rate: None,
            breaker: Breaker::default(),
        }
    }
}

impl From<&Bucket> for LaneLimits {
    fn from(bucket: &Bucket) -> Self {
        Self::from(bucket.concurrency as usize)
    }
}

impl From<&Destination> for LaneLimits {
    fn from(destination: &Destination) -> Self {
        Self {
            steps: destination.concurrency as usize,
            rate: destination.rate,
            breaker: destination.breaker,
        }
    }
}

pub fn limits(reach: &Reach) -> Vec<(Lane, LaneLimits)> {
    let buckets = reach.buckets.iter();
    let buckets = buckets.map(|(name, open)| (Lane::Bucket(name.clone()), (&*open.config).into()));
    let destinations = reach.destinations.iter();
    let destinations =
        destinations.map(|(name, to)| (Lane::Destination(name.clone()), (&**to).into()));
    buckets.chain(destinations).collect()
}

impl OneLane {
    fn new(limits: LaneLimits) -> Self {
        Self {
            width: Arc::default(),
            gate: Arc::new(Throttle::new(limits.rate, limits.breaker)),
        }
    }
}

impl Lanes {
    /// Lanes with these limits; a plain number limits concurrent steps.
    pub fn new<L: Into<LaneLimits>>(lanes: impl IntoIterator<Item = (Lane, L)>) -> Self {
        let new = Self {
            by_name: RwLock::default(),
            running: Arc::new(Semaphore::new(RUNNING_LIMIT)),
            waker: Arc::default(),
            turn: Mutex::new(()),
            replaced: Notify::new(),
        };
        new.replace(lanes, [], clock::present());
        new
    }

    /// Replaces the lanes. Permits in use still count in a lane that stays; if it shrank below
    /// them, it gives none until enough are dropped. A lane that stays keeps its state, a new one
    /// gets the state in `stored`.
    pub fn replace<L: Into<LaneLimits>>(
        &self,
        lanes: impl IntoIterator<Item = (Lane, L)>,
        stored: impl IntoIterator<Item = (Lane, LaneState)>,
        now: Present,
    ) {
        let mut stored: BTreeMap<Lane, LaneState> = stored.into_iter().collect();
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        for lane in by_name.values() {
            lane.width.set_size(0);
        }
        for (name, limits) in lanes {
            let limits = limits.into();
            let state = stored.remove(&name).unwrap_or_default();
            let lane = by_name.entry(name).or_insert_with(|| {
                let lane = OneLane::new(limits);
                lane.gate.adopt(state, now);
                lane
            });
            lane.width.set_size(limits.steps);
            lane.gate.configure(limits.rate, limits.breaker);
        }
        let is_used = |width: &Width| width.size() > 0 || width.taken() > 0;
        by_name.retain(|_, lane| is_used(&lane.width));
        drop(by_name);
        self.waker.wake();
        self.look_again();
    }

    /// Waits for [`Self::replace`] or [`Self::look_again`]; returns at once if one of them was
    /// called since the last wait. Only one caller can wait.
    pub(super) async fn replaced(&self) {
        self.replaced.notified().await;
    }

    pub(super) fn look_again(&self) {
        self.replaced.notify_one();
    }

    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// A permit for a step that has not waited in the store; `None` when the lane is full, shut,
    /// just recovered, or unknown.
    pub fn permit(&self, lane: &Lane) -> Option<Permit> {
        self.permit_at(lane, clock::moment())
    }

    /// [`Lanes::permit`] at this moment.
    pub fn permit_at(&self, lane: &Lane, now: Moment) -> Option<Permit> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let newcomer = |gate: &Arc<Throttle>| gate.admit_newcomer(now);
        self.admit(by_name.get(lane)?, newcomer).ok()
    }

    /// Admits a step that also uses this lane, but has its room in another one; `None` when the
    /// lane is unknown.
    pub(super) fn enter(&self, lane: &Lane, now: Moment) -> Option<Result<Admission, Shut>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        Some(by_name.get(lane)?.gate.admit(now))
    }

    fn admit(
        &self,
        lane: &OneLane,
        admit: impl FnOnce(&Arc<Throttle>) -> Result<Admission, Shut>,
    ) -> Result<Permit, NoPermit> {
        let taken = lane.width.take().ok_or(NoPermit::Full)?;
        let share = Arc::clone(&self.running).try_acquire_owned().ok();
        // A lane's first step needs no share: however many steps hang in other lanes, each lane
        // continues.
        if share.is_none() && lane.width.taken() > 1 {
            return Err(NoPermit::Full);
        }
        let admission = admit(&lane.gate).map_err(NoPermit::Shut)?;
        let seat = Seat {
            admission: Some(admission),
            gate: Arc::clone(&lane.gate),
            _taken: taken,
            wake: WakeOnDrop::new(&self.waker),
        };
        Ok(Permit {
            seat: Some(seat),
            share,
            wake: WakeOnDrop::new(&self.waker),
        })
    }

    /// Takes permits for one claim, lane by lane in turns, so that none takes them all.
    pub fn reserve(&self, now: Moment) -> Reserved {
        let mut reserved = Reserved::default();
        let mut open = self.open();
        for _ in 0..CLAIM_BATCH {
            open.retain(
                |(name, lane)| match self.admit(lane, |gate| gate.admit(now)) {
                    Ok(permit) => {
                        let permits = reserved.permits.entry(name.clone());
                        permits.or_default().push(permit);
                        true
                    }
                    Err(refused) => {
                        reserved.note(name, &refused);
                        false
                    }
                },
            );
        }
        reserved
    }

    pub fn states(&self) -> Vec<(Lane, LaneState)> {
        let state = |(name, lane): (Lane, OneLane)| (name, lane.gate.lane_state());
        self.open().into_iter().map(state).collect()
    }

    pub(super) fn state(&self, lane: &Lane) -> Option<LaneState> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        Some(by_name.get(lane)?.gate.lane_state())
    }

    /// Sets the states of the lanes; lanes without one let everything through.
    pub(super) fn adopt(&self, states: impl IntoIterator<Item = (Lane, LaneState)>, now: Present) {
        let mut states: BTreeMap<Lane, LaneState> = states.into_iter().collect();
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        for (name, lane) in &*by_name {
            let state = states.remove(name).unwrap_or_default();
            lane.gate.adopt(state, now);
        }
    }

    /// The wall clock was set: adjusts the lanes that wait for a time, and answers what to store.
    pub(super) fn set_clock(&self, now: Present) -> Vec<(Lane, LaneChange)> {
        let open = self.open().into_iter();
        open.filter_map(|(name, lane)| Some((name, lane.gate.set_clock(now)?)))
            .collect()
    }

    /// The lock for changing lane states in memory and in the store together. Held only across
    /// calls of the store.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn open(&self) -> Vec<(Lane, OneLane)> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let open = by_name.iter().filter(|(_, lane)| lane.width.size() > 0);
        open.map(|(name, lane)| (name.clone(), lane.clone()))
            .collect()
    }
}
