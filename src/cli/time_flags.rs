//! Times on the command line: a timestamp, or a duration before now.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::args::Parsed;
use super::exit::{Exit, Stop};
use crate::config;
use crate::model::time::Timestamp;

/// A point in time, absolute or relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(Timestamp),
    Ago(Duration),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a time like 2026-03-02T01:00:00Z, or a duration back from now like 2h or 3d")]
pub(super) struct InvalidMoment(String);

impl Moment {
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => now.minus(duration),
        }
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let time = text.parse().map(Self::At).ok();
        time.or_else(|| config::duration(text).map(Self::Ago).ok())
            .ok_or_else(|| InvalidMoment(text.to_owned()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(time) => time.fmt(f),
            Self::Ago(duration) => humantime::format_duration(*duration).fmt(f),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct TimeFlags {
    /// Only where the callback arrived at this time or later: 2026-03-02T01:00:00Z, or 2h for
    /// two hours ago
    #[arg(long, value_name = "TIME", value_parser = Parsed::of::<Moment>())]
    since: Option<Moment>,
    /// Only where the callback arrived before this time
    #[arg(long, value_name = "TIME", value_parser = Parsed::of::<Moment>())]
    until: Option<Moment>,
}

impl TimeFlags {
    /// Start (inclusive) and end (exclusive).
    pub(super) fn bounds(
        self,
        now: Timestamp,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Stop> {
        let time = |moment: Option<Moment>| moment.map(|moment| moment.from(now));
        let bounds = (time(self.since), time(self.until));
        match (self.since.zip(self.until), bounds) {
            (Some((since, until)), (Some(from), Some(to))) if from >= to => {
                let sentence = format!("--since {since} is not before --until {until}");
                Err(Stop::with_message(Exit::Usage, sentence))
            }
            _ => Ok(bounds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

    #[test]
    fn moment_is_a_time_or_a_duration_back_from_now() {
        for (text, time) in [
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-03-01T08:00:00+08:00", "2026-03-01T00:00:00Z"),
            ("2h", "2026-03-01T23:00:00Z"),
            ("1d 1h", "2026-03-01T00:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.from(NOW).to_string(), time, "{text}");
        }
        for text in ["", "yesterday", "2026-03-01", "-2h", "2"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_that_leave_no_time_are_refused() {
        let flags = |since: &str, until: &str| TimeFlags {
            since: since.parse().ok(),
            until: until.parse().ok(),
        };
        assert!(flags("2h", "1h").bounds(NOW).is_ok());
        assert_eq!(
            flags("1h", "2h").bounds(NOW).unwrap_err().to_string(),
            "error: --since 1h is not before --until 2h"
        );
    }
}
