//! Everything that happened to one task.

use serde::Serialize;

use super::{FailureLine, TaskLine};
use crate::model::attempt::{AttemptRecord, Exchange, Outcome};
use crate::model::id::TaskId;
use crate::model::intervention::Intervention;
use crate::model::moves::{Move, Source};
use crate::model::recording::Place;
use crate::model::task::{Outputs, StepNo};
use crate::model::time::Timestamp;
use crate::model::work::DeadTask;
use crate::store::lists::{EventDetail, TaskDetail};

/// Everything that is known about one task.
#[derive(Debug, Serialize)]
pub struct TaskStory {
    #[serde(flatten)]
    pub task: TaskLine,
    pub event_type: Option<String>,
    pub received: Option<Timestamp>,
    pub lane: String,
    /// Where the callback said that the recording is; `null` if it named none, or if retention has
    /// removed the callback.
    pub named: Option<Place>,
    /// Where it is now, or was until another recording replaced it.
    pub place: Option<Place>,
    /// The task whose recording replaced it there: this one no longer exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<TaskId>,
    /// The task that has put a part of another recording in the place of a part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_by: Option<TaskId>,
    pub outputs: Outputs,
    /// The death that it reports, if it is a notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports: Option<DeadTask>,
    pub attempts: Vec<AttemptLine>,
    pub moves: Vec<MoveLine>,
    pub interventions: Vec<Intervention>,
}

#[derive(Debug, Serialize)]
pub struct AttemptLine {
    pub step: StepNo,
    pub step_id: String,
    pub action: String,
    pub started: Timestamp,
    pub took_ms: u128,
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
}

#[derive(Debug, Serialize)]
pub struct MoveLine {
    pub from: Place,
    pub to: Place,
    pub size: u64,
    pub phase: &'static str,
    /// What happens to a source that needs no copy.
    #[serde(skip)]
    pub without_copy: Option<Source>,
}

impl TaskStory {
    pub(super) fn new(task: TaskDetail, event: Option<EventDetail>) -> Self {
        let named = event
            .as_ref()
            .and_then(|detail| detail.event.as_ref()?.fields.place());
        let row = event.map(|detail| detail.row);
        let by = |in_part| {
            let replaced = task.replaced.filter(|replaced| replaced.in_part == in_part);
            replaced.map(|replaced| replaced.by)
        };
        Self {
            received: row.as_ref().map(|row| row.received),
            event_type: row.map(|row| row.event_type),
            task: task.row.into(),
            lane: task.lane,
            place: task.place.or_else(|| named.clone()),
            replaced_by: by(false),
            incomplete_by: by(true),
            named,
            outputs: task.outputs,
            reports: task.death,
            attempts: task.attempts.into_iter().map(AttemptLine::from).collect(),
            moves: task.moves.into_iter().map(MoveLine::from).collect(),
            interventions: task.interventions,
        }
    }
}

impl From<AttemptRecord> for AttemptLine {
    fn from(attempt: AttemptRecord) -> Self {
        let outcome = attempt.outcome.name();
        let (reason, failure) = match attempt.outcome {
            Outcome::Skipped(reason) => (Some(reason), None),
            Outcome::Failed(failure) => (None, Some(failure.into())),
            Outcome::Succeeded | Outcome::Interrupted => (None, None),
        };
        Self {
            step: attempt.step,
            step_id: attempt.step_id,
            action: attempt.action,
            started: attempt.started,
            took_ms: attempt.took.as_millis(),
            outcome,
            reason,
            failure,
            exchange: attempt.exchange,
        }
    }
}

impl From<Move> for MoveLine {
    fn from(one: Move) -> Self {
        Self {
            without_copy: one.only_goes().then_some(one.source),
            from: one.from,
            to: one.to,
            size: one.size,
            phase: one.phase.name(),
        }
    }
}
