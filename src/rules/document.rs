//! The default body of a notification.
//!
//! Receivers depend on it: fields may be added, never renamed or removed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::context::{Context, unknown};
use super::rule::{RoomEntry, Rule, Step};
use crate::model::event::{EventType, Field};
use crate::model::id::{EventId, TaskId};
use crate::model::recording::Place;
use crate::model::task::Outputs;
use crate::model::work::DeadTask;

/// The document's fields, borrowed because every notification builds them.
type Data<'a> = BTreeMap<&'static str, Part<'a>>;

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Field(Field<'a>),
    Event(EventId),
    Task(TaskId),
    Room {
        tags: &'a BTreeMap<String, String>,
        vars: &'a BTreeMap<String, Value>,
    },
    Steps(&'a Outputs),
    Place {
        bucket: &'a str,
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<&'a str>,
    },
    Other(Value),
}

/// Announces an event in the form of Standard Webhooks.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// When the event arrived, so it is the same for every try. The recorder's own times are in the
    /// data, and a callback may have none.
    timestamp: String,
    data: Data<'a>,
}

/// The document as a CloudEvent 1.0 in structured mode, where the signature covers the attributes:
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
#[derive(Debug, Serialize)]
pub(super) struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

impl<'a> Document<'a> {
    /// Wraps it as a CloudEvent. Source and id identify a task's step and are the same for every
    /// try.
    pub(super) fn cloud_event(self, id: &'a str) -> CloudEvent<'a> {
        CloudEvent {
            specversion: "1.0",
            id,
            source: "/aftertake",
            kind: self.kind,
            time: self.timestamp,
            datacontenttype: "application/json",
            data: self.data,
        }
    }
}

pub(super) fn document<'a>(
    context: &'a Context<'_>,
    rule: &'a Rule,
    earlier: &[Step],
    room: Option<&'a RoomEntry>,
) -> Document<'a> {
    let event = context.event;
    let fields = event.fields.entries();
    let mut data: Data<'_> = fields
        .map(|(name, value)| (name, Part::Field(value)))
        .collect();
    data.insert("event_id", Part::Event(event.id));
    data.insert("task_id", Part::Task(context.task));
    data.insert("rule", Part::Field(Field::Text(&rule.name)));
    data.insert("room", of_room(room));
    data.insert("steps", steps(context.outputs, earlier));
    data.extend(place(context).map(|place| ("place", place)));
    if let Some(death) = context.death {
        return of_dead_task(data, death);
    }
    Document {
        kind: kind(&event.fields.event_type),
        timestamp: event.received.to_string(),
        data,
    }
}

/// The notice of a dead task: its usual document plus the failure.
fn of_dead_task<'a>(mut data: Data<'a>, death: &DeadTask) -> Document<'a> {
    let timestamp = death.at.to_string();
    let failure = &death.failure;
    data.extend([
        ("task_id", Part::Task(death.task)),
        ("rule", Part::Other(death.rule.clone().into())),
        ("step", Part::Other(death.step.into())),
        ("tries", Part::Other(death.tries.into())),
        (
            "failure",
            Part::Other(json!({ "kind": failure.kind, "reason": failure.reason })),
        ),
        ("steps", Part::Other(json!({}))),
    ]);
    Document {
        kind: "task.dead",
        timestamp,
        data,
    }
}

const fn kind(event_type: &EventType) -> &'static str {
    match event_type {
        EventType::RecordFileComplete => "recording.completed",
        EventType::RecordNewFileStart => "recording.started",
        EventType::CloudRecordServerOver => "recording.job_over",
        EventType::Other(_) => "recording.event",
    }
}

fn of_room(room: Option<&RoomEntry>) -> Part<'_> {
    match room {
        Some(RoomEntry { tags, vars, .. }) => Part::Room { tags, vars },
        None => Part::Other(json!({ "tags": {}, "vars": {} })),
    }
}

fn place<'a>(context: &'a Context<'_>) -> Option<Part<'a>> {
    let Place { bucket, key } = context.place.as_ref()?;
    Some(Part::Place {
        bucket,
        key,
        url: context.link(),
    })
}

