//! One thing that is wrong with a text, where, and the way out.

use std::ops::Range;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the file that are at fault.
    pub span: Range<usize>,
    /// Names the thing and the value; lower case, no full stop.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at `span` without a known way out.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }
}

/// The line and column of a byte, both from 1; columns count characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// Nobody mistypes a longer word, and comparing takes memory for each pair of characters.
const LONGEST_WORD: usize = 200;

/// "did you mean …", when one of `known` is close enough to be meant.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let length = word.chars().count();
    if length > LONGEST_WORD {
        return None;
    }
    let allowed = (length / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= allowed || name.eq_ignore_ascii_case(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_words_are_not_suggested() {
        assert_eq!(did_you_mean("zzz", ["name", "steps"]), None);
        assert_eq!(
            did_you_mean("tiemuot", ["timeout"]),
            Some("did you mean `timeout`?".into())
        );
        assert_eq!(
            did_you_mean("TO", ["to"]),
            Some("did you mean `to`?".into())
        );
    }
}
