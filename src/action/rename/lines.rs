//! Splits a playlist into lines and tags (RFC 8216, section 4.1).

/// Maximum length of a tag's name; the longest known one has 24 characters.
const LONGEST_NAME: usize = 100;

/// A line without surrounding blanks, and its position in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) start: usize,
    pub(super) text: &'a str,
}

/// A tag: its name, such as `EXT-X-KEY`, and the text after the colon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    pub(super) list: &'a str,
    /// Position of that text in the line.
    pub(super) start: usize,
}

pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut next = 0;
    let lines = (1..).zip(text.split_inclusive('\n'));
    lines.map(move |(number, line)| {
        let start = next + (line.len() - line.trim_ascii_start().len());
        next += line.len();
        Line {
            number,
            start,
            text: line.trim_ascii(),
        }
    })
}

impl<'a> Line<'a> {
    /// The line's tag; `None` for a comment or a URI.
    pub(super) fn tag(self) -> Option<Tag<'a>> {
        let Self { text, .. } = self;
        let begin = text.get(..4)?;
        let end = text.find(':').unwrap_or(text.len());
        let start = text.len().min(end + 1);
        begin.eq_ignore_ascii_case("#EXT").then(|| Tag {
            name: text[1..end].trim_ascii_end(),
            list: &text[start..],
            start,
        })
    }

    /// Line number and tag, for errors. Not the whole line: a URI may contain a token.
    pub(super) fn place(self) -> String {
        let Some(tag) = self.tag() else {
            return format!("line {}", self.number);
        };
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let end = tag.name.find(|c| !sound(c)).unwrap_or(tag.name.len());
        let end = end.min(LONGEST_NAME);
        format!("line {} (#{})", self.number, &tag.name[..end])
    }
}

impl Tag<'_> {
    /// The name in upper case, without `EXT-X-`, cut to the maximum length.
    pub(super) fn short(self) -> String {
        let name: String = self.name.chars().take(LONGEST_NAME).collect();
        let name = name.to_ascii_uppercase();
        match name.strip_prefix("EXT-X-") {
            Some(short) => short.to_owned(),
            None => name,
        }
    }
}
