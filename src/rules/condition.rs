//! Whether a rule's `when` holds for an event, and if not, which key failed with which value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

use super::rule::{Condition, Glob, Matcher, RoomEntry, RuleSet};
use super::template::{Expression, Fault, Names};
use crate::model::event::{EventType, Field, Fields};

/// The event's fields by name, collected once for all rules.
pub(super) type FieldValues<'a> = BTreeMap<&'static str, Field<'a>>;

/// The first entry of the rooms table that matches. `None` for an event without a room.
pub(super) fn room<'a>(rules: &'a RuleSet, fields: &Fields) -> Option<&'a RoomEntry> {
    let room = fields.room.as_deref()?;
    rules
        .rooms
        .iter()
        .find(|entry| matches_any(&entry.room, room))
}

/// Why a rule is skipped. Formatted only on request, because most rules skip most events.
pub(super) enum Unmet<'a> {
    Event(&'a EventType, &'a [EventType]),
    Absent(&'a str),
    Glob(&'a str, Cow<'a, str>, &'a [Glob]),
    Below(&'a str, u64, u64),
    NotBelow(&'a str, u64, u64),
    Holds(&'a Matcher, &'a FieldValues<'a>),
    InWords(String),
}

impl Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(given, wanted) => f.write_str(&wrong_type(given, wanted)),
            Self::Absent(field) => write!(f, "no field {field}"),
            Self::Glob(key, value, globs) => {
                let globs = list(globs.iter().map(|glob| &glob.text));
                write!(f, "{key} {value:?} matches none of {globs}")
            }
            Self::Below(key, value, least) => write!(f, "{key} {value} is below {least}"),
            Self::NotBelow(key, value, bound) => write!(f, "{key} {value} is not below {bound}"),
            Self::Holds(matcher, fields) => write!(f, "not: {}", describe(matcher, fields)),
            Self::InWords(reason) => f.write_str(reason),
        }
    }
}

/// Checks every key of `when`. `names` is called only when there is an expression.
pub(super) fn check<'a>(
    when: &'a Condition,
    event_type: &'a EventType,
    fields: &'a FieldValues<'a>,
    names: impl FnOnce(&Expression) -> Cow<'a, Names>,
) -> Result<(), Unmet<'a>> {
    if !when.events.contains(event_type) {
        return Err(Unmet::Event(event_type, &when.events));
    }
    when.matchers
        .iter()
        .try_for_each(|matcher| check_matcher(matcher, fields))?;
    let Some(expression) = &when.expression else {
        return Ok(());
    };
    match why_not(expression, &names(expression)) {
        Ok(None) => Ok(()),
        Ok(Some(reason)) | Err(reason) => Err(Unmet::InWords(reason)),
    }
}

/// Why an `if` does not hold; `None` when it does. A value that the event lacks is a reason; an
/// error means that the expression cannot be evaluated.
pub(super) fn why_not(expression: &Expression, names: &Names) -> Result<Option<String>, String> {
    let source = expression.source();
    match expression.holds(names) {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(format!("if: {source} does not hold"))),
        Err(Fault::Absent(reason)) => Ok(Some(reason)),
        Err(Fault::Broken(reason)) => Err(format!("if: {source}: {reason}")),
    }
}

fn wrong_type(given: &EventType, wanted: &[EventType]) -> String {
    let names: Vec<_> = wanted.iter().map(EventType::name).collect();
    let relation = if names.len() == 1 {
        "is not"
    } else {
        "is none of"
    };
    format!("event {} {relation} {}", given.name(), names.join(", "))
}

fn check_matcher<'a>(matcher: &'a Matcher, fields: &'a FieldValues<'a>) -> Result<(), Unmet<'a>> {
    match matcher {
        Matcher::Glob { key, field, globs } => {
            let value = text(fields, field)?;
            if matches_any(globs, &value) {
                return Ok(());
            }
            Err(Unmet::Glob(key, value, globs))
        }
        Matcher::Range {
            key,
            field,
            at_least,
            below,
        } => match (number(fields, field)?, *at_least, *below) {
            (value, Some(least), _) if value < least => Err(Unmet::Below(key, value, least)),
            (value, _, Some(bound)) if value >= bound => Err(Unmet::NotBelow(key, value, bound)),
            _ => Ok(()),
        },
        Matcher::Not(matchers) => matchers
            .iter()
            .find(|matcher| check_matcher(matcher, fields).is_ok())
            .map_or(Ok(()), |held| Err(Unmet::Holds(held, fields))),
    }
}

