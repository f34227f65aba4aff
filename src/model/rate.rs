//! Spreads the requests of a destination over time.
//!
//! The generic cell rate algorithm: one number says when the next request would be due if
//! all of them were spread evenly. Time is an argument; nothing waits here.

use super::destination::Rate;
use super::time::Timestamp;

/// Lets requests through at a rate, never more at once than a tenth of a second's worth:
/// whoever asks a little late can catch up, and a receiver's own limit is not overrun.
#[derive(Debug)]
pub struct Limiter {
    /// Microseconds between two requests.
    interval: i64,
    /// How far ahead of an even spread a request may be, in microseconds.
    ahead: i64,
    /// When the next request is due in an even spread, in microseconds since the epoch.
    next: i64,
}

impl Limiter {
    /// A limiter that nothing has passed yet.
    pub fn new(rate: Rate) -> Self {
        let interval = rate.per.as_micros() / u128::from(rate.requests.max(1));
        let interval = i64::try_from(interval).unwrap_or(i64::MAX);
        Self {
            interval,
            ahead: (100_000 - interval).max(0),
            next: i64::MIN,
        }
    }

    /// Lets one request through, or says when to ask again.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let now = now.millis().saturating_mul(1000);
        let furthest = now.saturating_add(self.ahead).saturating_add(self.interval);
        // Nothing is due later than that, unless the clock was set back meanwhile: a lane
        // must not stand still until the clock is where it was.
        let due = self.next.clamp(now, furthest);
        let earliest = due.saturating_sub(self.ahead);
        if earliest > now {
            let millis = earliest.div_euclid(1000) + i64::from(earliest.rem_euclid(1000) > 0);
            return Err(Timestamp::from_millis(millis));
        }
        self.next = due.saturating_add(self.interval);
        Ok(())
    }

    /// Takes back a request that was let through and not made.
    pub fn give_back(&mut self) {
        self.next = self.next.saturating_sub(self.interval);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn limiter(requests: u32, per: Duration) -> Limiter {
        Limiter::new(Rate { requests, per })
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_772_413_200_000 + millis)
    }

    /// How many requests pass at this time.
    fn pass(limiter: &mut Limiter, now: Timestamp) -> usize {
        std::iter::from_fn(|| limiter.take(now).ok()).count()
    }

    #[test]
    fn requests_are_spread_evenly_with_a_tenth_of_a_second_at_once() {
        let mut limiter = limiter(50, Duration::from_secs(1));
        let passed = [0, 19, 20, 100, 1100].map(|millis| pass(&mut limiter, at(millis)));
        assert_eq!(passed, [5, 0, 1, 4, 5]);
        assert_eq!(limiter.take(at(1100)), Err(at(1120)));
    }

    #[test]
    fn slow_rate_lets_one_through_at_a_time() {
        let mut limiter = limiter(600, Duration::from_hours(1));
        assert_eq!(pass(&mut limiter, at(0)), 1);
        assert_eq!(limiter.take(at(1)), Err(at(6000)));
        assert_eq!(pass(&mut limiter, at(6000)), 1);
    }

    #[test]
    fn time_to_ask_again_is_never_too_early() {
        // One every 3.333 ms: the 31st may go after 3.323 ms.
        let mut limiter = limiter(300, Duration::from_secs(1));
        assert_eq!(pass(&mut limiter, at(0)), 30);
        assert_eq!(limiter.take(at(0)), Err(at(4)));
        assert_eq!(pass(&mut limiter, at(4)), 1);
    }

    #[test]
    fn request_that_was_not_made_counts_for_nothing() {
        let mut limiter = limiter(1, Duration::from_mins(1));
        assert_eq!(pass(&mut limiter, at(0)), 1);
        limiter.give_back();
        assert_eq!(pass(&mut limiter, at(0)), 1);
    }

    #[test]
    fn clock_that_was_set_back_holds_nothing_up_for_longer_than_the_rate_does() {
        let mut limiter = limiter(1, Duration::from_secs(10));
        assert_eq!(pass(&mut limiter, at(3_600_000)), 1);
        assert_eq!(limiter.take(at(0)), Err(at(10_000)));
    }

    proptest! {
        #[test]
        fn rate_is_kept_and_used_up_whenever_somebody_asks(requests in 1..2000_u32, steps in 1..300_i64) {
            let mut limiter = limiter(requests, Duration::from_secs(1));
            let asked: usize = (0..steps).map(|step| pass(&mut limiter, at(step * 10))).sum();
            let allowed = f64::from(requests) * f64::from(i32::try_from(steps - 1).unwrap()) / 100.0;
            let at_once = (f64::from(requests) / 10.0).max(1.0);
            let asked = f64::from(u32::try_from(asked).unwrap());
            // An interval is a whole number of microseconds.
            prop_assert!(asked <= allowed * 1.002 + at_once + 1.0, "{asked} of {allowed}");
            prop_assert!(asked >= (allowed - 1.0).min(allowed * 0.9), "{asked} of {allowed}");
        }
    }
}
