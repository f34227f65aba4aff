//! `when:` which events a rule is for.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compile::GlobStyle;
use super::load::Loading;
use super::scalar::{Size, Span};
use crate::model::event::{EventType, Fields};
use crate::rules::rule::{Condition, Matcher};
use crate::rules::template::Scope;
use crate::yaml::shape::{At, Deferred, OneOrMany};
use crate::yaml::spelling::did_you_mean;
use crate::yaml::tree::NodeId;

/// Which events: every key given must hold; a list holds when one of its members does.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "When")]
pub(crate) struct Raw {
    /// Event types; `RECORD_FILE_COMPLETE` when left out.
    event: Option<OneOrMany<At<String>>>,
    /// Globs for `room_id`.
    room: Option<OneOrMany<At<String>>>,
    /// Globs for `app_id`.
    app: Option<OneOrMany<At<String>>>,
    /// Globs for `stream_name`.
    stream: Option<OneOrMany<At<String>>>,
    /// Globs for `job_id`.
    job: Option<OneOrMany<At<String>>>,
    /// Globs for `obs_bucket`.
    bucket: Option<OneOrMany<At<String>>>,
    /// Globs for `obs_object`; `*` does not match a slash, `**` does.
    object: Option<OneOrMany<At<String>>>,
    /// Globs for `record_format`, ignoring case.
    format: Option<OneOrMany<At<String>>>,
    /// Bounds of `record_duration`.
    duration: Option<At<Bounds<Span>>>,
    /// Bounds of `file_size`.
    size: Option<At<Bounds<Size>>>,
    /// Bounds of `width` in pixels.
    width: Option<At<Bounds<u64>>>,
    /// Bounds of `height` in pixels.
    height: Option<At<Bounds<u64>>>,
    /// None of these hold.
    not: Option<Deferred<Raw>>,
    /// An expression of the template language.
    #[serde(rename = "if")]
    expression: Option<At<String>>,
}

/// From `at_least` (inclusive) to `below` (exclusive).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Bounds<T> {
    at_least: Option<T>,
    below: Option<T>,
}

impl<T> Bounds<T> {
    fn map<U>(self, number: impl Fn(T) -> U) -> Bounds<U> {
        Bounds {
            at_least: self.at_least.map(&number),
            below: self.below.map(number),
        }
    }
}

