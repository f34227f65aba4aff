//! Turns the HTTP client's errors into failures with a kind and a text.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use super::client::CONNECT_TIMEOUT;
use super::resolve::Refused;
use super::{NoAnswer, To};
use crate::model::failure::{Failure, FailureKind};

/// The failure for a client error. `to` displays destination and origin.
pub(super) fn no_answer(error: &reqwest::Error, to: &To<'_>) -> NoAnswer {
    if let Some(refused) = layers(error).find_map(|layer| layer.downcast_ref::<Refused>()) {
        return NoAnswer::unsent(forbidden(refused, to));
    }
    let why = causes(error);
    let unsent = error.is_connect() || error.is_builder();
    let failure = match (error.is_connect(), error.is_timeout()) {
        (true, true) => Failure::new(
            FailureKind::Timeout,
            format!("{to}: no connection within {}", words(CONNECT_TIMEOUT)),
        ),
        (true, false) => Failure::new(
            FailureKind::Unreachable,
            format!("{to}: cannot connect: {why}"),
        ),
        _ if error.is_builder() => Failure::new(
            FailureKind::Invalid,
            format!("{to}: request cannot be made: {why}"),
        ),
        _ => Failure::new(
            FailureKind::Unknown,
            format!("{to}: sent, but no answer could be read: {why}"),
        ),
    };
    NoAnswer { failure, unsent }
}

pub(super) fn too_slow(timeout: Duration, to: &To<'_>) -> Failure {
    let reason = format!("{to}: no complete answer within {}", words(timeout));
    Failure::new(FailureKind::Timeout, reason)
}

/// The failure of a destination with a forbidden address.
pub(super) fn forbidden(refused: &Refused, to: &To<'_>) -> Failure {
    let reason =
        format!("{to} {refused}, which is refused unless the destination says allow_private: true");
    Failure::new(FailureKind::Forbidden, reason)
}

/// The causes of an error, outermost first. Leaves out the error itself, which contains the whole
/// URL, and, if there are deeper causes, the next one, which only names a part of the client.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = layers(error).map(ToString::to_string).collect();
    texts.dedup();
    match texts.as_slice() {
        [] => "no cause given".to_owned(),
        [only] => only.clone(),
        [_, deeper @ ..] => deeper.join(": "),
    }
}

pub(super) fn caused_by<T: Error + 'static>(error: &reqwest::Error) -> bool {
    layers(error).any(<dyn Error>::is::<T>)
}

fn layers(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(error.source(), |layer| (**layer).source())
}

fn words(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
