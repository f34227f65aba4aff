//! What a dry run answers: every rule, and every step of the matching ones.
//!
//! Values pass the mask on their way in, so nothing here can show a secret.

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

/// Stands where only running can tell.
const LATER: &str = "<known when it runs>";

/// What a rules file makes of a callback.
#[derive(Debug, Serialize)]
pub struct Report {
    pub event: EventReport,
    /// In the order of the file.
    pub rules: Vec<RuleReport>,
}

/// The callback, as rules see it.
#[derive(Debug, Serialize)]
pub struct EventReport {
    pub id: EventId,
    pub fields: Fields,
    pub place: Option<Place>,
}

/// What becomes of one rule.
#[derive(Debug, Serialize)]
pub struct RuleReport {
    pub rule: String,
    pub matched: bool,
    /// Why it does not match, or why its task is dead at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    pub steps: Vec<StepReport>,
}

/// One step of a matching rule.
#[derive(Debug, Serialize)]
pub struct StepReport {
    /// Its number, from 0.
    pub step: StepNo,
    pub id: String,
    pub action: &'static str,
    /// An `if` that asks what earlier steps produced: the step is shown as if it held.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What becomes of a step.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Runs(Work),
    /// Its `if` does not hold.
    Skipped {
        reason: String,
    },
    Fails {
        reason: String,
    },
    /// A step before it ends the task.
    NotReached,
}

/// What a step would do.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Work {
    Rename {
        to: Place,
        on_conflict: OnConflict,
        /// What `keep_both` puts after a `-` when the target exists.
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
        /// JSON where it is JSON, else the text.
        body: Value,
    },
}

impl Report {
    /// Whether this rule matches.
    pub fn matches(&self, name: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.matched && rule.rule == name)
    }

    /// The rules of which a step would fail, whatever the network does.
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

    /// A task that can never run.
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

impl Work {
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

/// What a request is made of, as it is shown.
struct Sent {
    url: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Sent {
    /// Shows where the signature will be.
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

/// In the order in which later ones replace earlier ones of the same name.
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
