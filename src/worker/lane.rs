//! Room in lanes: how many steps may run at once for each bucket and destination.
//!
//! A lane that is full, or whose gate is shut, is not claimed from, so one slow destination
//! holds up nothing but itself, and what waits for it waits in the store. Knows no tasks,
//! only permits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard, Notify, OwnedSemaphorePermit, Semaphore};

use super::gate::{Admission, Gate};
use crate::clock;
use crate::model::breaker::{LaneChange, LaneState, Shut, Sign};
use crate::model::bucket::Bucket;
use crate::model::destination::{Breaker, Destination, Rate};
use crate::model::retry::Jitter;
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::store::LaneRoom;

/// Steps that run at a time in the whole process, beside the first one of each lane: bounds
/// the memory that running tasks take, whatever the lanes add up to.
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

/// How many steps a lane may run at once, and how many run.
#[derive(Debug, Default)]
struct Width {
    size: AtomicUsize,
    taken: AtomicUsize,
}

/// Room for one step of a lane.
#[derive(Debug)]
struct Taken(Arc<Width>);

/// Wakes the claiming loop; told by whoever makes a task due or a permit free.
#[derive(Debug, Default)]
pub struct Waker {
    notify: Notify,
    /// Whether a freed permit could be used: some lane had more due tasks than room.
    hungry: AtomicBool,
}

/// The right to run one step in a lane. Dropping it frees the room.
#[derive(Debug)]
pub struct Permit {
    /// `None` when the gate did not let a further step through.
    admission: Option<Admission>,
    gate: Arc<Gate>,
    /// Dropped before the waker is told, since fields are dropped in this order.
    _lane: Taken,
    _running: Option<OwnedSemaphorePermit>,
    wake: WakeOnDrop,
}

/// Why a lane gives no permit.
enum Refused {
    /// Too many steps run.
    Full,
    Shut(Shut),
}

#[derive(Debug)]
struct WakeOnDrop {
    waker: Arc<Waker>,
    /// Whether a probe was begun. While it is under way nobody can say when the lane lets
    /// something through again, so its end wakes the loop, hungry or not.
    probe: bool,
}

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        if self.probe || self.waker.hungry.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Width {
    fn size(&self) -> usize {
        self.size.load(Ordering::SeqCst)
    }

    fn take(self: &Arc<Self>) -> Option<Taken> {
        let size = self.size();
        let more = |taken| (taken < size).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .ok()?;
        Some(Taken(Arc::clone(self)))
    }
}

impl Waker {
    /// Lets the claiming loop look for due tasks.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Waits to be woken; returns at once when that happened since the last call.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Says whether freed permits should wake the loop.
    pub fn set_hungry(&self, hungry: bool) {
        self.hungry.store(hungry, Ordering::SeqCst);
    }
}

impl Permit {
    /// A step begins under this permit.
    pub(super) fn begin(&mut self) {
        if let Some(admission) = &mut self.admission {
            admission.begin();
            self.wake.probe |= admission.is_probe();
        }
    }

    /// Whether a further step of the same lane may begin under this permit.
    pub(super) fn renew(&mut self, now: Timestamp) -> bool {
        // First, so that a probe that has ended does not keep the next step out.
        self.admission = None;
        self.admission = self.gate.admit(now).ok();
        self.admission.is_some()
    }

