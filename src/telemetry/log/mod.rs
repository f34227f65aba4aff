//! Sets up the log: one line per event, on standard error.
//!
//! Standard output belongs to the output of commands. Lines about an event, task or rule carry the
//! fields `event_id`, `task_id` and `rule`. Nothing waits for the log or fails because of it: its
//! own thread writes the lines, and counts those that are lost.

mod filter;
mod json;
mod line;
mod once_per_minute;
mod queue;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use self::line::Escapes;
pub use self::once_per_minute::OncePerMinute;
pub use self::queue::{Log, lost};

pub const DEFAULT_FILTER: &str = "info";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "log filter {filter:?}: {reason}; write a level ({levels}), or target=level pairs with \
         one of the targets {targets}, as in info,aftertake::worker=debug",
        levels = filter::LEVELS.join(", "),
        targets = filter::targets(),
    )]
    Filter { filter: String, reason: String },
    #[error("log: {0}")]
    AlreadySet(#[from] Box<dyn std::error::Error + Send + Sync>),
    #[error("log: {0}")]
    NoThread(io::Error),
}

/// Starts logging as text; coloured only on a terminal.
pub fn text(filter: &str) -> Result<Log, LogError> {
    let filter = parsed(filter)?;
    let ansi = io::stderr().is_terminal();
    let escapes = if ansi { Escapes::Colours } else { Escapes::All };
    let (log, lines) = queue::start(standard_error(), escapes).map_err(LogError::NoThread)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_ansi(ansi)
        .with_span_events(FmtSpan::NONE)
        .log_internal_errors(false)
        .try_init()?;
    log_crashes();
    Ok(log)
}

/// Starts logging as JSON: one object per line, fields at the top level.
pub fn json(filter: &str) -> Result<Log, LogError> {
    let filter = parsed(filter)?;
    let (log, lines) = queue::start(standard_error(), Escapes::All).map_err(LogError::NoThread)?;
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .event_format(json::Json)
        .with_env_filter(filter)
        .with_writer(lines)
        .try_init()?;
    log_crashes();
    Ok(log)
}

/// A separate handle, so that other writers to standard error do not wait for a lock that the log's
/// thread holds.
fn standard_error() -> Option<File> {
    let handle = io::stderr().as_fd().try_clone_to_owned();
    handle.ok().map(File::from)
}

/// Logs panics. The standard library would write to standard error itself and block if nobody reads
/// it. A message built at run time may contain a secret, so only constant ones are logged.
fn log_crashes() {
    std::panic::set_hook(Box::new(|crash| {
        let place = crash.location().map(ToString::to_string);
        let fixed = crash.payload().downcast_ref::<&'static str>();
        let thread = std::thread::current()
            .name()
            .unwrap_or("unnamed")
            .to_owned();
        tracing::error!(place, thread, reason = fixed, "crashed");
    }));
}

fn parsed(filter: &str) -> Result<EnvFilter, LogError> {
    let refused = |reason: String| LogError::Filter {
        filter: filter.to_owned(),
        reason,
    };
    filter::check(filter).map_err(refused)?;
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_is_refused_by_name_with_what_would_be_taken() {
        let error = text("debgu").unwrap_err().to_string();
        assert_eq!(
            error,
            "log filter \"debgu\": \"debgu\" is neither a level nor a target of the log; write a level (off, \
             error, warn, info, debug, trace), or target=level pairs with one of the targets aftertake, \
             aftertake::<part>, h2, hyper_util, reqwest, rustls_platform_verifier or warp, as in \
             info,aftertake::worker=debug"
        );
    }

    #[test]
    fn default_filter_is_a_filter() {
        assert!(parsed(DEFAULT_FILTER).is_ok());
    }
}
