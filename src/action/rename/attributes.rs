//! Reads the attribute list of a tag (RFC 8216, section 4.2).
//!
//! Recorders write values without quotes or with single ones: both are accepted. Fails when it is
//! not clear where a value ends: an object whose URI we cannot read would be left behind.

use std::ops::Range;

use super::limits::ATTRIBUTES;

/// Maximum length of an attribute's name, in bytes.
const LONGEST_NAME: usize = 100;

/// An attribute: its name, and the position of its value in the list, without quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: Range<usize>,
}

pub(super) fn read(list: &str) -> Result<Vec<Attribute<'_>>, &'static str> {
    let mut attributes = Vec::new();
    let mut start = 0;
    while !list[start..].trim_ascii().is_empty() {
        let (attribute, next) = one(list, start)?;
        if attributes.len() == ATTRIBUTES {
            return Err("it has more than 1000 attributes");
        }
        attributes.push(attribute);
        start = next;
    }
    Ok(attributes)
}

/// The attribute that begins at `start`, and the start of the next one.
fn one(list: &str, start: usize) -> Result<(Attribute<'_>, usize), &'static str> {
    let equals = list[start..].find('=').ok_or("an attribute has no value")?;
    let name = list[start..start + equals].trim_ascii();
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(sound) {
        return Err("an attribute has no proper name");
    }
    let (value, end) = value(list, start + equals + 1)?;
    let rest = list[end..].trim_ascii_start();
    let next = match rest.chars().next() {
        None => list.len(),
        Some(',') => list.len() - rest.len() + 1,
        Some(_) => return Err("a comma is missing after a quoted value"),
    };
    Ok((Attribute { name, value }, next))
}

/// The value that begins at `start`, and its end including the quote.
fn value(list: &str, start: usize) -> Result<(Range<usize>, usize), &'static str> {
    let start = list.len() - list[start..].trim_ascii_start().len();
    if let Some(quote @ ('"' | '\'')) = list[start..].chars().next() {
        let start = start + 1;
        let length = list[start..].find(quote).ok_or("a quote is not closed")?;
        return Ok((start..start + length, start + length + 1));
    }
    let end = list[start..].find(',').map_or(list.len(), |at| start + at);
    let value = list[start..end].trim_ascii_end();
    if value.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'') {
        return Err("a value without quotes has a blank or a quote in it");
    }
    Ok((start..start + value.len(), end))
}

/// Whether a text may have an attribute whose name ends in `URI`, in any case and even if it is
/// malformed: the word alone, or these letters before the start of a value.
pub(super) fn may_name_uri(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends_name = |end: usize| {
        let next = bytes[end..].iter().find(|byte| !b" \t".contains(byte));
        next.is_none_or(|byte| b"=:\"'".contains(byte))
    };
    let is_word = |at: usize| {
        let outside = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
        outside(at.checked_sub(1).map(|before| &bytes[before])) && outside(bytes.get(at + 3))
    };
    let found = bytes.windows(3).enumerate();
    found
        .filter(|(_, three)| three.eq_ignore_ascii_case(b"URI"))
        .any(|(at, _)| ends_name(at + 3) || is_word(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &str) -> Result<Vec<(&str, &str)>, &'static str> {
        let read = read(list)?;
        Ok(read
            .iter()
            .map(|one| (one.name, &list[one.value.clone()]))
            .collect())
    }

    #[test]
    fn value_is_taken_with_double_single_or_no_quotes() {
        for (list, expected) in [
            (
                "URI=\"a,b.key\",IV=0x1",
                vec![("URI", "a,b.key"), ("IV", "0x1")],
            ),
            (
                "METHOD=AES-128,URI='a,b.key'",
                vec![("METHOD", "AES-128"), ("URI", "a,b.key")],
            ),
            (
                "URI=k.key?a=b , uri = \"x\" ",
                vec![("URI", "k.key?a=b"), ("uri", "x")],
            ),
            ("URI=\"\",A=", vec![("URI", ""), ("A", "")]),
            (
                "NAME=\"URI='no'\",A=1,",
                vec![("NAME", "URI='no'"), ("A", "1")],
            ),
            ("", vec![]),
        ] {
            assert_eq!(pairs(list).unwrap(), expected, "{list}");
        }
    }

    #[test]
    fn list_in_which_a_value_has_no_clear_end_is_refused() {
        for list in [
            "METHOD=AES-128,URI",
            "METHOD=AES-128,URI\"k.key\"",
            "METHOD=AES-128 URI=\"k.key\"",
            "METHOD=AES-128 URI=k.key",
            "METHOD=AES-128URI=\"k.key\"",
            "URI=\"k.key",
            "URI=\"a\"b\"",
            "URI=a,b.key",
            "URI=my key",
            "=\"k.key\"",
            "odd,,=",
        ] {
            assert!(pairs(list).is_err(), "{list}");
        }
    }

    #[test]
    fn broken_attribute_is_noticed_and_a_word_that_has_the_letters_is_not() {
        for text in [
            "URI",
            "x,uri=a",
            "AES-128URI=\"k\"",
            "a URI k",
            "Uri\"k\"",
            "X-ASSET-URI :",
        ] {
            assert!(may_name_uri(text), "{text}");
        }
        for text in ["", "security", "TYPE=CURIOUS,A=1", "curie=1", "ur", "ŭri x"] {
            assert!(!may_name_uri(text), "{text}");
        }
    }
}
