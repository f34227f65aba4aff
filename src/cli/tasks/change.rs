//! `aftertake tasks retry` and `aftertake tasks cancel`, by id or by filter.

use serde::Serialize;

use super::{Which, filter_flags};
use crate::cli::bulk::{self, counted};
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, print_progress};
use crate::cli::store;
use crate::clock::System;
use crate::model::intervention::Act;
use crate::operate::bulk::{Bulk, BulkRefused};
use crate::operate::tasks::change::{Change, Changing, TaskAct};
use crate::operate::tasks::counts::TaskCounts;
use crate::store::Unavailable;
use crate::store::lists::TaskFilter;

pub(super) const fn verb(act: Act) -> &'static str {
    match act {
        Act::Retried => "retry",
        Act::Cancelled => "cancel",
        Act::Replayed => "replay",
    }
}

/// Changes the named tasks. If the store fails, prints what was done before.
pub(super) fn named(act: TaskAct<'_>, which: &Which) -> Result<Exit, Stop> {
    let mut store = store::operator(&which.store.store)?;
    let by = which.bulk.by();
    let mut changing = Changing {
        store: &mut *store,
        act,
        mode: which.bulk.mode(&by),
        clock: &System,
    };
    let Bulk { answer, stopped } = changing.named(&which.ids);
    let failed = stopped.map(|error| self::stopped(answer.len(), error));
    if which.bulk.dry_run {
        let counts = changing.counted(&answer).map_err(store::unavailable)?;
        which.out.print(&counts)?;
        return failed.map_or(Ok(bulk::exit_of(&counts.refused)), Err);
    }
    let changes = Changes(answer);
    which.out.print(&changes)?;
    match failed.or_else(|| changes.refusal()) {
        Some(stop) => Err(stop),
        None => Ok(Exit::Fine),
    }
}

/// Changes the tasks that match the filter and are in `state`, or in the states that the act is
/// for.
pub(super) fn matching(
    act: TaskAct<'_>,
    which: &Which,
    state: Option<String>,
) -> Result<Exit, Stop> {
    let filter = act.meant(TaskFilter {
        states: state.into_iter().collect(),
        ..which.filter.filter()?
    });
    let states = filter.states.join(" or ");
    let mut store = store::operator(&which.store.store)?;
    let by = which.bulk.by();
    let mut changing = Changing {
        store: &mut *store,
        act,
        mode: which.bulk.mode(&by),
        clock: &System,
    };
    let changed = changing.matching(filter, which.bulk.consent(), &mut progress);
    let Bulk { answer, stopped } = changed.map_err(|refused| match refused {
        BulkRefused::Unavailable(error) => store::unavailable(error),
        BulkRefused::Everything(count) => {
            let (verb, count) = (verb(act.name()), counted(count, "task"));
            let would = format!("{verb} every {states} task, {count} now");
            bulk::refuse_everything(&would, filter_flags::FLAGS)
        }
    })?;
    which.out.print(&answer)?;
    match stopped {
        Some(error) => Err(self::stopped(answer.matched, error)),
        None => Ok(bulk::exit_of(&answer.refused)),
    }
}

fn progress(counts: &TaskCounts) {
    let so_far = counted(counts.matched, "task");
    if let Some(last) = counts.last {
        print_progress(&format!("{so_far} so far, up to {last}"));
    }
}

fn stopped(done: usize, error: Unavailable) -> Stop {
    let rest = "run the same command again for the rest";
    bulk::stopped(&counted(done, "task"), rest, error)
}

#[derive(Debug, Serialize)]
struct Changes(Vec<Change>);

impl Changes {
    fn refusal(&self) -> Option<Stop> {
        let refused = self.0.iter().filter(|change| !change.changed);
        let lines: Vec<String> = refused.map(line).collect();
        (!lines.is_empty()).then(|| Stop::with_message(Exit::Failed, lines.join("\n")))
    }
}

fn line(change: &Change) -> String {
    format!("{} {}", change.id, change.message)
}

impl Answer for Changes {
    fn text(&self, _: Option<usize>) -> String {
        let changed = self.0.iter().filter(|change| change.changed);
        changed.map(|change| line(change) + "\n").collect()
    }
}
