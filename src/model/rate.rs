//! Spreads the requests of a destination over time.
//!
//! The generic cell rate algorithm: one number says when the next request is due if all are spread
//! evenly. Time is an argument; nothing waits here.

use std::time::Duration;

use super::destination::Rate;
use super::moment::Moment;

/// Limits a rate, with bursts of at most a tenth of a second's requests: a late request can catch
/// up, and a receiver's own limit is not exceeded.
#[derive(Debug)]
pub struct Limiter {
    interval: i64,
    /// How many nanoseconds before its even time a request may run.
    ahead: i64,
    /// When the next request is due if spread evenly, in nanoseconds.
    next: i64,
}

impl Limiter {
    pub fn new(rate: Rate) -> Self {
        let interval = rate.per.as_nanos() / u128::from(rate.requests.max(1));
        let interval = i64::try_from(interval).unwrap_or(i64::MAX);
        Self {
            interval,
            ahead: (100_000_000 - interval).max(0),
            next: 0,
        }
    }

    /// Takes one request, or says when to ask again.
    pub fn take(&mut self, now: Moment) -> Result<(), Moment> {
        let now = nanos(now);
        let due = self.next.max(now);
        let earliest = due.saturating_sub(self.ahead);
        if earliest > now {
            let earliest = u64::try_from(earliest).unwrap_or(0);
            return Err(Moment::after(Duration::from_nanos(earliest)));
        }
        self.next = due.saturating_add(self.interval);
        Ok(())
    }

    /// Returns a request that was taken and not made.
    pub fn give_back(&mut self) {
        self.next = self.next.saturating_sub(self.interval);
    }
}

fn nanos(moment: Moment) -> i64 {
    let running = moment.since(Moment::default());
    i64::try_from(running.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limiter(requests: u32, per: Duration) -> Limiter {
        Limiter::new(Rate { requests, per })
    }

    fn at(millis: u64) -> Moment {
        Moment::after(Duration::from_millis(1_000 + millis))
    }

    /// How many requests pass at `now`.
    fn pass(limiter: &mut Limiter, now: Moment) -> usize {
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
        // One every 3.333 ms: the 31st may go after 3.333 ms.
        let mut limiter = limiter(300, Duration::from_secs(1));
        assert_eq!(pass(&mut limiter, at(0)), 30);
        let next = limiter.take(at(0)).unwrap_err();
        assert_eq!(next.since(at(0)), Duration::from_nanos(3_333_323));
        assert_eq!(pass(&mut limiter, next), 1);
    }

    #[test]
    fn request_that_was_not_made_counts_for_nothing() {
        let mut limiter = limiter(1, Duration::from_mins(1));
        assert_eq!(pass(&mut limiter, at(0)), 1);
        limiter.give_back();
        assert_eq!(pass(&mut limiter, at(0)), 1);
    }

    proptest! {
        #[test]
        fn rate_is_kept_and_used_up_whenever_somebody_asks(requests in 1..2000_u32, steps in 1..300_u64) {
            let mut limiter = limiter(requests, Duration::from_secs(1));
            let asked: usize = (0..steps).map(|step| pass(&mut limiter, at(step * 10))).sum();
            let allowed = f64::from(requests) * f64::from(u32::try_from(steps - 1).unwrap()) / 100.0;
            let at_once = (f64::from(requests) / 10.0).max(1.0);
            let asked = f64::from(u32::try_from(asked).unwrap());
            prop_assert!(asked <= allowed + at_once + 1.0, "{asked} of {allowed}");
            prop_assert!(asked >= (allowed - 1.0).min(allowed * 0.9), "{asked} of {allowed}");
        }
    }
}
