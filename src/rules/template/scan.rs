//! Splits a template into tokens with their positions, and finds its text outside code.
//!
//! minijinja lists the names that a template uses, but neither their positions nor its filters, and
//! its lexer is public only as an unstable feature. Must accept any text: tokens are counted before
//! minijinja parses it.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As written; a text without its quotes.
    pub(super) text: &'a str,
    /// Bytes of the source; quotes included.
    pub(super) range: Range<usize>,
    /// Index of the `{{ }}` or `{% %}` around it.
    pub(super) part: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Text,
    /// One character, or a number.
    Sign,
    Block,
}

pub(super) fn of_template(source: &str) -> Vec<Token<'_>> {
    Scan::of_template(source).tokens
}

/// Replaces each byte of code and comments.
pub(in crate::rules) const CODE: char = '\u{1}';

/// `source` with every `{{ … }}`, `{% … %}` and `{# … #}` replaced by [`CODE`], byte for byte.
pub(in crate::rules) fn without_code(source: &str) -> String {
    let mut literal = String::with_capacity(source.len());
    let mut end = 0;
    for code in Scan::of_template(source).code {
        literal.push_str(&source[end..code.start]);
        literal.extend(std::iter::repeat_n(CODE, code.len()));
        end = code.end;
    }
    literal + &source[end..]
}

pub(super) fn of_expression(source: &str) -> Vec<Token<'_>> {
    let mut scan = Scan::new(source);
    while scan.at < source.len() {
        scan.token();
    }
    scan.tokens
}

/// Whether a block starts here with the tag `name`, as in `{%- raw %}`.
fn is_tag(block: &str, name: &str) -> bool {
    block
        .trim_start_matches(['-', '+'])
        .trim_start()
        .strip_prefix(name)
        .is_some_and(|rest| !rest.starts_with(is_word))
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_ascii_alphanumeric()
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    part: usize,
    tokens: Vec<Token<'a>>,
    /// Code and comments, but not the content of raw blocks.
    code: Vec<Range<usize>>,
}

impl<'a> Scan<'a> {
    fn new(source: &'a str) -> Self {
        Self {
            source,
            at: 0,
            part: 0,
            tokens: Vec::new(),
            code: Vec::new(),
        }
    }

    fn of_template(source: &'a str) -> Self {
        let mut scan = Self::new(source);
        while let Some(start) = scan.next_marker() {
            match source.as_bytes()[start + 1] {
                b'#' => scan.skip_past("#}"),
                b'%' if is_tag(scan.rest(), "raw") => {
                    scan.raw(start);
                    continue;
                }
                b'%' => scan.block(start),
                _ => scan.inside("}}"),
            }
            scan.code.push(start..scan.at);
        }
        scan
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    /// Moves past the next `{{`, `{%` or `{#` and returns where it begins.
    fn next_marker(&mut self) -> Option<usize> {
        let bytes = self.rest().as_bytes();
        let found = bytes
            .windows(2)
            .position(|two| matches!(two, b"{{" | b"{%" | b"{#"))?;
        let start = self.at + found;
        self.at = start + 2;
        self.part += 1;
        Some(start)
    }

    fn skip_past(&mut self, end: &str) {
        let skipped = self.rest().find(end).map(|found| found + end.len());
        self.at += skipped.unwrap_or(self.rest().len());
    }

    fn raw(&mut self, start: usize) {
        self.skip_past("%}");
        self.code.push(start..self.at);
        loop {
            self.skip_past("{%");
            let tag = self.at - 2;
            if self.rest().is_empty() {
                return;
            }
            if is_tag(self.rest(), "endraw") {
                self.skip_past("%}");
                return self.code.push(tag..self.at);
            }
        }
    }

    fn block(&mut self, start: usize) {
        self.push(Kind::Block, start..self.at);
        self.inside("%}");
    }

    /// Reads up to `end`, which is ignored inside texts and brackets.
    fn inside(&mut self, end: &str) {
        let mut open = 0_usize;
        while !self.rest().is_empty() {
            if open == 0 && self.rest().starts_with(end) {
                self.at += end.len();
                return;
            }
            match self.rest().as_bytes()[0] {
                b'(' | b'[' | b'{' => open += 1,
                b')' | b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            self.token();
        }
    }

    fn token(&mut self) {
        let Some(first) = self.rest().chars().next() else {
            return;
        };
        let start = self.at;
        match first {
            _ if first.is_whitespace() => self.at += first.len_utf8(),
            '"' | '\'' => self.text(first),
            _ if is_word(first) => {
                let length = self.rest().find(|c| !is_word(c));
                self.at += length.unwrap_or(self.rest().len());
                let kind = if first.is_ascii_digit() {
                    Kind::Sign
                } else {
                    Kind::Name
                };
                self.push(kind, start..self.at);
            }
            _ => {
                self.at += first.len_utf8();
                self.push(Kind::Sign, start..self.at);
            }
        }
    }

    fn text(&mut self, quote: char) {
        let start = self.at;
        let mut escaped = false;
        let inside = self.rest()[1..].find(|character| {
            let ends = character == quote && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let end = start + 1 + inside.unwrap_or(self.rest().len() - 1);
        self.at = (end + 1).min(self.source.len());
        self.tokens.push(Token {
            kind: Kind::Text,
            text: &self.source[start + 1..end],
            range: start..self.at,
            part: self.part,
        });
    }

    fn push(&mut self, kind: Kind, range: Range<usize>) {
        self.tokens.push(Token {
            kind,
            text: &self.source[range.clone()],
            range,
            part: self.part,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(source: &str) -> String {
        let tokens = of_template(source);
        let words: Vec<_> = tokens.iter().map(|token| token.text).collect();
        words.join(" ")
    }

    #[test]
    fn only_code_has_words() {
        for (source, expected) in [
            ("a {{ b.c }} d", "b . c"),
            ("{# x #}{{ y }}{# z", "y"),
            ("{%- raw %}{{ x }}{% if %}{% endraw -%}{{ y }}", "y"),
            ("{% rawly %}", "{% rawly"),
            ("{{ {'a': {'b': c}} }} d", "{ a : { b : c } }"),
            (r"{{ 'it\'s }}' | f(1.5) }} d", r"it\'s }} | f ( 1 . 5 )"),
            ("{{ '录制' ~ x }}", "录制 ~ x"),
        ] {
            assert_eq!(words(source), expected, "{source}");
        }
    }

    #[test]
    fn code_is_replaced_byte_for_byte_and_the_text_of_a_raw_block_stays() {
        for (source, expected) in [
            ("a {{ '}}' }} d", "a xxxxxxxxxx d"),
            (
                "{{ {'a': {'b': c}} }}/{# ' #}d",
                "xxxxxxxxxxxxxxxxxxxxx/xxxxxxxd",
            ),
            (
                "{%- raw %}{{ 录 }}{% endraw -%}d{{ e",
                "xxxxxxxxxx{{ 录 }}xxxxxxxxxxxxxdxxxx",
            ),
        ] {
            assert_eq!(
                without_code(source).replace(CODE, "x"),
                expected,
                "{source}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_scanned_with_ranges_inside_it(source in r#"([{}%#'"\\a录 .|-]|raw|endraw){0,40}"#) {
            prop_assert_eq!(without_code(&source).len(), source.len());
            for token in of_template(&source).into_iter().chain(of_expression(&source)) {
                prop_assert!(source.get(token.range).is_some());
            }
        }
    }
}
