//! Lists, shows, adds and replays events.

mod add;
mod details;
pub mod replay;
pub mod replay_counts;

pub use self::add::{AddError, Added, add};
pub use self::details::{EventStory, TaskIntervention};

use super::{List, ListError, cursor};
use crate::model::id::EventId;
use crate::rules::file::Lookup;
use crate::store::Unavailable;
use crate::store::lists::{EventFilter, EventRow};
use crate::store::operator::Operator;

/// Events that match the filter and are older than `before`.
pub fn list(
    store: &dyn Operator,
    filter: &EventFilter,
    limit: usize,
    before: Option<EventId>,
) -> Result<List<EventRow>, ListError<EventId>> {
    let before = cursor(before, |id| store.event_cursor(id))?;
    Ok(List::of(limit, before, |page| store.events(filter, page))?)
}

/// Everything about the event; `None` if it is not in the store.
pub fn show(
    store: &dyn Operator,
    id: EventId,
    lookup: &dyn Lookup,
) -> Result<Option<EventStory>, Unavailable> {
    let detail = store.event(id)?;
    Ok(detail.map(|detail| EventStory::new(detail, lookup)))
}
