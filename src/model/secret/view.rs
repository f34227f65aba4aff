//! A text with its escapes decoded, and where each byte came from.
//!
//! One pass decodes the escapes of JSON, URLs, forms, HTML and Rust's debug output, wherever they
//! are. Double escapes, such as JSON in JSON, need two passes.

use std::ops::Range;

/// How often a text is decoded: more than our requests are ever nested.
const PASSES: u8 = 4;

pub(super) struct View {
    bytes: Vec<u8>,
    /// Start and end of each byte in the original text.
    from: Vec<(usize, usize)>,
    pass: u8,
}

/// An escape: the bytes it means, and its length in the text.
struct Escape {
    stands_for: Vec<u8>,
    length: usize,
}

impl View {
    /// `text` decoded once; `None` if it contains no escape.
    pub(super) fn decoded(text: &str) -> Option<Self> {
        let first = |byte: &u8| matches!(byte, b'\\' | b'%' | b'+' | b'&');
        if !text.as_bytes().iter().any(first) {
            return None;
        }
        let bytes = text.as_bytes().to_vec();
        let from = (0..bytes.len()).map(|at| (at, at + 1)).collect();
        let pass = 0;
        Self { bytes, from, pass }.decoded_again()
    }

    /// Decoded once more; `None` if that changes nothing.
    pub(super) fn decoded_again(&self) -> Option<Self> {
        if self.pass == PASSES {
            return None;
        }
        let mut view = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            from: Vec::with_capacity(self.from.len()),
            pass: self.pass + 1,
        };
        let (mut at, mut changed) = (0, false);
        while at < self.bytes.len() {
            let (stands_for, length) = match escape(&self.bytes[at..]) {
                Some(escape) => (escape.stands_for, escape.length),
                None => (vec![self.bytes[at]], 1),
            };
            changed |= stands_for != self.bytes[at..at + length];
            let origin = (self.from[at].0, self.from[at + length - 1].1);
            view.from.extend(stands_for.iter().map(|_| origin));
            view.bytes.extend(stands_for);
            at += length;
        }
        changed.then_some(view)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The original range of a non-empty range of the bytes.
    pub(super) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        self.from[range.start].0..self.from[range.end - 1].1
    }
}

/// The bytes of `text`, decoded until nothing changes.
pub(super) fn plain(text: &str) -> Vec<u8> {
    let mut view = View::decoded(text);
    let mut plain = text.as_bytes().to_vec();
    while let Some(decoded) = view {
        plain.clone_from(&decoded.bytes);
        view = decoded.decoded_again();
    }
    plain
}

fn escape(text: &[u8]) -> Option<Escape> {
    match text {
        [b'+', ..] => Some(Escape {
            stands_for: vec![b' '],
            length: 1,
        }),
        [b'%', high, low, ..] => Some(Escape {
            stands_for: vec![hex(&[*high, *low])?.try_into().ok()?],
            length: 3,
        }),
        [b'\\', rest @ ..] => backslash(rest),
        [b'&', rest @ ..] => entity(rest),
        _ => None,
    }
}

/// Escapes of JSON and of Rust's debug output.
fn backslash(rest: &[u8]) -> Option<Escape> {
    let one = |byte: u8| Escape {
        stands_for: vec![byte],
        length: 2,
    };
    match rest {
        [byte @ (b'"' | b'\\' | b'/' | b'\''), ..] => Some(one(*byte)),
        [b'b', ..] => Some(one(8)),
        [b't', ..] => Some(one(b'\t')),
        [b'n', ..] => Some(one(b'\n')),
        [b'f', ..] => Some(one(12)),
        [b'r', ..] => Some(one(b'\r')),
        [b'x', high, low, ..] => Some(Escape {
            stands_for: vec![hex(&[*high, *low])?.try_into().ok()?],
            length: 4,
        }),
        [b'u', b'{', rest @ ..] => {
            let digits = rest.iter().take(7).position(|byte| *byte == b'}')?;
            character(hex(&rest[..digits])?, digits + 4)
        }
        [b'u', rest @ ..] => unicode(rest),
        _ => None,
    }
}

/// `\u1234`, or a surrogate pair of them.
fn unicode(digits: &[u8]) -> Option<Escape> {
    let first = hex(digits.get(..4)?)?;
    let second = digits
        .get(4..10)
        .and_then(|rest| hex(rest.strip_prefix(b"\\u")?));
    match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            character(joined, 12)
        }
        _ => character(first, 6),
    }
}

/// HTML escapes: the names that HTML itself needs, and numbers.
fn entity(rest: &[u8]) -> Option<Escape> {
    let end = rest.iter().take(8).position(|byte| *byte == b';')?;
    let code = match &rest[..end] {
        b"amp" => u32::from(b'&'),
        b"lt" => u32::from(b'<'),
        b"gt" => u32::from(b'>'),
        b"quot" => u32::from(b'"'),
        b"apos" => u32::from(b'\''),
        [b'#', b'x' | b'X', digits @ ..] => hex(digits)?,
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    character(code, end + 2)
}

fn character(code: u32, length: usize) -> Option<Escape> {
    let character = char::from_u32(code)?;
    Some(Escape {
        stands_for: character.to_string().into_bytes(),
        length,
    })
}

fn hex(digits: &[u8]) -> Option<u32> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| all)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out_however_often_they_were_put_in() {
        for (text, expected) in [
            ("plain", "plain"),
            (r#"a\"b\\c\/d\n"#, "a\"b\\c/d\n"),
            (r"\u4f1a\ud83c\udf99\u{1f399}\x41", "会🎙🎙A"),
            ("a%2Fb%c3%9c+c", "a/bÜ c"),
            ("&lt;a&amp;b&#39;&#x41;", "<a&b'A"),
            (r#"{\"a\": \"x\\\"y\"}"#, "{\"a\": \"x\"y\"}"),
            ("a%252Fb", "a/b"),
            (r"\q %zz &no; \u12 \ud83c \", r"\q %zz &no; \u12 \ud83c \"),
        ] {
            assert_eq!(String::from_utf8(plain(text)).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn byte_of_a_view_knows_where_it_came_from() {
        let text = r"é\u00e9%41";
        let view = View::decoded(text).unwrap();
        assert_eq!(view.bytes(), "ééA".as_bytes());
        assert_eq!(view.origin(&(0..2)), 0..2);
        assert_eq!(view.origin(&(2..4)), 2..8);
        assert_eq!(view.origin(&(4..5)), 8..11);
        assert_eq!(view.origin(&(0..5)), 0..11);
    }
}
