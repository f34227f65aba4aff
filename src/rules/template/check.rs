//! Refuses unknown names and suggests the closest known one.
//!
//! minijinja reports them only on rendering; this module finds them when the file is loaded, as
//! well as wrong time zones, date formats and durations that are literals.

use std::collections::HashSet;
use std::ops::Range;

use super::language::{FILTERS, FUNCTIONS, TESTS, check_format, parse_lifetime, parse_zone};
use super::scan::{Kind, Token};
use super::{PartOf, Scope, TemplateError};
use crate::model::event::Fields;
use crate::yaml::spelling;

const ROOTS: &[&str] = &[
    "event",
    "event_id",
    "task_id",
    "rule",
    "room",
    "object",
    "steps",
    "signed_url",
    "failure",
];

const OBJECT: &[&str] = &[
    "bucket",
    "key",
    "folder",
    "name",
    "stem",
    "extension",
    "url",
];

const ROOM: &[&str] = &["tags", "vars"];

const FAILURE: &[&str] = &["kind", "reason"];

/// Whether the name is a field that the recorder sent.
pub(super) fn is_field(root: &str) -> bool {
    root == "event" || Fields::NAMES.contains(&root)
}

/// Maximum tokens in one `{{ }}`, `{% %}` or expression. minijinja parses `a + a + …` as nested
/// sums and recurses into all of them.
const MOST_TOKENS: usize = 400;

/// Maximum `elif`s of a template: minijinja parses them as nested ifs.
const MOST_ELIF: usize = 50;

