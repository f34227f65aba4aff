//! Finds the file position of a part of a scalar's text.
//!
//! The text no longer has its quotes, escapes, folded lines and indentation, so it is matched
//! against the file character by character.

use std::ops::Range;

use serde_saphyr::granit_parser::ScalarStyle;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) source: &'a str,
    /// The scalar's bytes in the file, including quotes; for a block, those after its header.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) style: ScalarStyle,
    pub(crate) text: &'a str,
}

impl Written<'_> {
    /// The bytes in the file of the bytes `range` of the text.
    pub(crate) fn place(&self, range: &Range<usize>) -> Range<usize> {
        let mut places = Vec::new();
        let mut at = self.content_start();
        for character in self.text.chars() {
            let begin = self.begin(at, character);
            at = begin + self.width(begin, character);
            places.extend(std::iter::repeat_n((begin, at), character.len_utf8()));
        }
        let start = places.get(range.start).map_or(at, |(begin, _)| *begin);
        let last = range.end.min(places.len()).checked_sub(1);
        let end = last
            .and_then(|last| places.get(last))
            .map_or(start, |(_, end)| *end);
        start..end.max(start)
    }

    fn content_start(&self) -> usize {
        match self.style {
            ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => self.start,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => self.start + 1,
        }
    }

    fn rest(&self, at: usize) -> &str {
        self.source.get(at..self.end).unwrap_or_default()
    }

    /// Where `character` begins, after line breaks and indentation that are not part of the text.
    fn begin(&self, at: usize, character: char) -> usize {
        let rest = self.rest(at);
        let visible = rest.trim_start();
        let escaped = self.style == ScalarStyle::DoubleQuoted && visible.starts_with('\\');
        if character.is_whitespace() && !escaped {
            at
        } else {
            at + rest.len() - visible.len()
        }
    }

    /// Bytes of `character` in the file.
    fn width(&self, at: usize, character: char) -> usize {
        let rest = self.rest(at);
        match self.style {
            ScalarStyle::DoubleQuoted if rest.starts_with('\\') => match rest.as_bytes().get(1) {
                Some(b'x') => 4,
                Some(b'u') => 6,
                Some(b'U') => 10,
                _ => 2,
            },
            ScalarStyle::SingleQuoted if character == '\'' => 2,
            // A folded line break is one space in the text, but more in the file.
            _ if rest.starts_with(character) => character.len_utf8(),
            _ => 0,
        }
    }
}
