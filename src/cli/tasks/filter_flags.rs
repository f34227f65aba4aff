//! The filter flags of commands that take tasks.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::args::{Parsed, filled};
use crate::cli::exit::Stop;
use crate::cli::time_flags::TimeFlags;
use crate::clock;
use crate::model::failure::FailureKind;
use crate::store::lists::TaskFilter;

/// The flags as errors list them.
pub(super) const FLAGS: &str = "--rule, --room, --since, --until, --failure or --destination";

#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct FilterFlags {
    /// Only tasks of this rule
    #[arg(long, value_parser = Parsed::by(filled))]
    rule: Option<String>,
    /// Only tasks of this room
    #[arg(long, value_parser = Parsed::by(filled))]
    room: Option<String>,
    #[command(flatten)]
    time: TimeFlags,
    /// Only tasks whose last failure is of this kind
    #[arg(long, value_name = "KIND", value_parser = failure_kind())]
    failure: Option<FailureKind>,
    /// Only tasks whose next step goes to this destination
    #[arg(long, value_name = "NAME", value_parser = Parsed::by(filled))]
    destination: Option<String>,
}

fn failure_kind() -> impl TypedValueParser<Value = FailureKind> {
    let names = FailureKind::ALL.iter().map(|kind| kind.name());
    PossibleValuesParser::new(names).try_map(|name| {
        let kind = FailureKind::ALL.iter().find(|kind| kind.name() == name);
        kind.copied().ok_or("no such kind")
    })
}

impl FilterFlags {
    pub(super) fn filter(&self) -> Result<TaskFilter, Stop> {
        let (since, until) = self.time.bounds(clock::now())?;
        Ok(TaskFilter {
            rule: self.rule.clone(),
            room: self.room.clone(),
            since,
            until,
            failure: self.failure,
            destination: self.destination.clone(),
            ..TaskFilter::default()
        })
    }
}
