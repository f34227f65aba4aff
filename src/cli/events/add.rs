//! `aftertake events add`: enters a callback that was lost on its way.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::story::Story;
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, OutFlags};
use crate::cli::{load, store};
use crate::config::StoreUrl;
use crate::rules::plan::plan;
use crate::store::{Arrival, Recorded};

pub(super) fn run(path: &Path, rules: &Path, url: &StoreUrl, out: OutFlags) -> Result<(), Stop> {
    let file = load::rules(rules)?;
    let event = load::event(path)?;
    let mut operator = store::operator(url)?;
    let arrival = Arrival {
        plan: plan(&file.rules, &event, 0).masked(&file.mask),
        event: Arc::new(event),
    };
    let recorded = operator.record(&arrival, &file.rules.text);
    let recorded = recorded.map_err(store::unavailable)?;
    let (new, id) = match recorded {
        Recorded::New { .. } => (true, arrival.event.id),
        Recorded::Duplicate { of } => (false, of),
    };
    let detail = operator.event(id).map_err(store::unavailable)?;
    let detail = detail.ok_or_else(|| {
        let sentence = format!("{id} was removed from {url} at once; is --retention very short?");
        Stop::say(Exit::Failed, sentence)
    })?;
    out.print(&Added {
        new,
        event: Story::of(&detail),
    })
}

/// What became of the callback: the event as it is stored now.
#[derive(Debug, Serialize)]
struct Added<'a> {
    /// Whether it was stored now, and not before.
    new: bool,
    #[serde(flatten)]
    event: Story<'a>,
}

impl Answer for Added<'_> {
    fn text(&self, width: Option<usize>) -> String {
        let told = if self.new {
            "stored now"
        } else {
            "stored before; nothing changed"
        };
        format!("{told}: {}", self.event.text(width))
    }
}