    pub(super) fn hear(
        &self,
        sign: Sign<'_>,
        now: Timestamp,
        jitter: Jitter,
    ) -> Option<LaneChange> {
        self.admission.as_ref()?.hear(sign, now, jitter)
    }
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
        };
        new.replace(lanes, []);
        new
    }

    /// Puts other lanes in force. Permits that are out count in a lane that stays, and
    /// one that shrank below them gives none until enough have been dropped. A lane that
    /// stays stands as it stood, one that is new as it is `stored`.
    pub fn replace<L: Into<Limits>>(
        &self,
        lanes: impl IntoIterator<Item = (Lane, L)>,
        stored: impl IntoIterator<Item = (Lane, LaneState)>,
    ) {
        let mut stored: BTreeMap<Lane, LaneState> = stored.into_iter().collect();
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        for lane in by_name.values() {
            lane.width.size.store(0, Ordering::SeqCst);
        }
        for (name, limits) in lanes {
            let limits = limits.into();
            let state = stored.remove(&name).unwrap_or_default();
            let lane = by_name.entry(name).or_insert_with(|| {
                let lane = OneLane::new(limits);
                lane.gate.adopt(state);
                lane
            });
            lane.width.size.store(limits.steps, Ordering::SeqCst);
            lane.gate.configure(limits.rate, limits.breaker);
        }
        let is_used = |width: &Width| width.size() > 0 || width.taken.load(Ordering::SeqCst) > 0;
        by_name.retain(|_, lane| is_used(&lane.width));
        drop(by_name);
        self.waker.wake();
    }

    /// The waker that freed permits tell.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// A permit of the lane; `None` when it is full, not let through to now, or not known.
    pub fn permit(&self, lane: &Lane) -> Option<Permit> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        self.admit(by_name.get(lane)?, clock::now()).ok()
    }

    fn admit(&self, lane: &OneLane, now: Timestamp) -> Result<Permit, Refused> {
        let room = lane.width.take().ok_or(Refused::Full)?;
        let running = Arc::clone(&self.running).try_acquire_owned().ok();
        // A lane's first step needs no share of what all have together: however many hang
        // elsewhere, each lane goes on.
        if running.is_none() && lane.width.taken.load(Ordering::SeqCst) > 1 {
            return Err(Refused::Full);
        }
        let admission = lane.gate.admit(now).map_err(Refused::Shut)?;
        Ok(Permit {
            wake: WakeOnDrop {
                waker: Arc::clone(&self.waker),
                probe: false,
            },
            admission: Some(admission),
            gate: Arc::clone(&lane.gate),
            _lane: room,
            _running: running,
        })
    }

    /// Takes permits for one claim, in turns over the lanes so that none takes all.
    pub fn reserve(&self, now: Timestamp) -> Reserved {
        let mut reserved = Reserved::default();
        let mut open = self.open();
        for _ in 0..CLAIM_BATCH {
            open.retain(|(name, lane)| match self.admit(lane, now) {
                Ok(permit) => {
                    let permits = reserved.permits.entry(name.clone());
                    permits.or_default().push(permit);
                    true
                }
                Err(refused) => {
                    reserved.note(name, &refused);
                    false
                }
            });
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
    pub(super) fn adopt(&self, states: impl IntoIterator<Item = (Lane, LaneState)>) {
        let mut states: BTreeMap<Lane, LaneState> = states.into_iter().collect();
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        for (name, lane) in &*by_name {
            lane.gate.adopt(states.remove(name).unwrap_or_default());
        }
    }

    /// The turn to change how a lane stands here and in the store. It spans calls of the
    /// store alone.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn open(&self) -> Vec<(Lane, OneLane)> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let open = by_name.iter().filter(|(_, lane)| lane.width.size() > 0);
        open.map(|(name, lane)| (name.clone(), lane.clone()))
            .collect()
    }
}

/// Permits taken for a claim.
#[derive(Debug, Default)]
pub struct Reserved {
    permits: BTreeMap<Lane, Vec<Permit>>,
    /// Whether some lane had no permit left.
    pub full: bool,
    /// When a lane that lets nothing through now does so again.
    pub opens: Option<Timestamp>,
}

impl Reserved {
    /// Of a lane with a permit, the store says whether there is more to claim.
    fn note(&mut self, lane: &Lane, refused: &Refused) {
        if self.permits.contains_key(lane) {
            return;
        }
        match refused {
            Refused::Full => self.full = true,
            Refused::Shut(Shut(until)) => {
                self.opens = [self.opens, *until].into_iter().flatten().min();
            }
        }
    }

    /// What to ask the store for.
    pub fn room(&self) -> Vec<LaneRoom> {
        let room = |(lane, permits): (&Lane, &Vec<Permit>)| LaneRoom {
            lane: lane.clone(),
            free: permits.len(),
        };
        self.permits.iter().map(room).collect()
    }

