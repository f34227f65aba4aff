//! What a person does to one task.

use aftertake::model::id::TaskId;
use aftertake::model::intervention::{By, Mode};
use aftertake::model::time::Timestamp;
use aftertake::store::Unavailable;
use aftertake::store::lists::TaskRow;
use aftertake::store::operator::{CancelOutcome, Operator, RetryOutcome};

/// Interventions on one task, without a name of who did it.
pub(crate) trait OneTask {
    fn retry_one(&mut self, id: TaskId, now: Timestamp) -> Result<RetryOutcome, Unavailable>;

    fn cancel_one(&mut self, id: TaskId, now: Timestamp) -> Result<CancelOutcome, Unavailable>;
}

impl<T: Operator + ?Sized> OneTask for T {
    fn retry_one(&mut self, id: TaskId, now: Timestamp) -> Result<RetryOutcome, Unavailable> {
        let retried = self.retry(&[id], None, Mode::Real(&By::default()), now);
        retried.map(|outcomes| outcomes[0].clone())
    }

    fn cancel_one(&mut self, id: TaskId, now: Timestamp) -> Result<CancelOutcome, Unavailable> {
        let cancelled = self.cancel(&[id], Mode::Real(&By::default()), now);
        cancelled.map(|outcomes| outcomes[0])
    }
}

/// Why the task waits, as a person reads it.
pub(crate) fn why_waits(task: &TaskRow) -> Option<String> {
    task.waits.as_ref().map(ToString::to_string)
}