impl Loading<'_> {
    pub(super) fn condition(&mut self, when: Option<&Deferred<Raw>>) -> Option<Condition> {
        let mut raw = self.read_or_default(when)?;
        let at = when.map_or(self.tree.root, |when| when.at);
        let before = self.problems.len();
        let events = self.events(at, raw.event.take());
        let expression = raw.expression.take();
        let expression = expression.and_then(|text| self.expression(&text, Scope::WHEN));
        let not = raw.not.take();
        let mut matchers = self.matchers(at, raw);
        matchers.extend(not.and_then(|not| self.not(&not)));
        (self.problems.len() == before).then_some(Condition {
            events,
            matchers,
            expression,
        })
    }

    fn not(&mut self, not: &Deferred<Raw>) -> Option<Matcher> {
        let raw = self.read(not)?;
        let misplaced = [
            ("event", raw.event.is_some()),
            ("if", raw.expression.is_some()),
            ("not", raw.not.is_some()),
        ];
        for (key, _) in misplaced.iter().filter(|(_, given)| *given) {
            let at = self.tree.get(not.at, key).unwrap_or(not.at);
            self.refuse(
                at,
                format!("`{key}` has no meaning inside `not`"),
                "`not` takes globs and bounds of fields",
            );
        }
        let matchers = self.matchers(not.at, raw);
        if matchers.is_empty() {
            self.refuse(
                not.at,
                "`not` excludes nothing",
                "give it a key such as `room`",
            );
        }
        Some(Matcher::Not(matchers))
    }

    fn events(&mut self, at: NodeId, given: Option<OneOrMany<At<String>>>) -> Vec<EventType> {
        let Some(OneOrMany(names)) = given else {
            return vec![EventType::RecordFileComplete];
        };
        if names.is_empty() {
            let at = self.tree.get(at, "event").unwrap_or(at);
            self.refuse(
                at,
                "an empty list matches nothing",
                "name an event type, or leave the key out",
            );
        }
        names.iter().filter_map(|name| self.event(name)).collect()
    }

    /// An event type. Unknown ones are accepted with a warning: recorders add new ones.
    fn event(&mut self, name: &At<String>) -> Option<EventType> {
        const KNOWN: [EventType; 3] = [
            EventType::RecordFileComplete,
            EventType::RecordNewFileStart,
            EventType::CloudRecordServerOver,
        ];
        let text = self.filled(name, "the event type")?;
        let event = EventType::from_name(&text);
        if let EventType::Other(_) = event {
            let public = self.tree.is_public(name.at);
            let meant = did_you_mean(&text, KNOWN.iter().map(EventType::name).filter(|_| public));
            let meant = meant.map_or_else(String::new, |meant| format!("; {meant}"));
            self.warn(
                name.at,
                format!("{} is not a known event type{meant}", self.shown(name.at)),
            );
        }
        Some(event)
    }

    fn matchers(&mut self, at: NodeId, raw: Raw) -> Vec<Matcher> {
        let globs = [
            ("room", "room_id", raw.room, GlobStyle::Name),
            ("app", "app_id", raw.app, GlobStyle::Name),
            ("stream", "stream_name", raw.stream, GlobStyle::Name),
            ("job", "job_id", raw.job, GlobStyle::Name),
            ("bucket", Fields::BUCKET, raw.bucket, GlobStyle::Name),
            ("object", Fields::OBJECT, raw.object, GlobStyle::Key),
            ("format", "record_format", raw.format, GlobStyle::Format),
        ];
        // The recorder counts whole seconds: round both bounds up to keep their meaning.
        let seconds = |Span(span): Span| span.as_secs() + u64::from(span.subsec_nanos() > 0);
        let bounds = [
            (
                "duration",
                "record_duration",
                raw.duration
                    .map(|At { at, value }| (at, value.map(seconds))),
            ),
            (
                "size",
                "file_size",
                raw.size
                    .map(|At { at, value }| (at, value.map(|Size(size)| size))),
            ),
            (
                "width",
                "width",
                raw.width.map(|At { at, value }| (at, value)),
            ),
            (
                "height",
                "height",
                raw.height.map(|At { at, value }| (at, value)),
            ),
        ];
        let mut matchers = Vec::new();
        for (key, field, patterns, style) in globs {
            let at = self.tree.get(at, key).unwrap_or(at);
            let globs = patterns.and_then(|OneOrMany(patterns)| self.globs(at, &patterns, style));
            matchers.extend(globs.map(|globs| Matcher::Glob { key, field, globs }));
        }
        for (key, field, bounds) in bounds {
            matchers.extend(bounds.and_then(|(at, bounds)| self.range(at, key, field, &bounds)));
        }
        matchers
    }

    fn range(
        &mut self,
        at: NodeId,
        key: &'static str,
        field: &'static str,
        bounds: &Bounds<u64>,
    ) -> Option<Matcher> {
        let Bounds { at_least, below } = *bounds;
        match (at_least, below) {
            (None, None) => {
                self.refuse(
                    at,
                    format!("`{key}` has no bounds"),
                    "give it `at_least`, `below` or both",
                );
                None
            }
            (lower, Some(upper)) if lower.unwrap_or(0) >= upper => {
                self.refuse(
                    at,
                    format!("no `{key}` is within these bounds"),
                    "`at_least` is included, `below` is not",
                );
                None
            }
            _ => Some(Matcher::Range {
                key,
                field,
                at_least,
                below,
            }),
        }
    }
}
