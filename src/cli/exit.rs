//! Exit codes, and errors that carry one.
//!
//! Codes from 65 on are those of `sysexits.h`. Scripts use them, and service managers, which must
//! not restart after an error that a restart cannot fix.

use std::fmt;
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Fine = 0,
    /// A check or a task failed.
    Failed = 1,
    Usage = 2,
    /// A rules or event file is wrong, an unset `${VAR}` included.
    BadInput = 65,
    /// A rules or event file, or the store, cannot be read.
    NoInput = 66,
    /// A port is taken, the store is already served or busy, the network is down: trying again may
    /// help.
    Unavailable = 69,
    /// A part of the service crashed: a restart helps.
    Crashed = 70,
    /// Settings contradict each other, or the store is not usable: a newer version's, not a store,
    /// malformed, or with another store's log.
    BadSettings = 78,
}

pub(super) const HELP: &str = "\
Exit codes:
   0  fine
   1  a check or a task failed
   2  usage
  65  a bad rules or event file, an unset ${VAR} included
  66  a file that cannot be read, or a store that does not exist
  69  port taken, store already served or busy, disk full, network unavailable: it may pass
  70  a part of the service has crashed; starting it again helps
  78  bad settings, a store from a newer version, malformed, with another's log or replaced while it is served, or a file that
      is no store";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, and its exit code.
#[derive(Debug)]
pub struct Stop {
    pub exit: Exit,
    error: anyhow::Error,
}

impl Stop {
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    pub fn with_message(exit: Exit, sentence: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(sentence.into()))
    }
}

/// One line, with all causes. Only a refused rules file has several: its snippets, each of which
/// begins with `error:`.
impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:#}", self.error);
        if text.starts_with("error") {
            f.write_str(&text)
        } else {
            write!(f, "error: {text}")
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_stand_in_one_line() {
        let error = std::fs::read("/does/not/exist").context("read event file /does/not/exist");
        let stop = Stop::new(Exit::NoInput, error.unwrap_err());
        assert_eq!(
            stop.to_string(),
            "error: read event file /does/not/exist: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn help_names_every_code() {
        for exit in [
            Exit::Fine,
            Exit::Failed,
            Exit::Usage,
            Exit::BadInput,
            Exit::NoInput,
            Exit::Unavailable,
            Exit::Crashed,
            Exit::BadSettings,
        ] {
            assert!(HELP.contains(&format!("\n{:4}  ", exit as u8)), "{exit:?}");
        }
    }
}
