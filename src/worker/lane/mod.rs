//! Room in lanes: how many steps may run at once for each bucket and destination.
//!
//! A lane that is full, or whose gate is shut, is not claimed from, so one slow destination
//! holds up nothing but itself, and what waits for it waits in the store. Knows no tasks,
//! only permits.

mod gate;
mod permit;
mod reserved;
#[cfg(test)]
mod tests;
mod waker;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard, Notify, Semaphore};

use self::gate::{Admission, Gate};
pub use self::permit::Permit;
use self::permit::{Refused, Seat, Width};
pub use self::reserved::Reserved;
use self::waker::WakeOnDrop;
pub use self::waker::Waker;
use crate::action::Reach;
use crate::clock;
use crate::model::breaker::{LaneChange, LaneState, Shut};
use crate::model::bucket::Bucket;
use crate::model::destination::{Breaker, Destination, Rate};
use crate::model::moment::{Moment, Present};
use crate::model::task::Lane;

/// Tasks that run at a time in the whole process, beside the first one of each lane, those
/// whose step has ended and is not stored yet included: bounds the memory that they take,
/// whatever the lanes add up to.
pub const RUNNING_LIMIT: usize = 1024;

/// The most that one claim takes from a lane, so that one lane's backlog cannot hold
/// the store's writer for long.
const CLAIM_BATCH: usize = 128;

/// The lanes of the rules file in force.
#[derive(Debug)]
pub struct Lanes {
    /// A lane that is gone stays, without room, for as long as steps run in it.
    by_name: RwLock<BTreeMap<Lane, OneLane>>,
    running: Arc<Semaphore>,
    waker: Arc<Waker>,
    turn: Mutex<()>,
    replaced: Notify,
}

#[derive(Debug, Clone)]
struct OneLane {
    width: Arc<Width>,
    gate: Arc<Gate>,
}

/// What a lane can take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Steps at a time.
    pub steps: usize,
    pub rate: Option<Rate>,
    pub breaker: Breaker,
}

impl From<usize> for Limits {
    /// So many steps at a time, at any rate.
    fn from(steps: usize) -> Self {
        Self {
            steps,
            rate: None,
            breaker: Breaker::default(),
        }
    }
}

impl From<&Bucket> for Limits {
    fn from(bucket: &Bucket) -> Self {
        Self::from(bucket.concurrency as usize)
    }
}

impl From<&Destination> for Limits {
    fn from(destination: &Destination) -> Self {
        Self {
            steps: destination.concurrency as usize,
            rate: destination.rate,
            breaker: destination.breaker,
        }
    }
}

/// What each bucket and destination can take.
pub fn limits(reach: &Reach) -> Vec<(Lane, Limits)> {
    let buckets = reach.buckets.iter();
    let buckets = buckets.map(|(name, open)| (Lane::Bucket(name.clone()), (&*open.config).into()));
    let destinations = reach.destinations.iter();
    let destinations =
        destinations.map(|(name, to)| (Lane::Destination(name.clone()), (&**to).into()));
    buckets.chain(destinations).collect()
}

impl OneLane {
    fn new(limits: Limits) -> Self {
        Self {
            width: Arc::default(),
            gate: Arc::new(Gate::new(limits.rate, limits.breaker)),
        }
    }
}

impl Lanes {
    /// Lanes with these limits; a number alone is that of steps at a time.
    pub fn new<L: Into<Limits>>(lanes: impl IntoIterator<Item = (Lane, L)>) -> Self {
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

    /// Puts other lanes in force. Permits that are out count in a lane that stays, and
    /// one that shrank below them gives none until enough have been dropped. A lane that
    /// stays stands as it stood, one that is new as it is `stored`.
    pub fn replace<L: Into<Limits>>(
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

    /// Waits until other lanes are in force, or somebody has to look again at what is; returns
    /// at once when that happened since the last call. Only one can wait.
    pub(super) async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// Ends that wait.
    pub(super) fn look_again(&self) {
        self.replaced.notify_one();
    }

    /// The waker that freed permits tell.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// A permit of the lane for a step that has not waited its turn in the store; `None` when it
    /// is full, not let through to now, only just well again, or not known.
    pub fn permit(&self, lane: &Lane) -> Option<Permit> {
        self.permit_at(lane, clock::moment())
    }

    /// [`Lanes::permit`] for a caller that has a moment.
    pub fn permit_at(&self, lane: &Lane, now: Moment) -> Option<Permit> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let newcomer = |gate: &Arc<Gate>| gate.admit_newcomer(now);
        self.admit(by_name.get(lane)?, newcomer).ok()
    }

    fn admit(
        &self,
        lane: &OneLane,
        admit: impl FnOnce(&Arc<Gate>) -> Result<Admission, Shut>,
    ) -> Result<Permit, Refused> {
        let taken = lane.width.take().ok_or(Refused::Full)?;
        let share = Arc::clone(&self.running).try_acquire_owned().ok();
        // A lane's first step needs no share of what all have together: however many hang
        // elsewhere, each lane goes on.
        if share.is_none() && lane.width.taken() > 1 {
            return Err(Refused::Full);
        }
        let admission = admit(&lane.gate).map_err(Refused::Shut)?;
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

    /// Takes permits for one claim, in turns over the lanes so that none takes all.
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

    /// How every lane stands.
    pub fn states(&self) -> Vec<(Lane, LaneState)> {
        let state = |(name, lane): (Lane, OneLane)| (name, lane.gate.lane_state());
        self.open().into_iter().map(state).collect()
    }

    pub(super) fn state(&self, lane: &Lane) -> Option<LaneState> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        Some(by_name.get(lane)?.gate.lane_state())
    }

    /// Sets how the lanes stand; those that are not named let everything through.
    pub(super) fn adopt(&self, states: impl IntoIterator<Item = (Lane, LaneState)>, now: Present) {
        let mut states: BTreeMap<Lane, LaneState> = states.into_iter().collect();
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        for (name, lane) in &*by_name {
            let state = states.remove(name).unwrap_or_default();
            lane.gate.adopt(state, now);
        }
    }

    /// The wall clock was set: what has to be told anew of lanes that wait for a time.
    pub(super) fn set_clock(&self, now: Present) -> Vec<(Lane, LaneChange)> {
        let open = self.open().into_iter();
        open.filter_map(|(name, lane)| Some((name, lane.gate.set_clock(now)?)))
            .collect()
    }

    /// The turn to change how a lane stands here and in the store, or to tell of all of them. It
    /// spans calls of the store alone.
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
