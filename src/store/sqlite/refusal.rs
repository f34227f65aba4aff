//! Why a person's request changes nothing.

/// The store failed, or `Outcome` says why there is nothing to do.
pub(super) enum Refusal<Outcome> {
    Store(rusqlite::Error),
    Outcome(Outcome),
}

impl<Outcome> From<rusqlite::Error> for Refusal<Outcome> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

/// The outcome of a request that was carried out or refused.
pub(super) fn outcome<Outcome>(
    done: Result<Outcome, Refusal<Outcome>>,
) -> rusqlite::Result<Outcome> {
    match done {
        Ok(outcome) | Err(Refusal::Outcome(outcome)) => Ok(outcome),
        Err(Refusal::Store(error)) => Err(error),
    }
}
