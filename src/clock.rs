//! The only reader of wall time, elapsed time and chance.

use std::time::{Duration, Instant};

use crate::model::retry::Jitter;
use crate::model::time::Timestamp;

/// Where those who decide for hours on end get their time and chance from: [`System`], or
/// whatever a test lets pass for it.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// A fresh draw.
    fn jitter(&self) -> Jitter;
}

/// The system's clock and chance.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        now()
    }

    fn jitter(&self) -> Jitter {
        jitter()
    }
}

/// The present time by the system's clock.
pub fn now() -> Timestamp {
    Timestamp::from_millis(chrono_now())
}

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn chrono_now() -> i64 {
    chrono::Utc::now().timestamp_millis()
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
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
