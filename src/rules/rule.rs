//! Rules after loading: everything parsed, every name resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use globset::GlobMatcher;
use serde_json::Value;

use super::template::{Address, Expression, Template};
use crate::model::destination::Format;
use crate::model::event::EventType;
use crate::model::retry::RetryPolicy;
use crate::model::step::{OnConflict, OnInvalid, TagMode, TagObjects, TagStorage};
use crate::model::task::RevisionId;
use crate::model::transition::OnFailure;
use crate::model::work::rule_of_notices;

#[derive(Debug)]
pub struct RuleSet {
    pub revision: RevisionId,
    /// The revision's text: `rules`, `rooms` and `retry`, `${…}` unexpanded.
    pub text: String,
    /// In the order of the file.
    pub rules: Vec<Rule>,
    /// Rules that send the notices of dead tasks, one for each rule with `on_dead`. They match no
    /// event.
    pub notices: Vec<Rule>,
    /// In the order of the file; the first match wins.
    pub rooms: Vec<RoomEntry>,
    /// Names of the configured buckets. A task that would change a recording in another bucket is
    /// dead at once.
    pub buckets: BTreeSet<String>,
}

impl RuleSet {
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        let mut all = self.rules.iter().chain(&self.notices);
        all.find(|rule| rule.name == name)
    }
}

#[derive(Debug)]
pub struct Rule {
    pub name: String,
    pub when: Condition,
    /// The field whose value orders tasks, such as `room_id`.
    pub order_by: Option<String>,
    pub order_blocks: bool,
    pub on_dead: Option<String>,
    pub retry: RetryPolicy,
    /// Never empty.
    pub steps: Vec<Step>,
}

impl Rule {
    pub fn changes_object(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.action.changes_object())
    }

    /// The rule that sends notices when tasks of this rule die; `retry` is the file's policy.
    pub(super) fn notices(&self, retry: RetryPolicy) -> Option<Self> {
        let notify = NotifyStep {
            destination: self.on_dead.clone()?,
            method: http::Method::POST,
            path: None,
            headers: Vec::new(),
            body: None,
            format: None,
            text: None,
        };
        Some(Self {
            name: rule_of_notices(&self.name),
            when: Condition::default(),
            order_by: None,
            order_blocks: false,
            on_dead: None,
            retry,
            steps: vec![Step {
                id: "notify".to_owned(),
                condition: None,
                timeout: None,
                on_failure: OnFailure::Stop,
                action: Action::Notify(notify),
            }],
        })
    }
}

#[derive(Debug, Default)]
pub struct Condition {
    pub events: Vec<EventType>,
    pub matchers: Vec<Matcher>,
    pub expression: Option<Expression>,
}

#[derive(Debug)]
pub enum Matcher {
    /// A field matches one of the globs. Formats ignore case.
    Glob {
        key: &'static str,
        field: &'static str,
        globs: Vec<Glob>,
    },
    Range {
        key: &'static str,
        field: &'static str,
        at_least: Option<u64>,
        below: Option<u64>,
    },
    /// None of these hold.
    Not(Vec<Matcher>),
}

#[derive(Clone)]
pub struct Glob {
    pub text: String,
    pub matcher: GlobMatcher,
}

impl std::fmt::Debug for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

#[derive(Debug)]
pub struct RoomEntry {
    pub room: Vec<Glob>,
    pub tags: BTreeMap<String, String>,
    pub vars: BTreeMap<String, Value>,
}

#[derive(Debug)]
pub struct Step {
    /// Unique in its rule; the action's name unless given.
    pub id: String,
    pub condition: Option<Expression>,
    /// Total time of one try of the step.
    pub timeout: Option<Duration>,
    pub on_failure: OnFailure,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Rename(RenameStep),
    Tag(TagStep),
    Notify(NotifyStep),
}

/// What an action needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs<'a> {
    pub lane: LaneOf<'a>,
    /// A bucket other than the recording's.
    pub other_bucket: Option<&'a str>,
    pub object: ObjectUse,
    pub timed_by: TimedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneOf<'a> {
    RecordingsBucket,
    Destination(&'a str),
}

