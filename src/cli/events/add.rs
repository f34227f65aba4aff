//! `aftertake events add`: enters a callback that never arrived.

use std::path::Path;

use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, OutFlags};
use crate::cli::{load, store};
use crate::config::{Environment, StoreUrl};
use crate::model::recorder::Recorder;
use crate::operate::events::{self, AddError, Added};

pub(super) fn run(
    (event, from): (&Path, Recorder),
    rules: &Path,
    url: &StoreUrl,
    out: OutFlags,
) -> Result<(), Stop> {
    let file = load::rules(rules)?;
    let event = load::event(event, from)?;
    let added = events::add(&mut *store::operator(url)?, &file, event, &Environment);
    out.print(&added.map_err(|error| match error {
        AddError::Unavailable(error) => store::unavailable(error),
        AddError::Removed(id) => {
            let sentence =
                format!("{id} was removed from {url} at once; is --retention very short?");
            Stop::with_message(Exit::Failed, sentence)
        }
    })?)
}

impl Answer for Added {
    fn text(&self, width: Option<usize>) -> String {
        let stored = if self.new {
            "stored now"
        } else {
            "stored before; nothing changed"
        };
        format!("{stored}: {}", self.event.text(width))
    }
}
