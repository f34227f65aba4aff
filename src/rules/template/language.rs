//! The template language: minijinja with our filters, limits and error texts.
//!
//! Undefined names are errors, only chat messages and URLs are escaped, and rendering has bounded
//! work, so that no rules file can stop the service.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    escape_formatter, filters,
};
use sha2::{Digest, Sha256};

use super::check::closest;
use crate::chat;

/// Fuel of one rendering: one unit for each instruction or 64 bytes of data. Writing the largest
/// callback (64 KiB) as JSON takes 16,000.
const FUEL: u64 = 100_000;

/// Most values in a list or map that is written; far more than a callback can hold.
const MOST_VALUES: usize = 100_000;

/// Nested loops and blocks; far more than a rule needs, far less than a thread's stack holds.
const DEPTH: usize = 50;

pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH);
    // Only in debug mode do errors name the undefined variable.
    environment.set_debug(true);
    environment.set_formatter(write_value);
    environment.remove_global("debug");
    // `namespace` lets a loop nest a value thousands deep; dropping that overflows the stack.
    environment.remove_global("namespace");
    environment.add_filter("date", date);
    environment.add_filter("slug", slug);
    environment.add_filter("hash", hash);
    environment
}

/// Name of templates for parts of a URL.
pub(super) const ADDRESS: &str = "address";

/// Environment for parts of a URL. The output of `urlencode` is not encoded again.
pub(super) fn for_addresses() -> Environment<'static> {
    let mut environment = ENVIRONMENT.clone();
    environment.add_filter("urlencode", |value: &Value| {
        filters::urlencode(value).map(Value::from_safe_string)
    });
    environment
}

/// minijinja's filters, which it does not list, and `date`, `slug` and `hash`.
#[rustfmt::skip]
pub(super) const FILTERS: &[&str] = &[
    "abs", "attr", "batch", "bool", "capitalize", "chain", "count", "d", "date", "default",
    "dictsort", "e", "escape", "first", "float", "format", "groupby", "hash", "indent", "int",
    "items", "join", "last", "length", "lines", "list", "lower", "map", "max", "min", "pprint",
    "reject", "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr",
    "slice", "slug", "sort", "split", "string", "sum", "title", "tojson", "trim", "unique",
    "upper", "urlencode", "zip",
];

/// minijinja's tests: the words allowed after `is`.
#[rustfmt::skip]
pub(super) const TESTS: &[&str] = &[
    "boolean", "defined", "divisibleby", "endingwith", "eq", "equalto", "escaped", "even",
    "false", "filter", "float", "ge", "greaterthan", "gt", "in", "int", "integer", "iterable",
    "le", "lessthan", "lower", "lt", "mapping", "ne", "none", "number", "odd", "safe", "sameas",
    "sequence", "startingwith", "string", "test", "true", "undefined", "upper",
];

pub(super) const FUNCTIONS: &[&str] = &["dict", "range"];

/// Writes a value. Nulls are refused: minijinja would write them as `None`.
fn write_value(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        let hint = "a null cannot be written into a text; default('…', true) replaces it";
        return Err(invalid(hint));
    }
    if lacks_inside(value)? {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    match in_chat(state.name(), value).or_else(|| in_address(state.name(), value)) {
        Some(text) => output.write_str(&text).map_err(Error::from),
        None => escape_formatter(output, state, value),
    }
}

/// The value escaped for a chat, or `None` when escaping changes nothing. The template's own text
/// and values passed through `| safe` are not escaped.
fn in_chat(template: &str, value: &Value) -> Option<String> {
    let chat = chat::named(template).filter(|_| !value.is_safe())?;
    chat.escaped(&value.to_string())
}

/// The value percent-encoded for a URL, or `None` when that changes nothing. Values cannot start a
/// query or add to one. Those passed through `| safe` or `| urlencode` may hold several parameters,
/// but cannot start a query either.
fn in_address(template: &str, value: &Value) -> Option<String> {
    let parts = if value.is_safe() { "?#" } else { "?#&=+;" };
    let text = (template == ADDRESS).then(|| value.to_string())?;
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        if parts.contains(character) {
            let _ = write!(written, "%{:02X}", u32::from(character));
        } else {
            written.push(character);
        }
    }
    Some(written)
}

/// Whether a list or map holds an undefined value, which minijinja would ignore. An error when
/// there are too many values to check, as in `[1] * 99999999`.
pub(super) fn lacks_inside(value: &Value) -> Result<bool, Error> {
    let mut room = MOST_VALUES;
    lacks(value, &mut room).ok_or_else(|| Error::from(ErrorKind::OutOfFuel))
}

/// `None` when more than `room` values were seen.
fn lacks(value: &Value, room: &mut usize) -> Option<bool> {
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && value.kind() != ValueKind::Seq && value.kind() != ValueKind::Iterable {
        return Some(false);
    }
    for item in value.try_iter().into_iter().flatten() {
        *room = room.checked_sub(1)?;
        let inner = if is_map {
            value.get_item(&item)
        } else {
            Ok(item)
        };
        if let Ok(inner) = inner
            && (inner.is_undefined() || lacks(&inner, room)?)
        {
            return Some(true);
        }
    }
    Some(false)
}

