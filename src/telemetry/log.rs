//! Sets up the log: one line an event, on standard error.
//!
//! Standard output belongs to what a command prints. Lines of one event, task or rule
//! carry the fields `event_id`, `task_id` and `rule`, so that they can be found together.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// The filter that is used when the operator names none.
pub const DEFAULT_FILTER: &str = "info";

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log filter {filter:?}: {source}; write a level such as info, or target=level pairs")]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("log: {0}")]
    AlreadySet(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// Logs lines for people from now on. Coloured only on a terminal.
pub fn text(filter: &str) -> Result<(), LogError> {
    tracing_subscriber::fmt()
        .with_env_filter(parsed(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_span_events(FmtSpan::NONE)
        .try_init()?;
    Ok(())
}

/// Logs one JSON object a line from now on, its fields at the top level.
pub fn json(filter: &str) -> Result<(), LogError> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(parsed(filter)?)
        .with_writer(std::io::stderr)
        .try_init()?;
    Ok(())
}

fn parsed(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| LogError::Filter {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_that_is_no_level_is_refused_by_name() {
        let error = text("aftertake=loud").unwrap_err().to_string();
        assert!(
            error.starts_with("log filter \"aftertake=loud\": "),
            "{error}"
        );
    }

    #[test]
    fn default_filter_is_a_filter() {
        assert!(parsed(DEFAULT_FILTER).is_ok());
    }
}
