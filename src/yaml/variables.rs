//! Expands `${NAME}`, `${NAME:-default}` and `$$` in a scalar.
//!
//! Scalars are already parsed, so a value can never add structure to the file. The unexpanded text
//! is kept for messages and for JSON.

use std::ops::Range;

use crate::model::secret::SHOWN;

/// Where `${NAME}` takes its value from.
pub trait Variables {
    fn get(&self, name: &str) -> Option<String>;

    /// The content of the file at `path`, which the variable `NAME_FILE` contains. The error does
    /// not contain the path.
    fn file(&self, path: &str) -> Result<String, String>;

    /// Which other users can read that file, and how to prevent it; `None` when none can. Does not
    /// contain the path.
    fn exposed(&self, _path: &str) -> Option<String> {
        None
    }
}

/// Variables without files, for tests.
impl Variables for std::collections::BTreeMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).map(|value| (*value).to_owned())
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Err("there are no files here".to_owned())
    }
}

/// Maximum bytes of a value: everything stored and logged is searched for it, to mask it.
const LONGEST: usize = 64 * 1024;

#[derive(Clone, Default)]
pub(crate) struct Text {
    /// The text with real values.
    pub(crate) value: String,
    /// The text for messages: `***` for everything from the environment.
    pub(crate) shown: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    raw: Range<usize>,
    value: Range<usize>,
    origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Literal,
    Default,
    Environment {
        name: String,
        /// Which other users can read the file that it came from.
        exposed: Option<String>,
    },
}

struct Value {
    text: String,
    exposed: Option<String>,
}

impl Part {
    /// The offset in the unexpanded text; `edge` for a variable's value.
    fn raw_offset(&self, offset: usize, edge: usize) -> usize {
        if self.origin == Origin::Literal && self.raw.len() == self.value.len() {
            self.raw.start + offset.min(self.value.end) - self.value.start
        } else {
            edge
        }
    }
}

/// Why a scalar cannot be expanded; `range` is in the unexpanded text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpandable {
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({:?})", self.shown)
    }
}

impl Text {
    pub(crate) fn expand(raw: &str, variables: &dyn Variables) -> Result<Self, Unexpandable> {
        let mut text = Self::default();
        let mut at = 0;
        while let Some(found) = raw[at..].find('$') {
            let dollar = at + found;
            text.push(at..dollar, &raw[at..dollar], Origin::Literal);
            at = if raw[dollar..].starts_with("$$") {
                text.push(dollar..dollar + 2, "$", Origin::Literal);
                dollar + 2
            } else if raw[dollar..].starts_with("${") {
                text.variable(raw, dollar, variables)?
            } else {
                text.push(dollar..dollar + 1, "$", Origin::Literal);
                dollar + 1
            };
        }
        text.push(at..raw.len(), &raw[at..], Origin::Literal);
        Ok(text)
    }

    /// The parts of the value that came from the environment, with their variables' names.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.parts.iter().filter_map(|part| match &part.origin {
            Origin::Environment { name, .. } => Some((name.as_str(), part.value.clone())),
            Origin::Literal | Origin::Default => None,
        })
    }

    /// The variables read from files that other users can read, and which users.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|part| match &part.origin {
            Origin::Environment { name, exposed } => Some((name.as_str(), exposed.as_deref()?)),
            Origin::Literal | Origin::Default => None,
        })
    }

    /// The range of the unexpanded text that `range` of the value came from: the whole `${…}` for a
    /// part of a variable's value.
    pub(crate) fn to_raw(&self, range: &Range<usize>) -> Range<usize> {
        let part_at = |offset: usize| {
            let found = self.parts.iter().find(|part| part.value.contains(&offset));
            found.or(self.parts.last())
        };
        let start =
            part_at(range.start).map_or(0, |part| part.raw_offset(range.start, part.raw.start));
        let end = part_at(range.end.saturating_sub(1))
            .map_or(0, |part| part.raw_offset(range.end, part.raw.end));
        start..end.max(start)
    }

    fn push(&mut self, raw: Range<usize>, value: &str, origin: Origin) {
        if raw.is_empty() {
            return;
        }
        let start = self.value.len();
        self.value.push_str(value);
        self.shown.push_str(match origin {
            Origin::Environment { .. } => SHOWN,
            Origin::Literal | Origin::Default => value,
        });
        let value = start..self.value.len();
        self.parts.push(Part { raw, value, origin });
    }

    /// Fills in the variable whose `$` is at `dollar`; returns where it ends.
    fn variable(
        &mut self,
        raw: &str,
        dollar: usize,
        variables: &dyn Variables,
    ) -> Result<usize, Unexpandable> {
        let inner = &raw[dollar + 2..];
        let end = inner.find('}').unwrap_or(inner.len());
        let range = dollar..(dollar + 3 + end).min(raw.len());
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        if end == inner.len() || !is_name(name) {
            return Err(Unexpandable {
                range,
                message: "`${` does not begin a variable".to_owned(),
                help: "write `${NAME}` or `${NAME:-default}`; `$$` is a dollar sign".to_owned(),
            });
        }
        match (value_of(name, variables), default) {
            (Ok(Some(Value { text, .. })), _) if text.len() > LONGEST => {
                return Err(too_long(name, range, text.len()));
            }
            // As in a shell, `:-` also replaces an empty value.
            (Ok(Some(Value { text, exposed })), default)
                if !text.is_empty() || default.is_none() =>
            {
                let name = name.to_owned();
                self.push(range.clone(), &text, Origin::Environment { name, exposed });
            }
            (Ok(_), Some(default)) => self.push(range.clone(), default, Origin::Default),
            (Ok(_), None) => return Err(unset(name, range)),
            (Err(reason), _) => return Err(unreadable(name, range, &reason)),
        }
        Ok(range.end)
    }
}

pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn value_of(name: &str, variables: &dyn Variables) -> Result<Option<Value>, String> {
    if let Some(text) = variables.get(name) {
        let exposed = None;
        return Ok(Some(Value { text, exposed }));
    }
    let Some(path) = variables.get(&format!("{name}_FILE")) else {
        return Ok(None);
    };
    let content = variables.file(&path)?;
    let content = content.strip_suffix('\n').unwrap_or(&content);
    Ok(Some(Value {
        text: content.strip_suffix('\r').unwrap_or(content).to_owned(),
        exposed: variables.exposed(&path),
    }))
}

fn unset(name: &str, range: Range<usize>) -> Unexpandable {
    Unexpandable {
        range,
        message: format!("the variable {name} is not set"),
        help: format!("set {name} or {name}_FILE, or give a default: `${{{name}:-…}}`"),
    }
}

fn too_long(name: &str, range: Range<usize>, length: usize) -> Unexpandable {
    Unexpandable {
        range,
        message: format!("the value of {name} has {length} bytes; it may have {LONGEST}"),
        help: format!("compare what {name} or {name}_FILE is set to"),
    }
}

fn unreadable(name: &str, range: Range<usize>, reason: &str) -> Unexpandable {
    Unexpandable {
        range,
        message: format!("the file that {name}_FILE names cannot be read: {reason}"),
        help: format!("make the file readable, or set {name} itself"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files;

    impl Variables for Files {
        fn get(&self, name: &str) -> Option<String> {
            let value = match name {
                "SET" => "value",
                "EMPTY" => "",
                "DOLLAR" => "${SET}",
                "SECRET_FILE" => "good",
                "LOST_FILE" => "bad",
                "HUGE_FILE" => "huge",
                _ => return None,
            };
            Some(value.to_owned())
        }

        fn file(&self, path: &str) -> Result<String, String> {
            match path {
                "good" => Ok("from a file\r\n".to_owned()),
                "huge" => Ok("x".repeat(LONGEST + 1)),
                _ => Err("not found".to_owned()),
            }
        }
    }

    #[test]
    fn variables_are_filled_in_once() {
        for (raw, value, shown) in [
            ("", "", ""),
            ("plain", "plain", "plain"),
            ("a ${SET} b", "a value b", "a *** b"),
            ("${SET}${SET}", "valuevalue", "******"),
            ("${SET:-other}", "value", "***"),
            ("${EMPTY}", "", "***"),
            ("${EMPTY:-other}", "other", "other"),
            ("${UNSET:-}", "", ""),
            ("${UNSET:-a:-b}", "a:-b", "a:-b"),
            ("$$", "$", "$"),
            ("$${SET}", "${SET}", "${SET}"),
            ("5$ and $SET", "5$ and $SET", "5$ and $SET"),
            ("${DOLLAR}", "${SET}", "***"),
            ("${SECRET}", "from a file", "***"),
        ] {
            let text = Text::expand(raw, &Files).unwrap();
            assert_eq!(
                (text.value.as_str(), text.shown.as_str()),
                (value, shown),
                "{raw}"
            );
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_named_with_its_place() {
        for (raw, range, message) in [
            ("a ${UNSET} b", 2..10, "the variable UNSET is not set"),
            (
                "${LOST}",
                0..7,
                "the file that LOST_FILE names cannot be read: not found",
            ),
            (
                "${HUGE}",
                0..7,
                "the value of HUGE has 65537 bytes; it may have 65536",
            ),
            ("${SET", 0..5, "`${` does not begin a variable"),
            ("x ${{ a }}", 2..9, "`${` does not begin a variable"),
            ("${1}", 0..4, "`${` does not begin a variable"),
            ("${}", 0..3, "`${` does not begin a variable"),
        ] {
            let error = Text::expand(raw, &Files).unwrap_err();
            assert_eq!(
                (error.range, error.message.as_str()),
                (range, message),
                "{raw}"
            );
        }
    }

    #[test]
    fn ranges_of_the_value_lead_back_to_the_file() {
        let text = Text::expand("a ${SET} $$ {{ x }}", &Files).unwrap();
        assert_eq!(text.value, "a value $ {{ x }}");
        assert_eq!(text.to_raw(&(13..14)), 15..16);
        assert_eq!(text.to_raw(&(3..4)), 2..8);
        assert_eq!(text.to_raw(&(0..17)), 0..19);
        // The value is as long as `${FIVE}`, but is not the file's text.
        let text = Text::expand("${FIVE}", &BTreeMap::from([("FIVE", "seven77")])).unwrap();
        assert_eq!(text.to_raw(&(2..4)), 0..7);
    }

    #[test]
    fn default_does_not_come_from_the_environment() {
        let env: BTreeMap<&str, &str> = [("A", "1")].into();
        let text = Text::expand("${A} ${B:-2}", &env).unwrap();
        assert_eq!(text.environment().collect::<Vec<_>>(), [("A", 0..1)]);
    }
}
