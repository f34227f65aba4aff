//! All that is known of one event: its fields, its tasks, and why no other rule matched.

use serde::Serialize;

use crate::model::event::Fields;
use crate::model::id::TaskId;
use crate::model::intervention::Intervention;
use crate::model::plan::Skipped;
use crate::operate::tasks::TaskLine;
use crate::store::lists::{EventDetail, EventRow};

/// All that is known of an event.
#[derive(Debug, Serialize)]
pub struct EventStory {
    #[serde(flatten)]
    pub event: EventRow,
    /// `null` once retention removed the body.
    pub fields: Option<Fields>,
    /// The body as it came.
    pub body: Option<String>,
    pub tasks: Vec<TaskLine>,
    /// Rules that did not match.
    pub skipped: Vec<Skipped>,
    /// What people did to its tasks.
    pub interventions: Vec<TaskIntervention>,
}

/// What a person did to a task of the event.
#[derive(Debug, Serialize)]
pub struct TaskIntervention {
    pub task: TaskId,
    #[serde(flatten)]
    pub intervention: Intervention,
}

impl From<EventDetail> for EventStory {
    fn from(detail: EventDetail) -> Self {
        let event = detail.event.as_deref();
        let interventions = detail.interventions.into_iter();
        Self {
            fields: event.map(|event| event.fields.clone()),
            body: event.map(|event| String::from_utf8_lossy(&event.body).into_owned()),
            event: detail.row,
            tasks: detail.tasks.into_iter().map(TaskLine::from).collect(),
            skipped: detail.skipped,
            interventions: interventions
                .map(|(task, intervention)| TaskIntervention { task, intervention })
                .collect(),
        }
    }
}
