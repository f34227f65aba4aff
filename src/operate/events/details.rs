//! Everything about one event: its fields, its tasks, and why no other rule matched.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::event::{Event, Fields};
use crate::model::id::TaskId;
use crate::model::intervention::Intervention;
use crate::model::plan::Skipped;
use crate::operate::tasks::TaskLine;
use crate::rules::file::{Lookup, parse_revision};
use crate::store::lists::{EventDetail, EventRow};

#[derive(Debug, Serialize)]
pub struct EventStory {
    #[serde(flatten)]
    pub event: EventRow,
    /// `null` after retention has removed the body.
    pub fields: Option<Fields>,
    /// Names of fields that count as absent because their values cannot be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<&'static str>,
    pub body: Option<String>,
    pub tasks: Vec<TaskLine>,
    /// Rules that did not match; `null` after retention has removed the body.
    pub skipped: Option<Vec<Skipped>>,
    /// Why `skipped` is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_unknown: Option<String>,
    pub interventions: Vec<TaskIntervention>,
}

#[derive(Debug, Serialize)]
pub struct TaskIntervention {
    pub task: TaskId,
    #[serde(flatten)]
    pub intervention: Intervention,
}

impl EventStory {
    /// `lookup` gives the environment variables that rules use.
    pub(super) fn new(detail: EventDetail, lookup: &dyn Lookup) -> Self {
        let event = detail.event.as_deref();
        let (skipped, skipped_unknown) = match event.map(|event| skipped(&detail, event, lookup)) {
            Some(Ok(skipped)) => (Some(skipped), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let interventions = detail.interventions.into_iter();
        Self {
            unusable: event.map_or_else(Vec::new, |event| event.fields.unusable.clone()),
            fields: event.map(|event| event.fields.clone()),
            body: event.map(|event| String::from_utf8_lossy(&event.body).into_owned()),
            event: detail.row,
            tasks: detail.tasks.into_iter().map(TaskLine::from).collect(),
            skipped,
            skipped_unknown,
            interventions: interventions
                .map(|(task, intervention)| TaskIntervention { task, intervention })
                .collect(),
        }
    }
}

/// Why rules did not match when the event arrived, without those that got a task by a replay since;
/// or why that is unknown.
fn skipped(
    detail: &EventDetail,
    event: &Event,
    lookup: &dyn Lookup,
) -> Result<Vec<Skipped>, String> {
    let text = detail.rules.as_deref();
    let text = text.ok_or("the rules that it was planned under are not in the store")?;
    // Which buckets are configured makes no difference here.
    let revision = parse_revision(text, &BTreeSet::new(), lookup).map_err(|error| {
        let first = error.problems().first();
        let why = first.map_or("", |problem| problem.message.as_str());
        format!("the rules that it was planned under cannot be read: {why}")
    })?;
    let mut skipped = revision.skipped(event);
    skipped.retain(|one| detail.tasks.iter().all(|task| task.rule != one.rule));
    Ok(skipped)
}
