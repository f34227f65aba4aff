//! Limits log lines that any caller can cause to one per minute.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

const MINUTE: Duration = Duration::from_mins(1);

/// Lets one line per minute through, and counts the others.
#[derive(Debug)]
pub struct OncePerMinute {
    every: Duration,
    since: Mutex<Since>,
}

#[derive(Debug, Default)]
struct Since {
    last: Option<Stopwatch>,
    left_out: u64,
}

impl Default for OncePerMinute {
    fn default() -> Self {
        Self::every(MINUTE)
    }
}

impl OncePerMinute {
    fn every(every: Duration) -> Self {
        Self {
            every,
            since: Mutex::default(),
        }
    }

    /// If a line may be logged now, how many were left out since the last one.
    pub fn line(&self) -> Option<u64> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.last.is_some_and(|last| last.elapsed() < self.every) {
            since.left_out += 1;
            return None;
        }
        since.last = Some(Stopwatch::start());
        Some(std::mem::take(&mut since.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_between_are_counted_and_told_with_the_next_one() {
        let mut limited = OncePerMinute::default();
        assert_eq!([(); 3].map(|()| limited.line()), [Some(0), None, None]);
        limited.every = Duration::ZERO;
        assert_eq!([(); 2].map(|()| limited.line()), [Some(2), Some(0)]);
    }
}