fn invalid(text: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

/// `date(format, zone)`: formats a time given as RFC 3339 or seconds since the epoch.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands out a Cow, which also takes numbers"
)]
fn date(time: Cow<'_, str>, format: &str, zone: Option<&str>) -> Result<String, Error> {
    let zone = zone.map_or(Ok(Tz::UTC), parse_zone).map_err(invalid)?;
    check_format(format).map_err(invalid)?;
    let time = parse_time(&time).ok_or_else(|| {
        invalid(format!(
            "{time:?} is not a time like 2026-03-02T01:00:01Z, nor seconds since 1970"
        ))
    })?;
    let mut text = String::new();
    write!(text, "{}", time.with_timezone(&zone).format(format))
        .map_err(|_| invalid(format!("the time {time} cannot be written as {format:?}")))?;
    Ok(text)
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    match text.parse() {
        Ok(seconds) => Utc.timestamp_opt(seconds, 0).single(),
        Err(_) => Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()),
    }
}

/// Refuses formats that chrono cannot write, which would otherwise fail at the first recording.
pub(super) fn check_format(format: &str) -> Result<(), String> {
    if StrftimeItems::new(format).any(|item| matches!(item, Item::Error)) {
        return Err(format!("{format:?} is not a date format like %Y-%m-%d"));
    }
    Ok(())
}

pub(super) fn parse_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        let known = closest(name, TZ_VARIANTS.iter().map(|zone| zone.name()));
        format!("unknown time zone {name:?}{known}")
    })
}

/// Lifetime of a signed link, as in `signed_url('24h')`.
pub(in crate::rules) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is not a duration like 24h"))
}

/// `slug`: lower case; every run of characters other than letters and digits becomes one hyphen.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands out a Cow, which also takes numbers"
)]
fn slug(text: Cow<'_, str>) -> String {
    let lower = text.to_lowercase();
    let words = lower
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// `hash(n)`: the first `n` of the 64 hexadecimal digits of the text's SHA-256.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands out a Cow, which also takes numbers"
)]
fn hash(text: Cow<'_, str>, digits: usize) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digit = |half: u8| char::from_digit(u32::from(half), 16);
    let all = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    all.filter_map(digit).take(digits).collect()
}

/// The error without minijinja's template name and line, which mean nothing to the user.
pub(super) fn text(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the template does too much work".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    }
}

/// The undefined name, if that is the error. minijinja gives it only in texts such as "`room_id` is
/// undefined", sometimes as the cause of another error.
pub(super) fn undefined(error: &Error) -> Option<&str> {
    if error.kind() == ErrorKind::UnknownFunction {
        // Unknown functions were refused at load: this one exists only when there is an object.
        return error.detail()?.strip_suffix(" is unknown");
    }
    let named = error.detail().and_then(|detail| {
        let (before, _) = detail.split_once("` is undefined")?;
        Some(before.rsplit_once('`').map_or(before, |(_, name)| name))
    });
    let cause = || {
        std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<Error>())
            .and_then(undefined)
    };
    let unnamed = || (error.kind() == ErrorKind::UndefinedError).then_some("value for a name");
    named.or_else(cause).or_else(unnamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_filter_and_test_exists() {
        let mut state = ENVIRONMENT.empty_state();
        for name in FILTERS {
            let kind = state.apply_filter(name, &[]).map_err(|error| error.kind());
            assert_ne!(kind.err(), Some(ErrorKind::UnknownFilter), "{name}");
        }
        for name in TESTS {
            let kind = state.perform_test(name, &[]).map_err(|error| error.kind());
            assert_ne!(kind.err(), Some(ErrorKind::UnknownTest), "{name}");
        }
    }

    #[test]
    fn date_is_written_in_its_zone() {
        for (time, format, zone, expected) in [
            ("2026-03-02T23:00:01Z", "%Y-%m-%d", None, "2026-03-02"),
            (
                "2026-03-02T23:00:01Z",
                "%Y-%m-%d",
                Some("Asia/Shanghai"),
                "2026-03-03",
            ),
            (
                "2026-03-02T23:00:01.075+08:00",
                "%H:%M:%S%.3f",
                None,
                "15:00:01.075",
            ),
            ("1619600300", "%FT%T", Some("UTC"), "2021-04-28T08:58:20"),
        ] {
            assert_eq!(date(time.into(), format, zone).unwrap(), expected);
        }
    }

    #[test]
    fn date_refuses_with_the_word_at_fault() {
        for (time, format, zone, expected) in [
            (
                "yesterday",
                "%Y",
                None,
                "\"yesterday\" is not a time like 2026-03-02T01:00:01Z, nor seconds since 1970",
            ),
            ("0", "%Q", None, "\"%Q\" is not a date format like %Y-%m-%d"),
            (
                "0",
                "%Y",
                Some("Asia/Shangai"),
                "unknown time zone \"Asia/Shangai\"; did you mean \"Asia/Shanghai\"?",
            ),
            (
                "99999999999999999",
                "%Y",
                None,
                "\"99999999999999999\" is not a time like 2026-03-02T01:00:01Z, nor seconds since 1970",
            ),
        ] {
            assert_eq!(
                text(&date(time.into(), format, zone).unwrap_err()),
                expected
            );
        }
    }

    #[test]
    fn slug_keeps_letters_of_any_script() {
        for (given, expected) in [
            ("Class 7 / Über", "class-7-über"),
            ("录制 room.01", "录制-room-01"),
            ("--", ""),
        ] {
            assert_eq!(slug(given.into()), expected);
        }
    }

    #[test]
    fn hash_has_as_many_digits_as_asked_for() {
        assert_eq!(hash("abc".into(), 8), "ba7816bf");
        assert_eq!(hash("abc".into(), 999).len(), 64);
    }
}
