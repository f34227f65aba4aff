//! Opens the store, and maps its errors to exit codes.

use std::fmt::Display;

use super::exit::{Exit, Stop};
use crate::config::StoreUrl;
use crate::operate::ListError;
use crate::store::Unavailable;
use crate::store::operator::Operator;
use crate::store::sqlite::{OpenError, SqliteOperator};

pub(super) fn operator(url: &StoreUrl) -> Result<Box<dyn Operator>, Stop> {
    Ok(Box::new(sqlite(url)?))
}

pub(super) fn sqlite(url: &StoreUrl) -> Result<SqliteOperator, Stop> {
    let StoreUrl::Sqlite(path) = url;
    SqliteOperator::open(path).map_err(|error| Stop::new(exit_of(&error), error))
}

pub(super) fn unavailable(error: Unavailable) -> Stop {
    Stop::new(exit_of_use(&error), error)
}

pub(super) fn not_listed<Id: Display>(error: ListError<Id>) -> Stop {
    match error {
        ListError::Unavailable(error) => unavailable(error),
        ListError::Unknown(_) => Stop::with_message(Exit::Failed, error.to_string()),
    }
}

pub(super) const fn exit_of_use(error: &Unavailable) -> Exit {
    if error.is_malformed {
        Exit::BadSettings
    } else {
        Exit::Unavailable
    }
}

pub(super) const fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Served(_) | OpenError::Held { .. } | OpenError::Away { .. } => Exit::Unavailable,
        OpenError::Newer { .. }
        | OpenError::Older(_)
        | OpenError::Unreleased(_)
        | OpenError::Foreign(_)
        | OpenError::ForeignLog(_)
        | OpenError::LogAlone(_)
        | OpenError::Replaced { .. }
        | OpenError::Linked { .. }
        | OpenError::Mounted(_)
        | OpenError::Malformed { .. } => Exit::BadSettings,
        OpenError::Missing(_)
        | OpenError::DeadLink(_)
        | OpenError::NotAllowed { .. }
        | OpenError::Unusable { .. } => Exit::NoInput,
    }
}
