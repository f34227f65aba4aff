//! `aftertake tasks retry` and `aftertake tasks cancel` by filter: in chunks, beside the
//! service.

use super::change::Act;
use super::tally::Tally;
use super::{Which, pick};
use crate::cli::bulk::{self, Run, counted};
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::tell;
use crate::cli::store;
use crate::model::id::TaskId;
use crate::store::Unavailable;
use crate::store::sqlite::{CHUNK, SqliteOperator, TaskRow, TaskWalk};

/// Changes the tasks in `state`, or in those that the act means, that the filter means.
pub(super) fn matching(act: &Act, which: &Which, state: Option<&str>) -> Result<Exit, Stop> {
    let filter = which.pick.filter()?;
    let mut operator = store::operator(&which.store.store)?;
    let states = state.as_slice();
    let states = if states.is_empty() {
        act.states()
    } else {
        states
    };
    let walk = |operator: &SqliteOperator| operator.walk_tasks(filter.clone(), states);
    if which.pick.is_empty() && which.bulk.needs_yes() {
        let mut walk = walk(&operator).map_err(store::unavailable)?;
        let count = count(&operator, &mut walk).map_err(store::unavailable)?;
        let states = states.join(" or ");
        let would = format!(
            "{} every {states} task, {} now",
            act.verb(),
            counted(count, "task")
        );
        return Err(bulk::refuse_everything(&would, pick::FLAGS));
    }
    let by = which.bulk.by();
    let run = which.bulk.run(&by);
    let mut tally = Tally::of(act, run);
    let walked =
        walk(&operator).and_then(|mut walk| go(&mut operator, act, &mut walk, run, &mut tally));
    which.out.print(&tally)?;
    walked.map_err(|error| {
        let done = counted(tally.matched(), "task");
        bulk::stopped(&done, "the same command goes on with the others", error)
    })?;
    Ok(tally.exit())
}

fn count(operator: &SqliteOperator, walk: &mut TaskWalk) -> Result<usize, Unavailable> {
    let mut count = 0;
    loop {
        let tasks = operator.next_tasks(walk)?;
        if tasks.is_empty() {
            return Ok(count);
        }
        count += tasks.len();
    }
}

/// A task that is in another state by the time it is reached is not meant any more.
fn go(
    operator: &mut SqliteOperator,
    act: &Act,
    walk: &mut TaskWalk,
    run: Run<'_>,
    tally: &mut Tally,
) -> Result<(), Unavailable> {
    loop {
        let tasks = operator.next_tasks(walk)?;
        let Some(last) = tasks.last() else {
            return Ok(());
        };
        let few = |tasks: &[TaskRow]| {
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            act.run(operator, &ids, run)
        };
        bulk::in_steps(&tasks, run, few, |tasks, changes| {
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
