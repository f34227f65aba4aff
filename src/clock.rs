//! The only reader of wall time, elapsed time and chance.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::model::moment::{Moment, Present};
use crate::model::retry::Jitter;
use crate::model::time::Timestamp;

/// Between two looks whether the wall clock was set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the wall clock may go on by more or less than passed between two looks, in
/// milliseconds: it is slowed down and sped up all the time, by far less than that.
const STEADY: u64 = 1000;

/// When the process first asked for a moment.
static START: LazyLock<Instant> = LazyLock::new(instant);

/// Where those who decide for hours on end get their time and chance from: [`System`], or
/// whatever a test lets pass for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// The present moment of this process.
    fn moment(&self) -> Moment;

    /// A fresh draw.
    fn jitter(&self) -> Jitter;

    /// Waits until the clock of [`Clock::now`] was set since `earlier`; answers the present.
    async fn set_since(&self, earlier: Present) -> Present;

    /// Both clocks at once.
    fn present(&self) -> Present {
        Present {
            time: self.now(),
            moment: self.moment(),
        }
    }
}

/// The system's clock and chance.
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

    /// Looks every second, and compares each look with the one before. A machine that slept
    /// finds its clock set forward: moments do not pass meanwhile.
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

/// The present time by the system's clock.
pub fn now() -> Timestamp {
    Timestamp::from_millis(chrono_now())
}

/// The present moment of this process.
pub fn moment() -> Moment {
    Moment::after(instant().saturating_duration_since(*START))
}

/// Both clocks at once.
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

/// A fresh draw.
#[expect(clippy::disallowed_methods, reason = "this is where chance comes from")]
pub fn jitter() -> Jitter {
    Jitter::new(fastrand::f64())
}

/// Measures elapsed time, whatever happens to the system's clock meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(instant())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
