//! Lists and shows tasks, and what a person can do with them.

pub mod change;
pub mod counts;
mod details;
pub mod other_rules;
mod row;

pub use self::details::{AttemptLine, MoveLine, TaskStory};
pub use self::row::{FailureLine, TaskLine};

use super::{List, ListError, cursor};
use crate::model::id::TaskId;
use crate::store::Unavailable;
use crate::store::lists::TaskFilter;
use crate::store::operator::Operator;

/// Tasks that match the filter and are older than `before`.
pub fn list(
    store: &dyn Operator,
    filter: &TaskFilter,
    limit: usize,
    before: Option<TaskId>,
) -> Result<List<TaskLine>, ListError<TaskId>> {
    let before = cursor(before, |id| store.task_cursor(id))?;
    let rows = List::of(limit, before, |page| {
        let rows = store.tasks(filter, page)?;
        Ok(rows.into_iter().map(TaskLine::from).collect())
    })?;
    Ok(rows)
}

/// Everything that happened to the task; `None` if it is not in the store.
pub fn show(store: &dyn Operator, id: TaskId) -> Result<Option<TaskStory>, Unavailable> {
    let Some(task) = store.task(id)? else {
        return Ok(None);
    };
    let event = store.event(task.row.event)?;
    Ok(Some(TaskStory::new(task, event)))
}
