//! Enters a callback that never arrived.

use std::sync::Arc;

use serde::Serialize;

use super::EventStory;
use crate::model::event::Event;
use crate::model::id::EventId;
use crate::rules::file::{Lookup, RulesFile};
use crate::store::operator::Operator;
use crate::store::{Arrival, Recorded, Unavailable};

#[derive(Debug, Serialize)]
pub struct Added {
    /// False if it was in the store already.
    pub new: bool,
    #[serde(flatten)]
    pub event: EventStory,
}

#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Retention is so short that the event was deleted at once.
    #[error("{0} was removed at once")]
    Removed(EventId),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Plans the event as the service would, and stores it with its tasks.
pub fn add(
    store: &mut dyn Operator,
    file: &RulesFile,
    event: Event,
    lookup: &dyn Lookup,
) -> Result<Added, AddError> {
    let arrival = Arrival {
        plan: file.plan(&event, 0),
        event: Arc::new(event),
    };
    let (new, id) = match store.record(&arrival, &file.rules.text)? {
        Recorded::New { .. } => (true, arrival.event.id),
        Recorded::Duplicate { of } => (false, of),
    };
    let detail = store.event(id)?.ok_or(AddError::Removed(id))?;
    let event = EventStory::new(detail, lookup);
    Ok(Added { new, event })
}