/// Refuses a source whose parsing could overflow the stack. Texts, numbers and commas do not count,
/// so that long lists are allowed.
pub(super) fn too_much(tokens: &[Token<'_>]) -> Option<TemplateError> {
    let (mut part, mut length, mut elifs) = (0, 0, 0);
    for token in tokens {
        if token.part != part {
            (part, length) = (token.part, 0);
        }
        let number = token.text.starts_with(|first: char| first.is_ascii_digit());
        length += usize::from(token.kind != Kind::Text && token.text != "," && !number);
        elifs += usize::from(is_name(token, "elif"));
        let message = if length > MOST_TOKENS {
            format!(
                "more than {MOST_TOKENS} words and signs in one part; split it with `{{% set %}}`"
            )
        } else if elifs > MOST_ELIF {
            format!("more than {MOST_ELIF} `elif`; write a list of rules instead")
        } else {
            continue;
        };
        let range = Some(token.range.clone());
        return Some(TemplateError { message, range });
    }
    None
}

/// Checks all names, filters, tests and literal arguments. `named` are the outside names that
/// minijinja finds in the source, such as `room_id` or `object.name`.
pub(super) fn check(
    tokens: &[Token<'_>],
    named: &HashSet<String>,
    scope: Scope<'_>,
) -> Result<(), TemplateError> {
    let unknown_names = named.iter().filter_map(|name| {
        let message = name_fault(name, scope)?;
        Some((find(tokens, name), message))
    });
    let words = (0..tokens.len()).filter_map(|at| {
        let (token, message) = word_fault(tokens, at)?;
        Some((Some(token.range.clone()), message))
    });
    let first = unknown_names
        .chain(words)
        .min_by_key(|(range, message)| (range.as_ref().map(|range| range.start), message.clone()));
    match first {
        Some((range, message)) => Err(TemplateError { message, range }),
        None => Ok(()),
    }
}

fn name_fault(name: &str, scope: Scope<'_>) -> Option<String> {
    let mut parts = name.split('.');
    let root = parts.next()?;
    let member = parts.next();
    let deeper = parts.next();
    match (root, member) {
        ("failure", _) if scope.part_of < PartOf::Message => Some(
            "failure can be used only in a destination's text, which notices of dead tasks use too"
                .to_owned(),
        ),
        ("failure", Some(member)) => member_fault("failure", member, FAILURE)
            .or_else(|| deeper.map(|deeper| no_member(&format!("failure.{member}"), deeper))),
        ("event", _) | (_, None)
            if root != "signed_url" && (ROOTS.contains(&root) || is_known(root)) =>
        {
            None
        }
        ("signed_url", _) if scope.part_of < PartOf::Notify => {
            Some("signed_url can be called in notify only".to_owned())
        }
        ("signed_url", None) => None,
        ("room", Some(member)) => member_fault("room", member, ROOM),
        ("steps", Some(member)) => step_fault(member, scope.earlier_steps),
        ("object", Some(member)) => member_fault("object", member, OBJECT)
            .or_else(|| deeper.map(|deeper| no_member(&format!("object.{member}"), deeper))),
        (root, Some(member)) if ROOTS.contains(&root) || is_known(root) => {
            Some(no_member(root, member))
        }
        _ => Some(unknown("name", root, all_roots())),
    }
}

fn is_known(root: &str) -> bool {
    Fields::NAMES.contains(&root) || FUNCTIONS.contains(&root)
}

fn all_roots() -> impl Iterator<Item = &'static str> {
    let roots = Fields::NAMES.into_iter().chain(ROOTS.iter().copied());
    roots.chain(FUNCTIONS.iter().copied())
}

fn member_fault(root: &str, member: &str, known: &[&str]) -> Option<String> {
    (!known.contains(&member)).then(|| {
        let hint = closest(member, known.iter().copied());
        format!("{root} has no {member:?}{hint}")
    })
}

fn no_member(of: &str, member: &str) -> String {
    format!("{of} is a single value and has no {member:?}")
}

fn step_fault(id: &str, earlier: &[String]) -> Option<String> {
    let known = earlier.iter().map(String::as_str);
    (!earlier.iter().any(|step| step == id)).then(|| {
        let hint = closest(id, known);
        format!("no step {id:?} comes before this{hint}")
    })
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("unknown {what} {name:?}{}", closest(name, known))
}

/// Why the filter, test or literal argument at token `at` is refused.
fn word_fault<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> Option<(&'t Token<'a>, String)> {
    let token = &tokens[at];
    let before = &tokens[..at];
    let after = &tokens[at + 1..];
    match token.kind {
        Kind::Name if is_filter(before) => {
            if !FILTERS.contains(&token.text) {
                return Some((token, unknown("filter", token.text, known(FILTERS))));
            }
            (token.text == "date").then(|| date_fault(after)).flatten()
        }
        Kind::Name if is_test(before, token) && !TESTS.contains(&token.text) => {
            Some((token, unknown("test", token.text, known(TESTS))))
        }
        Kind::Name if token.text == "signed_url" && !follows(before, ".") => lifetime_fault(after),
        _ => None,
    }
}

fn known(names: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    names.iter().copied()
}

fn follows(before: &[Token<'_>], sign: &str) -> bool {
    before
        .last()
        .is_some_and(|token| token.kind == Kind::Sign && token.text == sign)
}

/// Whether a filter's name comes next: after `|` or `{% filter`.
fn is_filter(before: &[Token<'_>]) -> bool {
    let opens_block = |tokens: &[Token<'_>]| matches!(tokens, [.., block, word] if block.kind == Kind::Block && is_name(word, "filter"));
    follows(before, "|") || opens_block(before)
}

/// Whether a test's name comes next: after `is` or `is not`.
fn is_test(before: &[Token<'_>], token: &Token<'_>) -> bool {
    match before {
        [rest @ .., word] if is_name(word, "is") => !follows(rest, ".") && token.text != "not",
        [.., word, not] => is_name(word, "is") && is_name(not, "not"),
        _ => false,
    }
}

fn is_name(token: &Token<'_>, text: &str) -> bool {
    token.kind == Kind::Name && token.text == text
}

fn date_fault<'t, 'a>(after: &'t [Token<'a>]) -> Option<(&'t Token<'a>, String)> {
    let format = argument(after, "(")?;
    let faulty = check_format(format.text).err().map(|fault| (format, fault));
    faulty.or_else(|| {
        let zone = argument(&after[2..], ",")?;
        Some((zone, parse_zone(zone.text).err()?))
    })
}

fn lifetime_fault<'t, 'a>(after: &'t [Token<'a>]) -> Option<(&'t Token<'a>, String)> {
    let lifetime = argument(after, "(")?;
    Some((lifetime, parse_lifetime(lifetime.text).err()?))
}

/// The literal text after `sign`, if it is a whole argument. Texts with escapes are not checked.
fn argument<'t, 'a>(tokens: &'t [Token<'a>], sign: &str) -> Option<&'t Token<'a>> {
    match tokens {
        [opening, text, closing, ..]
            if opening.text == sign
                && text.kind == Kind::Text
                && !text.text.contains('\\')
                && [",", ")"].contains(&closing.text) =>
        {
            Some(text)
        }
        _ => None,
    }
}

fn find(tokens: &[Token<'_>], name: &str) -> Option<Range<usize>> {
    (0..tokens.len()).find_map(|at| {
        if follows(&tokens[..at], ".") {
            return None;
        }
        let mut end = tokens[at].range.end;
        let mut rest = &tokens[at..];
        for (number, part) in name.split('.').enumerate() {
            if number > 0 {
                rest = rest.split_first().filter(|(dot, _)| dot.text == ".")?.1;
            }
            let (word, after) = rest.split_first().filter(|(word, _)| is_name(word, part))?;
            end = word.range.end;
            rest = after;
        }
        Some(tokens[at].range.start..end)
    })
}

/// `; did you mean "…"?` with the closest of `known`, or nothing when none is close.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    spelling::closest(name, known)
        .map_or_else(String::new, |meant| format!("; did you mean {meant:?}?"))
}
