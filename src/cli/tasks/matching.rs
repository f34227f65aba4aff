//! `aftertake tasks retry` and `aftertake tasks cancel` by filter: in chunks, beside the
//! service.

use super::change::Act;
use super::tally::Tally;
use super::{Which, pick};
use crate::cli::bulk::{self, counted};
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::tell;
use crate::cli::store;
use crate::model::id::TaskId;
use crate::model::intervention::Mode;
use crate::store::Unavailable;
use crate::store::lists::{TaskFilter, TaskRow};
use crate::store::operator::{CHUNK, Operator};

/// Changes the tasks in `state`, or in those that the act means, that the filter means.
pub(super) fn matching(act: &Act, which: &Which, state: Option<&str>) -> Result<Exit, Stop> {
    let states = match state {
        Some(state) => vec![state.to_owned()],
        None => act.states().iter().copied().map(str::to_owned).collect(),
    };
    let filter = TaskFilter {
        states,
        ..which.pick.filter()?
    };
    let mut operator = store::operator(&which.store.store)?;
    if which.pick.is_empty() && which.bulk.needs_yes() {
        let count = count(&*operator, &filter).map_err(store::unavailable)?;
        let states = filter.states.join(" or ");
        let would = format!(
            "{} every {states} task, {} now",
            act.verb(),
            counted(count, "task")
        );
        return Err(bulk::refuse_everything(&would, pick::FLAGS));
    }
    let by = which.bulk.by();
    let mode = which.bulk.mode(&by);
    let mut tally = Tally::of(act, mode);
    let walked = go(&mut *operator, act, filter, mode, &mut tally);
    which.out.print(&tally)?;
    walked.map_err(|error| {
        let done = counted(tally.matched(), "task");
        bulk::stopped(&done, "the same command goes on with the others", error)
    })?;
    Ok(tally.exit())
}

fn count(operator: &dyn Operator, filter: &TaskFilter) -> Result<usize, Unavailable> {
    let mut walk = operator.walk_tasks(filter.clone())?;
    let mut count = 0;
    loop {
        let tasks = operator.next_tasks(&mut walk)?;
        if tasks.is_empty() {
            return Ok(count);
        }
        count += tasks.len();
    }
}

/// A task that is in another state by the time it is reached is not meant any more.
fn go(
    operator: &mut dyn Operator,
    act: &Act,
    filter: TaskFilter,
    mode: Mode<'_>,
    tally: &mut Tally,
) -> Result<(), Unavailable> {
    let mut walk = operator.walk_tasks(filter)?;
    loop {
        let tasks = operator.next_tasks(&mut walk)?;
        let Some(last) = tasks.last() else {
            return Ok(());
        };
        let few = |tasks: &[TaskRow]| {
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            act.run(operator, &ids, mode)
        };
        bulk::in_steps(&tasks, mode, few, |tasks, changes| {
            let changes = tasks.iter().zip(&changes);
            for (task, change) in changes.filter(|(_, change)| !change.is_settled) {
                tally.add(Some(task), change);
            }
        })?;
        if tasks.len() == CHUNK {
            let so_far = counted(tally.matched(), "task");
            tell(&format!("{so_far} so far, up to {}", last.id));
        }
    }
}
