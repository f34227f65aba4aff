//! The state that a run shares: simulated time, seeded randomness, its log, and broken promises.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aftertake::clock::Clock;
use aftertake::model::moment::{Moment, Present};
use aftertake::model::recording::Place;
use aftertake::model::retry::Jitter;
use aftertake::model::time::Timestamp;
use aftertake::store::Retention;
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::recording::Take;
use super::world::World;

/// 2026-03-02T01:00:00Z.
const BEGINNING: i64 = 1_772_413_200_000;

/// Steps after which a run counts as endless: about a hundred times those of a long run.
const MOST_STEPS: u64 = 500_000;

/// The share of runs that start with a wrong clock.
const STARTS_WRONG: f64 = 0.25;

/// The share of runs with a retention of only an hour.
const FORGETS: f64 = 0.25;

/// A bug planted on purpose outside the product, to check that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    Nothing,
    /// The store accepts writes under outdated claims.
    NoFence,
    /// A claim spends no try.
    FreeTries,
    /// Any due time in the store is trusted.
    CredulousOfDueTimes,
    /// Ages are computed from an unconfirmed clock.
    CredulousOfTheClock,
    /// A HEAD of a copy always finds it, so nothing is verified before the deletion.
    BlindVerify,
}

pub(super) struct Sim {
    pub(super) planted: Planted,
    /// Whether finished work is pruned long before a callback may be repeated.
    pub(super) forgets: bool,
    pub(super) store_away: AtomicBool,
    chance: Mutex<fastrand::Rng>,
    began: Instant,
    /// How far ahead the wall clock was set, in milliseconds.
    set_by: AtomicI64,
    clock_set: Notify,
    world: Mutex<World>,
    ledger: Mutex<Ledger>,
    told: Mutex<Vec<String>>,
    broken: Mutex<Option<String>>,
    /// The product's calls to the outside.
    steps: AtomicU64,
    endless: Notify,
}

impl Sim {
    #[expect(
        clippy::disallowed_methods,
        reason = "the paused clock advances only by sleeps"
    )]
    pub(super) fn new(seed: u64, planted: Planted) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        // Up to a month, forward or back.
        let wrong_by = if chance.f64() < STARTS_WRONG {
            chance.i64(-30..=30) * 24 * 3_600_000
        } else {
            0
        };
        let forgets = chance.f64() < FORGETS;
        Self {
            planted,
            forgets,
            store_away: AtomicBool::new(false),
            chance: Mutex::new(chance),
            began: Instant::now(),
            set_by: AtomicI64::new(wrong_by),
            clock_set: Notify::new(),
            world: Mutex::default(),
            ledger: Mutex::default(),
            told: Mutex::default(),
            broken: Mutex::default(),
            steps: AtomicU64::new(0),
            endless: Notify::new(),
        }
    }

    pub(super) fn retention(&self) -> Retention {
        let months = Duration::from_hours(24 * 90);
        let hour = Duration::from_hours(1);
        Retention {
            history: if self.forgets { hour } else { months },
            dedup_horizon: months,
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Stores a take where it is recorded.
    pub(super) fn record(&self, take: Take, rewrites: bool) {
        let ledger = self.ledger();
        let goes = |place: &Place| ledger.manifests.takes_away(place);
        self.world().record(take, rewrites, goes);
    }

    pub(super) fn happens(&self, probability: f64) -> bool {
        self.chance.lock().unwrap().f64() < probability
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn between(&self, least: u64, most: u64) -> u64 {
        self.chance.lock().unwrap().u64(least..=most)
    }

    /// A random one of these.
    pub(super) fn any<T: Clone>(&self, of: &[T]) -> Option<T> {
        self.chance.lock().unwrap().choice(of).cloned()
    }

    /// Sleeps for a random time from `least` to `most`.
    pub(super) async fn nap(&self, least: Duration, most: Duration) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
        let nap = self.between(millis(least), millis(most));
        tokio::time::sleep(Duration::from_millis(nap)).await;
    }

    pub(super) fn set_clock(&self, by_seconds: i64) {
        self.set_by.fetch_add(by_seconds * 1000, Ordering::SeqCst);
        self.clock_set.notify_waiters();
    }

    pub(super) fn set_clock_right(&self) {
        self.set_by.store(0, Ordering::SeqCst);
        self.clock_set.notify_waiters();
    }

    /// Logs what happened, to analyse the run.
    pub(super) fn tell(&self, what: impl Display) {
        let line = format!("{} {what}", self.wall());
        self.told.lock().unwrap().push(line);
    }

    /// Records a broken promise; only the first one counts. This does not panic: steps run in the
    /// worker, which would treat a panic as a failure of the step.
    pub(super) fn broken(&self, how: impl Display) {
        let how = how.to_string();
        self.tell(format!("BROKEN {how}"));
        self.broken.lock().unwrap().get_or_insert(how);
    }

    /// The first broken promise, if any.
    pub(super) fn verdict(&self) -> Result<(), String> {
        self.broken.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// Counts a call to the outside; too many end the run.
    pub(super) fn step(&self) {
        if self.steps.fetch_add(1, Ordering::SeqCst) == MOST_STEPS {
            self.broken("it goes round and round");
            self.endless.notify_one();
        }
    }

    /// Waits until the run has made too many calls.
    pub(super) async fn endless(&self) {
        self.endless.notified().await;
    }

    fn wall(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(BEGINNING + passed + self.set_by.load(Ordering::SeqCst))
    }

    pub(super) fn story(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for Sim {
    fn now(&self) -> Timestamp {
        self.step();
        self.wall()
    }

    fn moment(&self) -> Moment {
        Moment::after(self.began.elapsed())
    }

    /// The real clock polls every second; over simulated hours that is too much.
    async fn set_since(&self, earlier: Present) -> Present {
        loop {
            let set = self.clock_set.notified();
            let present = Present {
                time: self.wall(),
                moment: self.moment(),
            };
            if present.set_by(earlier).abs() > 1000 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return present;
            }
            set.await;
        }
    }

    fn jitter(&self) -> Jitter {
        Jitter::new(self.chance.lock().unwrap().f64())
    }
}
