//! Small rules, an event and their parts, for the tests of this folder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use globset::GlobBuilder;
use serde_json::{Value, json};

use super::context::Context;
use super::rule::{
    Action, Condition, Glob, Matcher, NotifyStep, RenameStep, RoomEntry, Rule, RuleSet, Step,
    TagSource, TagStep,
};
use super::template::{Address, Expression, PartOf, Scope, Template};
use crate::model::destination::{Breaker, Destination, Format, TlsFiles};
use crate::model::event::{Event, EventType, Fields};
use crate::model::id::{EventId, TaskId};
use crate::model::recorder::Recorder;
use crate::model::retry::RetryPolicy;
use crate::model::step::{OnConflict, OnInvalid, TagMode, TagObjects, TagStorage};
use crate::model::task::{Outputs, RevisionId};
use crate::model::transition::OnFailure;

const BODY: &str = r#"{"room_id":"class-7","extra":{"a":1},"null":null}"#;

/// A complete MP4 of room `class-7`, height 720, without stream name and size.
pub(super) fn event() -> Event {
    let start = "2026-03-01T23:59:57Z".parse().unwrap();
    let fields = Fields {
        room: Some("class-7".into()),
        format: Some("MP4".into()),
        duration: Some(65),
        height: Some(720),
        start_time: Some(start),
        bucket: Some("b1".into()),
        object: Some("Record/a.b.mp4".into()),
        ..Fields::new(EventType::RecordFileComplete)
    };
    Event {
        id: EventId::derive(Some(start), &[b"event"]),
        recorder: Recorder::SparkRtc,
        received: "2026-03-02T01:01:04Z".parse().unwrap(),
        body: BODY.into(),
        fields,
    }
}

/// A running task whose step `first` got status 200.
pub(super) fn context(event: &Event) -> Context<'_> {
    static OUTPUTS: std::sync::LazyLock<Outputs> = std::sync::LazyLock::new(|| {
        let outputs = json!({"first": {"status": 200}});
        outputs.as_object().cloned().unwrap()
    });
    Context {
        url: Some("https://b1.obs/Record/a.b.mp4".into()),
        outputs: Some(&OUTPUTS),
        ..Context::before_running(event, TaskId::derive(event.id, "archive", 0))
    }
}

fn scope(earlier_steps: &[String]) -> Scope<'_> {
    Scope {
        earlier_steps,
        part_of: PartOf::Message,
    }
}

fn earlier() -> Vec<String> {
    vec!["first".into(), "rename".into()]
}

pub(super) fn template(source: &str) -> Template {
    Template::parse(source, scope(&earlier())).unwrap()
}

pub(super) fn address(source: &str) -> Address {
    Address::parse(source, scope(&earlier())).unwrap()
}

pub(super) fn expression(source: &str) -> Expression {
    Expression::parse(source, scope(&earlier())).unwrap()
}

pub(super) fn globs(patterns: &[&str]) -> Vec<Glob> {
    let glob = |text: &&str| Glob {
        text: (*text).to_owned(),
        matcher: GlobBuilder::new(text).build().unwrap().compile_matcher(),
    };
    patterns.iter().map(glob).collect()
}

pub(super) fn glob(key: &'static str, field: &'static str, patterns: &[&str]) -> Matcher {
    Matcher::Glob {
        key,
        field,
        globs: globs(patterns),
    }
}

pub(super) fn condition() -> Condition {
    Condition {
        events: vec![EventType::RecordFileComplete],
        ..Condition::default()
    }
}

/// Rules with three rooms, and bucket `b1`.
pub(super) fn rules(rules: Vec<Rule>) -> RuleSet {
    let entry = |room: &str, tag: (&str, &str), vars: &[(&str, Value)]| RoomEntry {
        room: globs(&[room]),
        tags: BTreeMap::from([(tag.0.to_owned(), tag.1.to_owned())]),
        vars: vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    };
    let channel = [("channel", json!("lectures"))];
    RuleSet {
        revision: RevisionId::of("text"),
        text: "text".into(),
        notices: rules
            .iter()
            .filter_map(|rule| rule.notices(RetryPolicy::default()))
            .collect(),
        rules,
        rooms: vec![
            entry("class-*", ("department", "teaching"), &channel),
            entry("own", ("room", "entry's word"), &[]),
            entry("*", ("department", "other"), &[]),
        ],
        buckets: ["b1".to_owned()].into(),
    }
}

pub(super) fn rule(steps: Vec<Step>) -> Rule {
    Rule {
        name: "archive".into(),
        when: condition(),
        order_by: None,
        order_blocks: false,
        on_dead: None,
        retry: RetryPolicy::default(),
        steps,
    }
}

fn step(id: &str, action: Action) -> Step {
    Step {
        id: id.into(),
        condition: None,
        timeout: None,
        on_failure: OnFailure::Stop,
        action,
    }
}

pub(super) fn rename_step(to: &str) -> Step {
    let rename = RenameStep {
        to: template(to),
        bucket: None,
        on_conflict: OnConflict::Fail,
    };
    step("rename", Action::Rename(rename))
}

fn tag(tags: TagSource) -> Step {
    let tag = TagStep {
        tags,
        mode: TagMode::Merge,
        storage: TagStorage::Auto,
        on_invalid: OnInvalid::Fail,
        objects: TagObjects::Named,
    };
    step("tag", Action::Tag(tag))
}

pub(super) fn tag_step() -> Step {
    tag(TagSource::ByRoom)
}

pub(super) fn tag_with(key: &str, source: &str) -> Step {
    tag(TagSource::Given(BTreeMap::from([(
        key.to_owned(),
        template(source),
    )])))
}

fn notify(destination: &str) -> NotifyStep {
    NotifyStep {
        destination: destination.into(),
        method: http::Method::POST,
        path: None,
        headers: vec![],
        body: None,
        format: None,
        text: None,
    }
}

pub(super) fn notify_step(id: &str, destination: &str) -> Step {
    step(id, Action::Notify(notify(destination)))
}

pub(super) fn notify_with(change: impl FnOnce(&mut NotifyStep)) -> Step {
    let mut notify = notify("lms");
    change(&mut notify);
    step("notify", Action::Notify(notify))
}

pub(super) fn destinations() -> BTreeMap<String, Arc<Destination>> {
    let lms = Destination {
        name: "lms".into(),
        url: "https://lms.example.com/hooks?k=v".parse().unwrap(),
        secrets: vec![],
        timeout: Duration::from_secs(15),
        concurrency: 1,
        rate: None,
        allow_private: false,
        headers: vec![],
        format: Format::Aftertake,
        text: None,
        breaker: Breaker::default(),
        success: vec![],
        retry: vec![],
        refused: vec![],
        tls: TlsFiles::default(),
        proxy: None,
    };
    BTreeMap::from([("lms".to_owned(), Arc::new(lms))])
}
