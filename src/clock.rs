//! The only module that reads wall time, elapsed time and random numbers.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::model::moment::{Moment, Present};
use crate::model::retry::Jitter;
use crate::model::time::Timestamp;

/// How often we check whether the wall clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Difference in milliseconds between the wall clock and elapsed time, per check, that is not a set
/// clock: it is always slewed, but far less than that.
const STEADY: u64 = 1000;

static START: LazyLock<Instant> = LazyLock::new(instant);

/// Time and random numbers for long-running decisions: [`System`], or a test's substitute.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Time since the process started; cannot be set.
    fn moment(&self) -> Moment;

    /// A new random number.
    fn jitter(&self) -> Jitter;

    /// Waits until the wall clock was set since `earlier`; returns the present.
    async fn set_since(&self, earlier: Present) -> Present;

    fn present(&self) -> Present {
        Present {
            time: self.now(),
            moment: self.moment(),
        }
    }
}

/// The operating system's clock and random numbers.
#[derive(Debug, Clone, Copy)]
pub struct System;

#[async_trait]
impl Clock for System {
    fn now(&self) -> Timestamp {
        now()
    }

    fn moment(&self) -> Moment {
        moment()
    }

    fn jitter(&self) -> Jitter {
        jitter()
    }

    /// Compares both clocks every second. A machine that slept finds its wall clock set forward,
    /// because moments do not advance during sleep.
    async fn set_since(&self, earlier: Present) -> Present {
        let mut before = earlier;
        loop {
            let present = present();
            if present.set_by(before).unsigned_abs() > STEADY {
                return present;
            }
            before = present;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

pub fn now() -> Timestamp {
    Timestamp::from_millis(chrono_now())
}

pub fn moment() -> Moment {
    Moment::after(instant().saturating_duration_since(*START))
}

pub fn present() -> Present {
    System.present()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn chrono_now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "this is where chance comes from")]
pub fn jitter() -> Jitter {
    Jitter::new(fastrand::f64())
}

/// A new name that nothing else has.
#[expect(clippy::disallowed_methods, reason = "this is where chance comes from")]
pub fn random_id() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// Measures elapsed time, even if the wall clock is set meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(instant())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
