//! Monotonic time, which cannot be set.
//!
//! A process measures durations by [`Moment`]s. A [`Timestamp`] is for people and for what is
//! stored, and is only as right as the system's clock.

use std::time::Duration;

use super::time::Timestamp;

/// How long the process has been running. Means nothing to another process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

/// The same instant by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    pub time: Timestamp,
    pub moment: Moment,
}

impl Moment {
    pub const fn after(running: Duration) -> Self {
        Self(running)
    }

    pub fn millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }

    /// Saturates instead of overflowing.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// Zero if this is not after `earlier`.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Present {
    /// Adds to both clocks.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self {
            time: self.time.plus(duration),
            moment: self.moment.plus(duration),
        }
    }

    /// Milliseconds by which the wall clock was set between `earlier` and now; negative if it was
    /// set back.
    pub fn set_by(self, earlier: Self) -> i64 {
        let passed = self.moment.since(earlier.moment).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let went_on = self.time.millis().saturating_sub(earlier.time.millis());
        went_on.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_that_was_set_is_told_from_time_that_passed() {
        let start = Present {
            time: Timestamp::from_millis(1_772_413_200_000),
            moment: Moment::after(Duration::from_secs(5)),
        };
        let later = start.plus(Duration::from_mins(1));
        assert_eq!(later.set_by(start), 0);
        for by in [-3_600_000, 1, 31_536_000_000] {
            let time = Timestamp::from_millis(later.time.millis() + by);
            assert_eq!(Present { time, ..later }.set_by(start), by);
        }
    }

    #[test]
    fn moments_stop_at_the_ends_of_time() {
        let early = Moment::after(Duration::from_secs(1));
        assert_eq!(early.since(Moment::after(Duration::MAX)), Duration::ZERO);
        assert_eq!(early.plus(Duration::MAX), Moment::after(Duration::MAX));
    }
}
