//! How the process ends: the exit codes, and errors that know theirs.
//!
//! The numbers from 65 on are those of `sysexits.h`. They are for scripts and for
//! service managers, which must not restart what a restart cannot mend.

use std::fmt;
use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Fine = 0,
    /// A check or a task failed; what was asked for is not so.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// A rules or event file is wrong, an unset `${VAR}` included.
    BadInput = 65,
    /// A rules or event file, or the store, cannot be read.
    NoInput = 66,
    /// A port is taken, the store is served already or busy, the network is away:
    /// trying again may help.
    Unavailable = 69,
    /// A part of the service has crashed: starting it again helps.
    Crashed = 70,
    /// Settings do not fit together, or the store cannot be used as it is: one of a newer
    /// version, something else's file, malformed, or with the log of another.
    BadSettings = 78,
}

/// The exit codes, as `--help` shows them.
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

/// Why a command could not do its work, and how the process ends for it.
#[derive(Debug)]
pub struct Stop {
    pub exit: Exit,
    error: anyhow::Error,
}

impl Stop {
    /// Ends with `exit` and this error.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }

    /// Ends with `exit` and this sentence.
    pub fn say(exit: Exit, sentence: impl Into<String>) -> Self {
        Self::new(exit, anyhow::Error::msg(sentence.into()))
    }
}

/// One line, however many causes it has. A refused rules file is the exception: it
/// comes with its snippets, each of which begins with `error:` itself.
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