    /// The permit for a claimed task of this lane.
    pub fn take(&mut self, lane: &Lane) -> Option<Permit> {
        self.permits.get_mut(lane)?.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::{Failure, FailureKind};

    const NONE: [(Lane, usize); 0] = [];

    fn lane(name: &str) -> Lane {
        Lane::Destination(name.into())
    }

    #[test]
    fn full_lane_gives_no_permit_until_one_is_dropped() {
        let lanes = Lanes::new([(lane("a"), 1), (lane("b"), 1)]);
        let held = lanes.permit(&lane("a")).unwrap();
        assert!(lanes.permit(&lane("a")).is_none() && lanes.permit(&lane("b")).is_some());
        assert!(lanes.permit(&lane("unknown")).is_none());
        drop(held);
        assert!(lanes.permit(&lane("a")).is_some());
    }

    #[test]
    fn lane_that_changes_its_width_counts_the_steps_that_run_in_it() {
        let lanes = Lanes::new([(lane("a"), 1)]);
        let mut held = vec![lanes.permit(&lane("a")).unwrap()];
        lanes.replace([(lane("a"), 3)], []);
        held.extend([(); 2].map(|()| lanes.permit(&lane("a")).unwrap()));
        assert!(lanes.permit(&lane("a")).is_none());
        lanes.replace([(lane("a"), 2)], []);
        held.pop();
        assert!(lanes.permit(&lane("a")).is_none());
        held.pop();
        assert!(lanes.permit(&lane("a")).is_some());
    }

    #[test]
    fn lane_that_is_gone_gives_no_permit_and_is_back_with_the_steps_that_still_run() {
        let lanes = Lanes::new([(lane("a"), 1), (lane("b"), 1)]);
        let held = lanes.permit(&lane("a")).unwrap();
        lanes.replace([(lane("b"), 1)], []);
        assert!(lanes.permit(&lane("a")).is_none());
        assert!(
            !lanes.reserve(Timestamp::from_millis(0)).full,
            "nobody can wait for a lane that is gone"
        );
        lanes.replace([(lane("a"), 1), (lane("b"), 1)], []);
        assert!(lanes.permit(&lane("a")).is_none());
        drop(held);
        assert!(lanes.permit(&lane("a")).is_some());
        lanes.replace(NONE, []);
        assert!(lanes.open().is_empty());
    }

    #[test]
    fn lane_stands_as_it_stood_when_others_are_put_in_force_and_a_new_one_as_it_is_stored() {
        let now = Timestamp::from_millis(1_772_413_200_000);
        let lanes = Lanes::new([(lane("a"), 1)]);
        let permit = lanes.permit(&lane("a")).unwrap();
        let why = Failure::new(FailureKind::Gone, "r");
        permit.hear(Sign::of(&why), now, Jitter::MOST).unwrap();
        drop(permit);
        let paused = lanes.state(&lane("a")).unwrap();
        assert!(paused.paused.is_some());
        lanes.replace(
            [(lane("a"), 2), (lane("b"), 2)],
            [(lane("b"), paused.clone())],
        );
        assert_eq!(lanes.state(&lane("a")), Some(paused));
        assert!(lanes.permit(&lane("a")).is_none() && lanes.permit(&lane("b")).is_none());
    }

    #[tokio::test]
    async fn other_lanes_wake_the_loop() {
        let lanes = Lanes::new(NONE);
        let mut woken = told(lanes.waker());
        woken();
        lanes.replace([(lane("a"), 1)], []);
        assert!(woken());
    }

    #[test]
    fn one_wide_lane_leaves_room_for_the_others() {
        let lanes = Lanes::new([(lane("wide"), 10 * RUNNING_LIMIT), (lane("small"), 2)]);
        let reserved = lanes.reserve(Timestamp::from_millis(0));
        let room: Vec<_> = reserved
            .room()
            .into_iter()
            .map(|room| (room.lane, room.free))
            .collect();
        assert_eq!(room, [(lane("small"), 2), (lane("wide"), CLAIM_BATCH)]);
        assert!(!reserved.full);
    }

    #[test]
    fn lanes_that_hang_leave_every_other_lane_its_first_step() {
        let lanes = Lanes::new([(lane("hangs"), 2 * RUNNING_LIMIT), (lane("other"), 2)]);
        let hanging = std::iter::from_fn(|| lanes.permit(&lane("hangs")));
        let hanging: Vec<_> = hanging.collect();
        assert_eq!(hanging.len(), RUNNING_LIMIT);
        let first = lanes.permit(&lane("other"));
        assert!(first.is_some() && lanes.permit(&lane("other")).is_none());
        drop(first);
        assert!(lanes.permit(&lane("other")).is_some());
    }

    #[test]
    fn claim_takes_what_the_rate_lets_through_and_is_told_when_there_is_more() {
        let now = Timestamp::from_millis(1_772_413_200_000);
        let rate = Rate {
            requests: 50,
            per: std::time::Duration::from_secs(1),
        };
        let limits = Limits {
            rate: Some(rate),
            ..Limits::from(100)
        };
        let lanes = Lanes::new([(lane("a"), limits)]);
        let mut reserved = lanes.reserve(now);
        assert_eq!(reserved.room()[0].free, 5);
        for _ in 0..5 {
            reserved.take(&lane("a")).unwrap().begin();
        }
        let next = lanes.reserve(now);
        assert!(next.room().is_empty() && !next.full);
        assert_eq!(next.opens, Some(Timestamp::from_millis(now.millis() + 20)));
    }

    #[test]
    fn further_step_of_a_lane_needs_its_place_in_the_rate() {
        let now = Timestamp::from_millis(1_772_413_200_000);
        let rate = Rate {
            requests: 1,
            per: std::time::Duration::from_secs(1),
        };
        let limits = Limits {
            rate: Some(rate),
            ..Limits::from(1)
        };
        let lanes = Lanes::new([(lane("a"), limits)]);
        let mut permit = lanes.reserve(now).take(&lane("a")).unwrap();
        permit.begin();
        assert!(!permit.renew(now));
        assert!(permit.renew(Timestamp::from_millis(now.millis() + 1000)));
    }

    #[tokio::test]
    async fn freed_permit_wakes_only_a_hungry_loop() {
        let lanes = Lanes::new([(lane("a"), 1)]);
        let mut woken = told(lanes.waker());
        woken();
        drop(lanes.permit(&lane("a")));
        assert!(!woken());
        lanes.waker().set_hungry(true);
        drop(lanes.permit(&lane("a")));
        assert!(woken());
    }

    #[tokio::test]
    async fn probe_that_ends_wakes_the_loop_which_could_not_know_when_to_look_again() {
        let now = Timestamp::from_millis(1_772_413_200_000);
        let limits = Limits {
            breaker: Breaker {
                failures: 1,
                longest: std::time::Duration::from_millis(1),
            },
            ..Limits::from(2)
        };
        let lanes = Lanes::new([(lane("a"), limits)]);
        let mut woken = told(lanes.waker());
        woken();
        let permit = lanes.reserve(now).take(&lane("a")).unwrap();
        let why = Failure::new(FailureKind::Timeout, "r");
        permit.hear(Sign::of(&why), now, Jitter::MOST).unwrap();
        drop(permit);
        assert!(!woken());
        let later = now.plus(std::time::Duration::from_millis(1));
        drop(lanes.reserve(later));
        assert!(
            !woken(),
            "nothing was due, and the loop would turn for ever"
        );
        let mut probe = lanes.reserve(later).take(&lane("a")).unwrap();
        probe.begin();
        let looked = lanes.reserve(later);
        assert!(looked.room().is_empty() && looked.opens.is_none() && !looked.full);
        drop(looked);
        assert!(!woken());
        drop(probe);
        assert!(woken());
    }

    /// Whether the waker has been told since the last look.
    fn told(waker: &Arc<Waker>) -> impl FnMut() -> bool + '_ {
        use futures_util::FutureExt;
        move || waker.woken().now_or_never().is_some()
    }
}
