//! Result of a dry run: every rule, and every step of the matching ones.
//!
//! All values are masked when they are added, so it contains no secret.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;

use crate::chat::{self, SignedPart};
use crate::model::destination::{Destination, Format};
use crate::model::event::{Event, Fields};
use crate::model::id::{EventId, TaskId};
use crate::model::recording::Place;
use crate::model::secret::Mask;
use crate::model::step::{
    Notify, OnConflict, OnInvalid, Rename, Rendered, Tag, TagMode, TagObjects, TagStorage,
};
use crate::model::task::StepNo;
use crate::rules::rule::Step;

/// For values that are known only when the step runs.
const LATER: &str = "<known when it runs>";

#[derive(Debug, Serialize)]
pub struct Report {
    pub event: EventReport,
    /// In the order of the file.
    pub rules: Vec<RuleReport>,
}

#[derive(Debug, Serialize)]
pub struct EventReport {
    pub id: EventId,
    pub fields: Fields,
    pub place: Option<Place>,
}

#[derive(Debug, Serialize)]
pub struct RuleReport {
    pub rule: String,
    pub matched: bool,
    /// Why it does not match, or why its task would be dead at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    pub steps: Vec<StepReport>,
}

#[derive(Debug, Serialize)]
pub struct StepReport {
    pub step: StepNo,
    pub id: String,
    pub action: &'static str,
    /// An `if` that depends on the output of earlier steps: the step is shown as if it were true.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Runs(Effect),
    /// Its `if` is false.
    Skipped {
        reason: String,
    },
    Fails {
        reason: String,
    },
    /// An earlier step ends the task.
    NotReached,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Effect {
    Rename {
        to: Place,
        on_conflict: OnConflict,
        /// What `keep_both` appends after a `-` if the target exists.
        #[serde(skip_serializing_if = "Option::is_none")]
        suffix: Option<String>,
    },
    Tag {
        tags: BTreeMap<String, String>,
        mode: TagMode,
        #[serde(rename = "as")]
        storage: TagStorage,
        on_invalid: OnInvalid,
        objects: TagObjects,
    },
    Notify {
        destination: String,
        method: String,
        url: String,
        headers: BTreeMap<String, String>,
        /// JSON if it parses as JSON, else text.
        body: Value,
    },
}

impl Report {
    pub fn matches(&self, name: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.matched && rule.rule == name)
    }

    /// Rules with a step that would certainly fail.
    pub fn failing(&self) -> Vec<&str> {
        let failing = self.rules.iter().filter(|rule| rule.fails());
        failing.map(|rule| rule.rule.as_str()).collect()
    }
}

impl EventReport {
    pub(super) fn new(event: &Event) -> Self {
        Self {
            id: event.id,
            fields: event.fields.clone(),
            place: event.fields.place(),
        }
    }
}

impl RuleReport {
    fn fails(&self) -> bool {
        let dead = self.matched && self.reason.is_some();
        let mut steps = self.steps.iter();
        dead || steps.any(|step| matches!(step.outcome, Outcome::Fails { .. }))
    }

    pub(super) fn skipped(rule: &str, reason: String) -> Self {
        Self {
            rule: rule.to_owned(),
            matched: false,
            reason: Some(reason),
            task_id: None,
            steps: Vec::new(),
        }
    }

    pub(super) fn matched(rule: &str, task: TaskId, steps: Vec<StepReport>) -> Self {
        Self {
            rule: rule.to_owned(),
            matched: true,
            reason: None,
            task_id: Some(task),
            steps,
        }
    }

    pub(super) fn dead(rule: &str, task: TaskId, reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::matched(rule, task, Vec::new())
        }
    }
}

impl StepReport {
    pub(super) fn new(number: StepNo, step: &Step, outcome: Outcome) -> Self {
        let unknown = step
            .condition
            .as_ref()
            .filter(|condition| condition.names_steps());
        Self {
            step: number,
            id: step.id.clone(),
            action: step.action.name(),
            condition: unknown.map(|condition| condition.source().to_owned()),
            outcome,
        }
    }
}

