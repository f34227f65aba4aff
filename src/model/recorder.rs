//! Names of the supported recorders. Their formats are in `crate::recorder`.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recorder {
    /// Huawei Cloud SparkRTC.
    #[default]
    SparkRtc,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRecorder {
    #[error("{0:?} is no recorder; known are {names}", names = Recorder::names())]
    Named(String),
    #[error(
        "recorder {0} is not known to this version of aftertake; install the one that stored the event, or a later one"
    )]
    Numbered(i64),
}

impl Recorder {
    pub const ALL: [Self; 1] = [Self::SparkRtc];

    /// The name in the callback's path, in the rules file and in flags.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SparkRtc => "sparkrtc",
        }
    }

    /// The number in the store. Never reuse one for another recorder.
    pub const fn number(self) -> i64 {
        match self {
            Self::SparkRtc => 0,
        }
    }

    /// The recorder with this stored number.
    pub fn from_number(number: i64) -> Result<Self, NoRecorder> {
        let mut all = Self::ALL.into_iter();
        all.find(|recorder| recorder.number() == number)
            .ok_or(NoRecorder::Numbered(number))
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Recorder {
    type Err = NoRecorder;

    fn from_str(name: &str) -> Result<Self, NoRecorder> {
        let mut all = Self::ALL.into_iter();
        all.find(|recorder| recorder.name() == name)
            .ok_or_else(|| NoRecorder::Named(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorder_is_found_by_its_name_and_by_its_number() {
        for recorder in Recorder::ALL {
            assert_eq!(recorder.name().parse(), Ok(recorder));
            assert_eq!(Recorder::from_number(recorder.number()), Ok(recorder));
        }
        let unknown = "SparkRTC".parse::<Recorder>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "\"SparkRTC\" is no recorder; known are sparkrtc"
        );
        assert!(Recorder::from_number(-1).is_err());
    }
}
