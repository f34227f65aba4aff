//! The values that a task's templates can name, from the event, its room, the recording's place and
//! the earlier steps.
//!
//! Does no I/O: the caller passes the place and the function that signs links. Before a task runs,
//! as in `rules try`, values that are not known yet are shown as `<steps.rename.key: known when it
//! runs>`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde};
use minijinja::{Error, ErrorKind, Value};

use super::rule::RoomEntry;
use super::template::{Names, parse_lifetime};
use crate::model::event::{Event, Fields};
use crate::model::id::TaskId;
use crate::model::recording::Place;
use crate::model::task::Outputs;
use crate::model::work::DeadTask;

/// Signs a link to the recording that works without credentials for the given time.
pub type SignUrl = Arc<dyn Fn(Duration) -> String + Send + Sync>;

#[derive(Clone)]
pub struct Context<'a> {
    pub event: &'a Event,
    pub task: TaskId,
    /// Where the recording is now; `None` when the event names no object.
    pub place: Option<Place>,
    /// A plain link to it. `None`: use the recorder's link, while the recording has not moved.
    pub url: Option<String>,
    /// Outputs of earlier steps; `None` before the task runs.
    pub outputs: Option<&'a Outputs>,
    /// The death that the task announces, if it is a notice.
    pub death: Option<&'a DeadTask>,
    /// `None` when the bucket is not configured.
    pub sign_url: Option<SignUrl>,
}

impl<'a> Context<'a> {
    /// The context of a task that has not run. To preview a whole rule, set `place` to the target
    /// of each `rename` before rendering the steps after it.
    pub fn before_running(event: &'a Event, task: TaskId) -> Self {
        Self {
            event,
            task,
            place: event.fields.place(),
            url: None,
            outputs: None,
            death: None,
            sign_url: None,
        }
    }

    pub(super) fn link(&self) -> Option<&str> {
        let unmoved = self.place.is_some() && self.place == self.event.fields.place();
        let recorders = self.event.fields.download_url.as_deref();
        self.url.as_deref().or(recorders.filter(|_| unmoved))
    }

    pub(super) fn names(&self, rule: &str, room: Option<&RoomEntry>) -> Names {
        let mut values: BTreeMap<&str, Value> = self
            .event
            .fields
            .entries()
            .map(|(name, value)| (name, Value::from(Serde(value))))
            .collect();
        values.insert("event_id", self.event.id.to_string().into());
        values.insert("task_id", self.task.to_string().into());
        values.insert("rule", rule.into());
        values.extend(self.death.into_iter().flat_map(of_dead_task));
        values.insert("room", room_value(room));
        values.insert("steps", self.steps());
        values.insert("event", Value::from_object(Body::of(self.event)));
        values.extend(self.object().map(|object| ("object", object)));
        values.extend(self.signed_url().map(|call| ("signed_url", call)));
        Names {
            values: Value::from_pairs(values),
            object_lacks: self.place.is_none().then(|| lacking(&self.event.fields)),
        }
    }

    fn object(&self) -> Option<Value> {
        let place = self.place.as_ref()?;
        let parts = [
            ("bucket", place.bucket.as_str()),
            ("key", place.key.as_str()),
            ("folder", place.folder()),
            ("name", place.name()),
            ("stem", place.stem()),
            ("extension", place.extension()),
        ];
        let link = self.link().map(|link| ("url", link));
        Some(Value::from_pairs(parts.into_iter().chain(link)))
    }

    fn steps(&self) -> Value {
        match self.outputs {
            Some(outputs) => Value::from(Serde(outputs)),
            None => Value::from_object(Unknown("steps".to_owned())),
        }
    }

    fn signed_url(&self) -> Option<Value> {
        let sign = match (&self.sign_url, self.outputs) {
            (Some(sign), _) => sign.clone(),
            (None, None) => Arc::new(|_| unknown("signed_url")) as SignUrl,
            (None, Some(_)) => return None,
        };
        self.place.as_ref()?;
        Some(Value::from_function(move |lifetime: &str| {
            parse_lifetime(lifetime)
                .map(|lifetime| sign(lifetime))
                .map_err(|fault| Error::new(ErrorKind::InvalidOperation, fault))
        }))
    }
}

/// A notice has the dead task's rule and task id under the usual names.
fn of_dead_task(death: &DeadTask) -> [(&'static str, Value); 3] {
    let failure = &death.failure;
    let failure = [
        ("kind", Value::from(failure.kind.name())),
        ("reason", failure.reason.clone().into()),
    ];
    [
        ("rule", death.rule.clone().into()),
        ("task_id", death.task.to_string().into()),
        ("failure", Value::from_pairs(failure)),
    ]
}

/// The missing field: `obs_bucket` or `obs_object`.
pub(super) fn lacking(fields: &Fields) -> &'static str {
    match fields.object {
        None => Fields::OBJECT,
        Some(_) => Fields::BUCKET,
    }
}

/// Placeholder for a value that is known only when the task runs.
pub(super) fn unknown(name: &str) -> String {
    format!("<{name}: known when it runs>")
}

fn room_value(room: Option<&RoomEntry>) -> Value {
    let tags = room.map(|room| Value::from(Serde(&room.tags)));
    let vars = room.map(|room| Value::from(Serde(&room.vars)));
    let none = || Value::from_pairs(std::iter::empty::<(&str, Value)>());
    Value::from_pairs([
        ("tags", tags.unwrap_or_else(none)),
        ("vars", vars.unwrap_or_else(none)),
    ])
}

/// The callback's body, parsed when a template first uses it. A body that is not JSON has no
/// members.
#[derive(Debug)]
struct Body {
    written: Bytes,
    read: OnceLock<Value>,
}

impl Body {
    fn of(event: &Event) -> Self {
        Self {
            written: event.body.clone(),
            read: OnceLock::new(),
        }
    }

    fn value(&self) -> &Value {
        let read = || serde_json::from_slice(&self.written).unwrap_or_default();
        self.read.get_or_init(read)
    }
}

impl Object for Body {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let part = self.value().get_item(key).ok()?;
        (!part.is_undefined()).then_some(part)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.value().try_iter();
        keys.map_or(Enumerator::Empty, |keys| Enumerator::Values(keys.collect()))
    }
}

/// A placeholder; each of its members is one too.
struct Unknown(String);

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(Value::from_object(Self(format!("{}.{key}", self.0))))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&unknown(&self.0))
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&unknown(&self.0))
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("event", &self.event.id)
            .field("task", &self.task)
            .field("place", &self.place)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}