impl Effect {
    pub(super) fn of(
        rendered: &Rendered,
        destinations: &BTreeMap<String, Destination>,
        mask: &Mask,
    ) -> Self {
        match rendered {
            Rendered::Rename(rename) => Self::rename(rename, mask),
            Rendered::Tag(tag) => Self::tag(tag, mask),
            Rendered::Notify(notify) => {
                Self::notify(notify, destinations.get(&notify.destination), mask)
            }
        }
    }

    fn rename(rename: &Rename, mask: &Mask) -> Self {
        let keeps_both = rename.on_conflict == OnConflict::KeepBoth;
        Self::Rename {
            to: Place {
                bucket: rename.to.bucket.clone(),
                key: masked(mask, &rename.to.key),
            },
            on_conflict: rename.on_conflict,
            suffix: keeps_both.then(|| rename.suffix.clone()),
        }
    }

    fn tag(tag: &Tag, mask: &Mask) -> Self {
        let tags = tag
            .tags
            .iter()
            .map(|(key, value)| (key.clone(), masked(mask, value)));
        Self::Tag {
            tags: tags.collect(),
            mode: tag.mode,
            storage: tag.storage,
            on_invalid: tag.on_invalid,
            objects: tag.objects,
        }
    }

    fn notify(notify: &Notify, destination: Option<&Destination>, mask: &Mask) -> Self {
        let mut sent = Sent {
            url: masked(mask, notify.url.as_str()),
            headers: headers(notify, destination, mask),
            body: body(&notify.body, mask),
        };
        if destination.is_some_and(|destination| !destination.secrets.is_empty()) {
            sent.sign(notify.format);
        }
        Self::Notify {
            destination: notify.destination.clone(),
            method: notify.method.to_string(),
            url: sent.url,
            headers: sent.headers,
            body: sent.body,
        }
    }
}

/// A request as it is shown.
struct Sent {
    url: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Sent {
    /// Shows placeholders for the signature.
    fn sign(&mut self, format: Format) {
        let Some(chat) = chat::of(format) else {
            let name = "webhook-signature".to_owned();
            self.headers.insert(name, LATER.to_owned());
            return;
        };
        match chat.signature.as_ref().map(|signature| signature.part) {
            Some(SignedPart::Body) => {
                let fields = chat::SIGNED.map(|name| (name.to_owned(), LATER.into()));
                if let Value::Object(body) = &mut self.body {
                    body.extend(fields);
                }
            }
            Some(SignedPart::Query) => {
                let joint = if self.url.contains('?') { '&' } else { '?' };
                let values = chat::SIGNED.map(|name| format!("{name}={LATER}"));
                self.url = format!("{}{joint}{}", self.url, values.join("&"));
            }
            None => {}
        }
    }
}

/// Later headers replace earlier ones of the same name.
fn headers(
    notify: &Notify,
    destination: Option<&Destination>,
    mask: &Mask,
) -> BTreeMap<String, String> {
    let of_destination = destination.map_or(&[][..], |destination| &destination.headers);
    let configured = of_destination
        .iter()
        .map(|(name, value)| (name, value.expose_secret()));
    let own = notify
        .headers
        .iter()
        .map(|(name, value)| (name, value.as_str()));
    let mut headers = BTreeMap::from([("content-type".to_owned(), notify.content_type.clone())]);
    for (name, value) in configured.chain(own) {
        headers.insert(name.to_ascii_lowercase(), masked(mask, value));
    }
    headers.insert("webhook-id".to_owned(), notify.webhook_id.clone());
    headers.insert("webhook-timestamp".to_owned(), LATER.to_owned());
    headers
}

fn body(bytes: &[u8], mask: &Mask) -> Value {
    let text = || Value::from(String::from_utf8_lossy(bytes).into_owned());
    let mut body = serde_json::from_slice(bytes).unwrap_or_else(|_| text());
    mask.hide_within(&mut body);
    body
}

fn masked(mask: &Mask, text: &str) -> String {
    mask.apply(text).into_owned()
}
