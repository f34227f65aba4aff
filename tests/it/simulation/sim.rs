//! What a whole run shares: simulated time, seeded chance, what was told, what was broken.

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
use super::take::Take;
use super::world::World;

/// 2026-03-02T01:00:00Z.
const BEGINNING: i64 = 1_772_413_200_000;

/// Steps of a run that is taken for endless: about a hundred times what a long one needs.
const MOST_STEPS: u64 = 500_000;

/// The share of runs that begin by a clock that is wrong.
const STARTS_WRONG: f64 = 0.25;

/// The share of runs that keep the history of what is done for an hour only.
const FORGETS: f64 = 0.25;

/// A bug that is put in on purpose, outside the product, to see it noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    Nothing,
    /// The store takes the word of a claim that is not the newest.
    NoFence,
    /// A claim spends no try.
    FreeTries,
    /// Whatever due time the store holds is believed.
    CredulousOfDueTimes,
    /// Ages are told by a clock that nothing bears out.
    CredulousOfTheClock,
    /// A look at a copy finds it whatever is there, so nothing is verified before the deletion.
    BlindVerify,
}

/// One run.
pub(super) struct Sim {
    pub(super) planted: Planted,
    /// Whether what is done is forgotten long before a callback may come again.
    pub(super) forgets: bool,
    /// The store cannot be used.
    pub(super) store_away: AtomicBool,
    chance: Mutex<fastrand::Rng>,
    began: Instant,
    /// What the wall clock was set forward, in milliseconds.
    set_by: AtomicI64,
    clock_set: Notify,
    world: Mutex<World>,
    ledger: Mutex<Ledger>,
    told: Mutex<Vec<String>>,
    broken: Mutex<Option<String>>,
    /// Calls of the product to the outside.
    steps: AtomicU64,
    endless: Notify,
}

impl Sim {
    #[expect(
        clippy::disallowed_methods,
        reason = "the runtime's clock stands still but for what is slept"
    )]
    pub(super) fn new(seed: u64, planted: Planted) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        // Up to a month, one way or the other.
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

    /// How long things are kept.
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

    /// Puts a take where it is recorded.
    pub(super) fn record(&self, take: Take, rewrites: bool) {
        let ledger = self.ledger();
        let goes = |place: &Place| ledger.manifests.takes_away(place);
        self.world().record(take, rewrites, goes);
    }

    /// Whether something happens that does so with this probability.
    pub(super) fn happens(&self, probability: f64) -> bool {
        self.chance.lock().unwrap().f64() < probability
    }

    /// A number from `least` up to `most`.
    pub(super) fn between(&self, least: u64, most: u64) -> u64 {
        self.chance.lock().unwrap().u64(least..=most)
    }

    /// One of these.
    pub(super) fn any<T: Clone>(&self, of: &[T]) -> Option<T> {
        self.chance.lock().unwrap().choice(of).cloned()
    }

    /// Sleeps for a while between these.
    pub(super) async fn nap(&self, least: Duration, most: Duration) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
        let nap = self.between(millis(least), millis(most));
        tokio::time::sleep(Duration::from_millis(nap)).await;
    }

    /// Sets the wall clock forward, or back.
    pub(super) fn set_clock(&self, by_seconds: i64) {
        self.set_by.fetch_add(by_seconds * 1000, Ordering::SeqCst);
        self.clock_set.notify_waiters();
    }

    /// Sets the wall clock right.
    pub(super) fn set_clock_right(&self) {
        self.set_by.store(0, Ordering::SeqCst);
        self.clock_set.notify_waiters();
    }

    /// Keeps what happened for whoever has to understand it.
    pub(super) fn tell(&self, what: impl Display) {
        let line = format!("{} {what}", self.wall());
        self.told.lock().unwrap().push(line);
    }

    /// Notes that a promise was broken; the first one counts. Steps run in the worker, which
    /// takes a panic for a failure of the step: so nothing panics here.
    pub(super) fn broken(&self, how: impl Display) {
        let how = how.to_string();
        self.tell(format!("BROKEN {how}"));
        self.broken.lock().unwrap().get_or_insert(how);
    }

    /// The promise that was broken first, if any was.
    pub(super) fn verdict(&self) -> Result<(), String> {
        self.broken.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// Counts what the product asks of the outside: a run that asks without end is ended.
    pub(super) fn step(&self) {
        if self.steps.fetch_add(1, Ordering::SeqCst) == MOST_STEPS {
            self.broken("it goes round and round");
            self.endless.notify_one();
        }
    }

    /// Waits until the run has to be ended.
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

    /// The real one looks every second of what may be hours.
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