fn describe(matcher: &Matcher, fields: &FieldValues<'_>) -> String {
    match matcher {
        Matcher::Glob { key, field, globs } => {
            let value = text(fields, field).unwrap_or_default();
            let matching = globs.iter().filter(|glob| glob.matcher.is_match(&*value));
            format!(
                "{key} {value:?} matches {}",
                list(matching.map(|glob| &glob.text))
            )
        }
        Matcher::Range {
            key,
            field,
            at_least,
            below,
        } => {
            let value = number(fields, field).unwrap_or_default();
            let from = at_least.map(|bound| format!("at least {bound}"));
            let to = below.map(|bound| format!("below {bound}"));
            let bounds: Vec<_> = from.into_iter().chain(to).collect();
            format!("{key} {value} is {}", bounds.join(" and "))
        }
        Matcher::Not(_) => "an inner not holds".to_owned(),
    }
}

fn matches_any(globs: &[Glob], value: &str) -> bool {
    globs.iter().any(|glob| glob.matcher.is_match(value))
}

fn list<T: Display>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    items.join(", ")
}

fn text<'a>(fields: &'a FieldValues<'a>, field: &'a str) -> Result<Cow<'a, str>, Unmet<'a>> {
    fields.get(field).map(as_text).ok_or(Unmet::Absent(field))
}

/// A field's value as text for globs and order keys.
pub(super) fn as_text<'a>(value: &Field<'a>) -> Cow<'a, str> {
    match value {
        Field::Text(text) => Cow::Borrowed(text),
        Field::Number(_) | Field::Time(_) => Cow::Owned(value.to_string()),
    }
}

