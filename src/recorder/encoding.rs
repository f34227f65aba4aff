//! Detects why a body is not plain UTF-8, so that the refusal can say so.
//!
//! Only for bodies that could not be parsed: a wrong header must not lose a readable callback.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// Maximum characters of a header in an error.
const SHOWN: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Encoding {
    #[error("body is compressed ({0}); it has to come without compression")]
    Compressed(String),
    #[error("body is in the charset {0}; it has to be UTF-8")]
    Charset(String),
}

/// The encoding of an unparsable body, if that explains it.
pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Encoding> {
    let evident = evident(body);
    if evident.is_none() && std::str::from_utf8(body).is_ok() {
        return None;
    }
    declared(headers).or(evident)
}

/// The encoding in the headers, unless it is plain UTF-8.
fn declared(headers: &HeaderMap) -> Option<Encoding> {
    let text = |name| headers.get(name)?.to_str().ok();
    let coding = text(CONTENT_ENCODING).map(word);
    let coding = coding.filter(|coding| !["", "identity"].contains(&coding.as_str()));
    let charset = || text(CONTENT_TYPE).and_then(charset).map(Encoding::Charset);
    coding.map(Encoding::Compressed).or_else(charset)
}

/// The encoding according to the first bytes.
fn evident(body: &[u8]) -> Option<Encoding> {
    let compressed = |name: &str| Some(Encoding::Compressed(name.to_owned()));
    match body {
        [0x1f, 0x8b, ..] => compressed("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => compressed("zstd"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{', 0, ..] | [0, b'{', ..] => {
            Some(Encoding::Charset("UTF-16".to_owned()))
        }
        _ => None,
    }
}

/// The charset of a `Content-Type`, unless it is UTF-8 or a subset of it.
fn charset(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').skip(1);
    let charset = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| word(value))
    })?;
    let plain = ["", "utf-8", "utf8", "us-ascii", "ascii"];
    let is_plain = plain
        .iter()
        .any(|plain| charset.eq_ignore_ascii_case(plain));
    (!is_plain).then_some(charset)
}

/// Keeps only characters that occur in names of codings and charsets.
fn word(text: &str) -> String {
    let is_part = |c: &char| c.is_ascii_alphanumeric() || "-_.:, ".contains(*c);
    let word: String = text.chars().filter(is_part).take(SHOWN).collect();
    word.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn named(name: HeaderName, value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        declared(&headers).map(|encoding| encoding.to_string())
    }

    #[test]
    fn headers_that_mean_plain_utf8_declare_nothing() {
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "text/plain; format=flowed; Charset=us-ascii",
            "application/json; charset=",
        ] {
            assert_eq!(named(CONTENT_TYPE, value), None, "{value}");
        }
        assert_eq!(named(CONTENT_ENCODING, "identity"), None);
    }

    #[test]
    fn other_encodings_are_named_in_words_that_are_fit_for_a_log() {
        let charset = |name| Some(format!("body is in the charset {name}; it has to be UTF-8"));
        for (value, name) in [
            ("application/json; charset=GBK", "GBK"),
            ("application/json; a=b; charset=\"gb18030\"", "gb18030"),
            ("application/json; charset=<b>\"x", "bx"),
        ] {
            assert_eq!(named(CONTENT_TYPE, value), charset(name));
        }
        let compressed = "body is compressed (gzip, br); it has to come without compression";
        assert_eq!(
            named(CONTENT_ENCODING, "gzip, br").as_deref(),
            Some(compressed)
        );
    }
}