fn steps<'a>(outputs: Option<&'a Outputs>, earlier: &[Step]) -> Part<'a> {
    match outputs {
        Some(outputs) => Part::Steps(outputs),
        None => Part::Other(
            earlier
                .iter()
                .map(|step| (step.id.clone(), unknown(&format!("steps.{}", step.id))))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::{Failure, FailureKind};
    use crate::model::id::TaskId;
    use crate::rules::condition::room;
    use crate::rules::fixtures::{self, event};

    #[test]
    fn document_has_every_field_of_the_event_typed() {
        let event = event();
        let rules = fixtures::rules(vec![fixtures::rule(vec![])]);
        let outputs = json!({"rename": {"objects": 1}});
        let context = Context {
            outputs: outputs.as_object(),
            ..fixtures::context(&event)
        };
        let room = room(&rules, &event.fields);
        let document = document(&context, &rules.rules[0], &[], room);
        assert_eq!(
            serde_json::to_value(&document).unwrap(),
            json!({
                "type": "recording.completed",
                "timestamp": "2026-03-02T01:01:04Z",
                "data": {
                    "event_id": event.id.to_string(),
                    "task_id": context.task.to_string(),
                    "rule": "archive",
                    "event_type": "RECORD_FILE_COMPLETE",
                    "room_id": "class-7",
                    "record_format": "MP4",
                    "record_duration": 65,
                    "height": 720,
                    "start_time": "2026-03-01T23:59:57Z",
                    "obs_bucket": "b1",
                    "obs_object": "Record/a.b.mp4",
                    "place": {"bucket": "b1", "key": "Record/a.b.mp4", "url": "https://b1.obs/Record/a.b.mp4"},
                    "room": {"tags": {"department": "teaching"}, "vars": {"channel": "lectures"}},
                    "steps": {"rename": {"objects": 1}},
                },
            })
        );
    }

    #[test]
    fn notice_of_a_dead_task_says_what_died_and_why() {
        let event = event();
        let mut dead = fixtures::rule(vec![]);
        dead.on_dead = Some("lms".to_owned());
        let rules = fixtures::rules(vec![dead]);
        let death = DeadTask {
            task: TaskId::derive(event.id, "archive", 0),
            rule: "archive".to_owned(),
            step: 1,
            tries: 3,
            at: "2026-03-05T00:00:00Z".parse().unwrap(),
            failure: Failure::new(FailureKind::Timeout, "no answer"),
        };
        let outputs = Outputs::new();
        let context = Context {
            outputs: Some(&outputs),
            death: Some(&death),
            ..fixtures::context(&event)
        };
        let notices = rules.rule("on_dead:archive").unwrap();
        let document = document(&context, notices, &[], None);
        let shown = serde_json::to_value(&document).unwrap();
        assert_eq!(
            (&shown["type"], &shown["timestamp"]),
            (&json!("task.dead"), &json!(death.at))
        );
        let data = &shown["data"];
        let told = json!({
            "task_id": data["task_id"], "rule": data["rule"], "step": data["step"], "tries": data["tries"],
            "failure": data["failure"], "steps": data["steps"], "room_id": data["room_id"],
        });
        let expected = json!({
            "task_id": death.task, "rule": "archive", "step": 1, "tries": 3,
            "failure": { "kind": "timeout", "reason": "no answer" }, "steps": {}, "room_id": "class-7",
        });
        assert_eq!(told, expected);
        let text = "{{ rule }}{% if failure is defined %}: {{ failure.kind }}, {{ failure.reason }}{% endif %}";
        let text = fixtures::template(text);
        let say = |context: &Context<'_>| text.render(&context.names("other", None)).unwrap();
        assert_eq!(say(&context), "archive: timeout, no answer");
        assert_eq!(say(&fixtures::context(&event)), "other");
    }

    #[test]
    fn event_without_object_or_room_has_no_place_and_an_empty_room() {
        let mut event = event();
        event.fields = crate::model::event::Fields::new(EventType::Other("NEW".to_owned()));
        let rule = fixtures::rule(vec![]);
        let earlier = [fixtures::notify_step("first", "lms")];
        let context = Context::before_running(&event, fixtures::context(&event).task);
        let document = document(&context, &rule, &earlier, None);
        let shown = serde_json::to_value(&document).unwrap();
        assert_eq!(shown["type"], "recording.event");
        assert_eq!(shown["data"]["room"], json!({"tags": {}, "vars": {}}));
        assert_eq!(shown["data"].get("place"), None);
        assert_eq!(
            shown["data"]["steps"]["first"],
            "<steps.first: known when it runs>"
        );
    }

    #[test]
    fn every_kind_of_event_has_its_type() {
        for (name, expected) in [
            ("RECORD_FILE_COMPLETE", "recording.completed"),
            ("RECORD_NEW_FILE_START", "recording.started"),
            ("CLOUD_RECORD_OVER", "recording.job_over"),
            ("RECORD_FAILED", "recording.event"),
        ] {
            assert_eq!(kind(&EventType::from_name(name)), expected);
        }
    }
}