fn number<'a>(fields: &FieldValues<'_>, field: &'a str) -> Result<u64, Unmet<'a>> {
    let value = fields.get(field).and_then(|value| value.number());
    value.ok_or(Unmet::Absent(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{self, event, expression, glob, globs};

    fn at_least(key: &'static str, field: &'static str, bound: u64) -> Matcher {
        Matcher::Range {
            key,
            field,
            at_least: Some(bound),
            below: None,
        }
    }

    fn below(key: &'static str, field: &'static str, bound: u64) -> Matcher {
        Matcher::Range {
            key,
            field,
            at_least: None,
            below: Some(bound),
        }
    }

    fn not(matchers: Vec<Matcher>) -> Vec<Matcher> {
        vec![Matcher::Not(matchers)]
    }

    /// The reason, or "" when the matchers hold for room `class-7`, height 720, 65 seconds, MP4.
    fn reason(matchers: Vec<Matcher>) -> String {
        let event = event();
        let when = Condition {
            matchers,
            ..fixtures::condition()
        };
        let fields = event.fields.entries().collect();
        let met = check(&when, &event.fields.event_type, &fields, |_| unreachable!());
        met.err()
            .map_or_else(String::new, |unmet| unmet.to_string())
    }

    #[test]
    fn failed_key_is_named_with_its_value() {
        let room = |patterns: &[&str]| glob("room", "room_id", patterns);
        for (matchers, expected) in [
            (vec![], ""),
            (vec![room(&["class-*"])], ""),
            (vec![room(&["lab-?", "class-7"])], ""),
            (
                vec![room(&["lab-?", "class"])],
                "room \"class-7\" matches none of lab-?, class",
            ),
            (
                vec![glob("stream", "stream_name", &["*"])],
                "no field stream_name",
            ),
            (vec![at_least("duration", "record_duration", 65)], ""),
            (
                vec![at_least("duration", "record_duration", 66)],
                "duration 65 is below 66",
            ),
            (vec![below("height", "height", 721)], ""),
            (
                vec![below("height", "height", 720)],
                "height 720 is not below 720",
            ),
            (vec![below("size", "file_size", 9)], "no field file_size"),
            (
                vec![room(&["class-*"]), at_least("height", "height", 721)],
                "height 720 is below 721",
            ),
            (not(vec![room(&["lab-*"])]), ""),
            (not(vec![glob("stream", "stream_name", &["*"])]), ""),
            (
                not(vec![room(&["lab-*"]), room(&["x", "class-?", "class-*"])]),
                "not: room \"class-7\" matches class-?, class-*",
            ),
            (
                not(vec![Matcher::Range {
                    key: "height",
                    field: "height",
                    at_least: Some(1),
                    below: Some(999),
                }]),
                "not: height 720 is at least 1 and below 999",
            ),
            (not(not(vec![room(&["lab-*"])])), "not: an inner not holds"),
        ] {
            let shown = format!("{matchers:?}");
            assert_eq!(reason(matchers), expected, "{shown}");
        }
    }

    #[test]
    fn event_type_is_one_of_those_asked_for() {
        let start = EventType::RecordNewFileStart;
        let complete = EventType::RecordFileComplete;
        let over = EventType::CloudRecordServerOver;
        for (events, expected) in [
            (vec![start.clone(), complete.clone()], Ok(())),
            (
                vec![start.clone()],
                Err("event RECORD_FILE_COMPLETE is not RECORD_NEW_FILE_START"),
            ),
            (
                vec![start, over],
                Err(
                    "event RECORD_FILE_COMPLETE is none of RECORD_NEW_FILE_START, CLOUD_RECORD_SERVER_OVER",
                ),
            ),
        ] {
            let when = Condition {
                events,
                ..Condition::default()
            };
            let fields = FieldValues::new();
            let result = check(&when, &complete, &fields, |_| unreachable!());
            let result = result.map_err(|unmet| unmet.to_string());
            assert_eq!(result, expected.map_err(str::to_owned));
        }
    }

    #[test]
    fn expression_that_does_not_hold_says_so() {
        let rules = fixtures::rules(vec![]);
        for (source, expected) in [
            ("height >= 720 and room.vars.channel == 'lectures'", ""),
            ("height > 720", "if: height > 720 does not hold"),
            ("stream_name == 'x'", "no field stream_name"),
            ("stream_name != 'x'", "no field stream_name"),
            ("stream_name", "no field stream_name"),
            ("not stream_name", "no field stream_name"),
            ("height < 720 or stream_name", "no field stream_name"),
            ("height >= 720 or stream_name", ""),
            ("'x' in stream_name", "no field stream_name"),
            ("stream_name | upper == 'X'", "no field stream_name"),
            ("stream_name is not defined", ""),
            ("stream_name | default('x') == 'x'", ""),
            ("room.vars.chanel == 'x'", "no room.vars.chanel"),
            ("event.extra.a == 1", ""),
            ("event.extra.b", "no field event.extra.b"),
            ("event['other']", "no field event['other']"),
            ("object.extension == 'mp4'", ""),
            (
                "height | date('%Y', 'Mars' ~ 'x')",
                "if: height | date('%Y', 'Mars' ~ 'x'): unknown time zone \"Marsx\"",
            ),
        ] {
            let event = event();
            let when = Condition {
                expression: Some(expression(source)),
                ..fixtures::condition()
            };
            let names = fixtures::context(&event).names("r", room(&rules, &event.fields));
            let fields = event.fields.entries().collect();
            let names = |_: &Expression| Cow::Borrowed(&names);
            let result = check(&when, &event.fields.event_type, &fields, names);
            let reason = result
                .err()
                .map_or_else(String::new, |unmet| unmet.to_string());
            assert_eq!(reason, expected, "{source}");
        }
    }

    #[test]
    fn first_matching_room_entry_wins() {
        let rules = fixtures::rules(vec![]);
        let mut fields = event().fields;
        for (room_id, expected) in [
            (Some("class-7"), Some("teaching")),
            (Some("lab-1"), Some("other")),
            (None, None),
        ] {
            fields.room = room_id.map(str::to_owned);
            let department = room(&rules, &fields).map(|entry| entry.tags["department"].as_str());
            assert_eq!(department, expected);
        }
        assert!(matches_any(&globs(&["*"]), ""));
    }
}