/// What an action does with the recording's object; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectUse {
    /// Not touched; templates may name it.
    Named,
    Changed,
    /// Moved in several requests that are all completed or all undone.
    Moved,
}

/// Who enforces a step's `timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedBy {
    Worker,
    /// The request, so that the error names the phase that took too long.
    Request,
}

impl Action {
    /// In the spelling of the rules file.
    pub const NAMES: [&str; 3] = ["rename", "tag", "notify"];

    /// YAML key, metric label and database value.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rename(_) => "rename",
            Self::Tag(_) => "tag",
            Self::Notify(_) => "notify",
        }
    }

    pub fn needs(&self) -> Needs<'_> {
        let of_object = Needs {
            lane: LaneOf::RecordingsBucket,
            other_bucket: None,
            object: ObjectUse::Changed,
            timed_by: TimedBy::Worker,
        };
        match self {
            Self::Rename(rename) => Needs {
                other_bucket: rename.bucket.as_deref(),
                object: ObjectUse::Moved,
                ..of_object
            },
            Self::Tag(_) => of_object,
            Self::Notify(notify) => Needs {
                lane: LaneOf::Destination(&notify.destination),
                other_bucket: None,
                object: ObjectUse::Named,
                timed_by: TimedBy::Request,
            },
        }
    }

    pub fn needs_object(&self) -> bool {
        match self {
            Self::Rename(_) | Self::Tag(_) => true,
            Self::Notify(notify) => notify.names_object(),
        }
    }

    pub fn changes_object(&self) -> bool {
        self.needs().object >= ObjectUse::Changed
    }

    pub fn moves(&self) -> bool {
        self.needs().object == ObjectUse::Moved
    }
}

#[derive(Debug)]
pub struct RenameStep {
    pub to: Template,
    /// Another configured bucket; the recording's own when absent.
    pub bucket: Option<String>,
    pub on_conflict: OnConflict,
}

#[derive(Debug)]
pub struct TagStep {
    pub tags: TagSource,
    pub mode: TagMode,
    pub storage: TagStorage,
    pub on_invalid: OnInvalid,
    pub objects: TagObjects,
}

#[derive(Debug)]
pub enum TagSource {
    /// The tags of the rooms table, and `room=<room_id>`.
    ByRoom,
    Given(BTreeMap<String, Template>),
}

#[derive(Debug)]
pub struct NotifyStep {
    pub destination: String,
    pub method: http::Method,
    pub path: Option<Address>,
    pub headers: Vec<(String, Template)>,
    pub body: Option<BodyTemplate>,
    /// `None`: the destination's format.
    pub format: Option<Format>,
    /// Message of the chat formats; `None`: the destination's.
    pub text: Option<Template>,
}

impl NotifyStep {
    /// Whether the request describes the recording; the default document does.
    pub fn tells_of_recording(&self) -> bool {
        let is_default = self.body.is_none() && self.text.is_none();
        is_default || self.names_object()
    }

    fn names_object(&self) -> bool {
        let path = self.path.iter().map(Address::template);
        let headers = self.headers.iter().map(|(_, template)| template);
        let mut texts = path.chain(&self.text).chain(headers);
        let body = self.body.as_ref();
        texts.any(Template::names_object) || body.is_some_and(BodyTemplate::names_object)
    }
}

/// A body from the rules file: any YAML, its strings templates.
#[derive(Debug)]
pub enum BodyTemplate {
    /// A null, boolean or number, sent unchanged.
    Literal(Value),
    Text(Template),
    List(Vec<BodyTemplate>),
    Map(Vec<(String, BodyTemplate)>),
}

impl BodyTemplate {
    pub fn names_object(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Text(text) => text.names_object(),
            Self::List(parts) => parts.iter().any(Self::names_object),
            Self::Map(parts) => parts.iter().any(|(_, part)| part.names_object()),
        }
    }
}
