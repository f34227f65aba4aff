//! Room in lanes: how many steps may run at once for each bucket and destination.
//!
//! A lane that is full is not claimed from, so one slow destination holds up nothing
//! but itself, and what waits for it waits in the store. Knows no tasks, only permits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::model::task::Lane;
use crate::store::LaneRoom;

/// Steps that run at a time in the whole process: bounds the memory that running tasks
/// take, whatever the lanes add up to.
pub const RUNNING_LIMIT: usize = 1024;

/// The most that one claim takes from a lane, so that one lane's backlog cannot hold
/// the store's writer for long.
const CLAIM_BATCH: usize = 128;

/// The lanes of the rules file in force.
#[derive(Debug)]
pub struct Lanes {
    /// A lane that is gone stays, without room, for as long as steps run in it.
    widths: RwLock<BTreeMap<Lane, Arc<Width>>>,
    running: Arc<Semaphore>,
    waker: Arc<Waker>,
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
    /// Dropped before the waker is told, since fields are dropped in this order.
    _lane: Taken,
    _running: OwnedSemaphorePermit,
    _wake: WakeOnDrop,
}

#[derive(Debug)]
struct WakeOnDrop(Arc<Waker>);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        if self.0.hungry.load(Ordering::SeqCst) {
            self.0.wake();
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

impl Lanes {
    /// Lanes with this many permits each.
    pub fn new(lanes: impl IntoIterator<Item = (Lane, usize)>) -> Self {
        let new = Self {
            widths: RwLock::default(),
            running: Arc::new(Semaphore::new(RUNNING_LIMIT)),
            waker: Arc::default(),
        };
        new.replace(lanes);
        new
    }

    /// Puts other lanes in force. Permits that are out count in a lane that stays, and
    /// one that shrank below them gives none until enough have been dropped.
    pub fn replace(&self, lanes: impl IntoIterator<Item = (Lane, usize)>) {
        let mut widths = self.widths.write().unwrap_or_else(PoisonError::into_inner);
        for width in widths.values() {
            width.size.store(0, Ordering::SeqCst);
        }
        for (lane, size) in lanes {
            let width = widths.entry(lane).or_default();
            width.size.store(size, Ordering::SeqCst);
        }
        widths.retain(|_, width| width.size() > 0 || width.taken.load(Ordering::SeqCst) > 0);
        drop(widths);
        self.waker.wake();
    }

    /// The waker that freed permits tell.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// A permit of the lane; `None` when it is full or not known.
    pub fn permit(&self, lane: &Lane) -> Option<Permit> {
        let widths = self.widths.read().unwrap_or_else(PoisonError::into_inner);
        self.permit_of(widths.get(lane)?)
    }

    fn permit_of(&self, width: &Arc<Width>) -> Option<Permit> {
        let lane = width.take()?;
        let running = Arc::clone(&self.running).try_acquire_owned().ok()?;
        Some(Permit {
            _lane: lane,
            _running: running,
            _wake: WakeOnDrop(Arc::clone(&self.waker)),
        })
    }

    /// Takes permits for one claim, in turns over the lanes so that none takes all.
    pub fn reserve(&self) -> Reserved {
        let mut permits: BTreeMap<Lane, Vec<Permit>> = BTreeMap::new();
        let mut open = self.open();
        let all = open.len();
        for _ in 0..CLAIM_BATCH {
            open.retain(|(lane, width)| match self.permit_of(width) {
                Some(permit) => {
                    permits.entry(lane.clone()).or_default().push(permit);
                    true
                }
                None => false,
            });
        }
        Reserved {
            full: permits.len() < all,
            permits,
        }
    }

    fn open(&self) -> Vec<(Lane, Arc<Width>)> {
        let widths = self.widths.read().unwrap_or_else(PoisonError::into_inner);
        let open = widths.iter().filter(|(_, width)| width.size() > 0);
        open.map(|(lane, width)| (lane.clone(), Arc::clone(width)))
            .collect()
    }
}

/// Permits taken for a claim.
#[derive(Debug)]
pub struct Reserved {
    permits: BTreeMap<Lane, Vec<Permit>>,
    /// Whether some lane had no permit left.
    pub full: bool,
}

impl Reserved {
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
        lanes.replace([(lane("a"), 3)]);
        held.extend([(); 2].map(|()| lanes.permit(&lane("a")).unwrap()));
        assert!(lanes.permit(&lane("a")).is_none());
        lanes.replace([(lane("a"), 2)]);
        held.pop();
        assert!(lanes.permit(&lane("a")).is_none());
        held.pop();
        assert!(lanes.permit(&lane("a")).is_some());
    }

    #[test]
    fn lane_that_is_gone_gives_no_permit_and_is_back_with_the_steps_that_still_run() {
        let lanes = Lanes::new([(lane("a"), 1), (lane("b"), 1)]);
        let held = lanes.permit(&lane("a")).unwrap();
        lanes.replace([(lane("b"), 1)]);
        assert!(lanes.permit(&lane("a")).is_none());
        assert!(
            !lanes.reserve().full,
            "nobody can wait for a lane that is gone"
        );
        lanes.replace([(lane("a"), 1), (lane("b"), 1)]);
        assert!(lanes.permit(&lane("a")).is_none());
        drop(held);
        assert!(lanes.permit(&lane("a")).is_some());
        lanes.replace([]);
        assert!(lanes.open().is_empty());
    }

    #[tokio::test]
    async fn other_lanes_wake_the_loop() {
        let lanes = Lanes::new([]);
        let mut woken = told(lanes.waker());
        woken();
        lanes.replace([(lane("a"), 1)]);
        assert!(woken());
    }

    #[test]
    fn one_wide_lane_leaves_room_for_the_others() {
        let lanes = Lanes::new([(lane("wide"), 10 * RUNNING_LIMIT), (lane("small"), 2)]);
        let reserved = lanes.reserve();
        let room: Vec<_> = reserved
            .room()
            .into_iter()
            .map(|room| (room.lane, room.free))
            .collect();
        assert_eq!(room, [(lane("small"), 2), (lane("wide"), CLAIM_BATCH)]);
        assert!(!reserved.full);
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

    /// Whether the waker has been told since the last look.
    fn told(waker: &Arc<Waker>) -> impl FnMut() -> bool + '_ {
        use futures_util::FutureExt;
        move || waker.woken().now_or_never().is_some()
    }
}
