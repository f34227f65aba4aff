//! Retry delays, and when to give up.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A random number in `[0, 1)` from `crate::clock`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// The greatest value.
    pub const MOST: Self = Self(1.0 - f64::EPSILON);

    /// Clamps `share` into `[0, 1)`.
    pub fn new(share: f64) -> Self {
        if share.is_nan() {
            Self(0.0)
        } else {
            Self(share.clamp(0.0, Self::MOST.0))
        }
    }
}

/// How much of a delay is random, so that many tasks do not retry at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JitterMode {
    None,
    /// Between half of the delay and all of it.
    Equal,
    /// Between zero and the delay.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    pub first: Duration,
    /// Multiplies each further delay; at least 1.
    pub factor: f64,
    pub longest: Duration,
    pub jitter: JitterMode,
    /// Tries of one step, including the first; at least 1.
    pub tries: u32,
    /// No retry later than this after the event's arrival or the last `tasks retry`.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            factor: 2.0,
            longest: Duration::from_mins(30),
            jitter: JitterMode::Full,
            tries: 20,
            give_up_after: Duration::from_hours(72),
        }
    }
}

impl RetryPolicy {
    /// The delay after try number `tries` failed, without jitter:
    /// `min(longest, first × factor^(tries-1))`.
    pub fn base_delay(&self, tries: u32) -> Duration {
        let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        // An overflowing power is infinite, and `first` may be zero: 0 × ∞ is NaN.
        Duration::try_from_secs_f64(seconds).map_or(self.longest, |delay| delay.min(self.longest))
    }

    /// The delay after try number `tries` failed.
    pub fn delay(&self, tries: u32, jitter: Jitter) -> Duration {
        self.spread(self.base_delay(tries), jitter)
    }

    /// What is left to chance of a delay.
    pub fn spread(&self, base: Duration, jitter: Jitter) -> Duration {
        match self.jitter {
            JitterMode::None => base,
            JitterMode::Equal => base / 2 + (base / 2).mul_f64(jitter.0),
            JitterMode::Full => base.mul_f64(jitter.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = RetryPolicy> {
        let modes = prop_oneof![
            Just(JitterMode::None),
            Just(JitterMode::Equal),
            Just(JitterMode::Full)
        ];
        (0..=u64::MAX / 2, 1.0..1e6, 0..=u64::MAX / 2, modes).prop_map(
            |(first, factor, longest, jitter)| RetryPolicy {
                first: Duration::from_millis(first),
                factor,
                longest: Duration::from_millis(longest),
                jitter,
                ..RetryPolicy::default()
            },
        )
    }

    proptest! {
        #[test]
        fn delay_is_bounded_and_base_never_shrinks(policy in policy(), tries in 1..u32::MAX, share in 0.0..1.0) {
            let delay = policy.delay(tries, Jitter::new(share));
            prop_assert!(delay <= policy.base_delay(tries));
            prop_assert!(policy.base_delay(tries) <= policy.longest);
            prop_assert!(policy.base_delay(tries) <= policy.base_delay(tries.saturating_add(1)));
        }
    }

    #[test]
    fn jitter_is_a_share_whatever_it_is_made_of() {
        for share in [f64::NEG_INFINITY, -0.5, 0.0, 0.5, 1.0, 2.0, f64::NAN] {
            assert!((0.0..1.0).contains(&Jitter::new(share).0), "{share}");
        }
    }

    #[test]
    fn default_delays_double_up_to_half_an_hour() {
        let policy = RetryPolicy {
            jitter: JitterMode::None,
            ..RetryPolicy::default()
        };
        let delays =
            [1, 2, 3, 10, 11, 20].map(|tries| policy.delay(tries, Jitter::new(0.5)).as_secs());
        assert_eq!(delays, [2, 4, 8, 1024, 1800, 1800]);
    }

    #[test]
    fn jitter_takes_its_share() {
        let equal = RetryPolicy {
            jitter: JitterMode::Equal,
            ..RetryPolicy::default()
        };
        assert_eq!(
            equal.delay(1, Jitter::new(0.5)),
            Duration::from_millis(1500)
        );
        assert_eq!(
            RetryPolicy::default().delay(1, Jitter::new(0.25)),
            Duration::from_millis(500)
        );
    }
}
