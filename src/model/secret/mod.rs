//! Masks configured secrets in everything that a person may see or a disk may store.
//!
//! A secret is found in every form in which it may be sent and come back: plain, inside JSON (also
//! JSON in JSON), in a URL or form, in HTML, and in base64 at any offset. `rules` decides which
//! texts are secrets.

mod forms;
mod view;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use serde_json::Value;

pub use self::forms::{MASKED_FROM, of_header, of_url, tokens_of_url};
use self::view::View;

pub const SHOWN: &str = "***";

#[derive(Clone, Default)]
pub struct Mask(Option<Arc<Known>>);

struct Known {
    secrets: BTreeSet<String>,
    forms: AhoCorasick,
}

impl Mask {
    /// A mask for these secrets; ignores empty ones.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let secrets: BTreeSet<String> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .collect();
        if secrets.is_empty() {
            return Self(None);
        }
        let forms: BTreeSet<Vec<u8>> = secrets.iter().flat_map(|one| forms::of(one)).collect();
        Self(Some(Arc::new(Known {
            forms: finder(forms),
            secrets,
        })))
    }

    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (_, None) => self.clone(),
            (None, _) => other.clone(),
            (Some(one), Some(two)) if two.secrets.is_subset(&one.secrets) => self.clone(),
            (Some(one), Some(two)) => Self::new(one.secrets.union(&two.secrets).cloned()),
        }
    }

    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let found = self.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut at = 0;
        for secret in found {
            shown.push_str(&text[at..secret.start]);
            shown.push_str(SHOWN);
            at = secret.end;
        }
        shown.push_str(&text[at..]);
        Cow::Owned(shown)
    }

    pub fn hide(&self, text: &mut String) {
        if let Cow::Owned(shown) = self.apply(text) {
            *text = shown;
        }
    }

    pub fn hide_within(&self, value: &mut Value) {
        if self.0.is_none() {
            return;
        }
        match value {
            Value::String(text) => self.hide(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.hide_within(value)),
            Value::Object(values) => {
                *values = std::mem::take(values)
                    .into_iter()
                    .map(|(mut key, mut value)| {
                        self.hide(&mut key);
                        self.hide_within(&mut value);
                        (key, value)
                    })
                    .collect();
            }
            // A PIN may come back as a number.
            Value::Number(number) => {
                if let Cow::Owned(shown) = self.apply(&number.to_string()) {
                    *value = shown.into();
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Ranges of secrets in `text`: sorted, disjoint, at character boundaries.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let Some(known) = &self.0 else {
            return Vec::new();
        };
        let mut found: Vec<Range<usize>> = known
            .forms
            .find_overlapping_iter(text)
            .map(|form| form.range())
            .collect();
        let mut view = View::decoded(text);
        while let Some(decoded) = view {
            let forms = known.forms.find_overlapping_iter(decoded.bytes());
            found.extend(forms.map(|form| decoded.origin(&form.range())));
            view = decoded.decoded_again();
        }
        joined(found, text)
    }
}

fn finder(forms: BTreeSet<Vec<u8>>) -> AhoCorasick {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(forms)
        .expect("secrets of 64 KiB at most have no two billion bytes together")
}

/// Sorts ranges, merges those that overlap, and extends them to whole characters.
fn joined(mut ranges: Vec<Range<usize>>, text: &str) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.0.as_ref().map_or(0, |known| known.secrets.len());
        write!(f, "Mask({count} secrets)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mask(secret: &str) -> Mask {
        Mask::new([secret.to_owned()])
    }

    #[test]
    fn secret_inside_another_leaves_no_rest() {
        let both = Mask::new(["key".into(), "key-and-more".into(), String::new()]);
        assert_eq!(both.apply("a key-and-more b key c"), "a *** b *** c");
        let crossing = Mask::new(["abcdef".into(), "defghi".into()]);
        assert_eq!(crossing.apply("1abcdefghi2"), "1***2");
        assert_eq!(both.apply("nothing"), "nothing");
        assert_eq!(Mask::default().apply("key"), "key");
    }

    #[test]
    fn masks_add_up() {
        let one = mask("one");
        let both = one.and(&Mask::new(["two".into()]));
        assert_eq!(one.apply("one two"), "*** two");
        assert_eq!(both.apply("one two three"), "*** *** three");
        assert_eq!(Mask::default().and(&one).apply("one"), "***");
        assert_eq!(both.and(&one).apply("one two"), "*** ***");
    }

    #[test]
    fn mask_does_not_print_what_it_hides() {
        assert_eq!(format!("{:?}", mask("hidden")), "Mask(1 secrets)");
    }

    /// Encodings in which a value may come back.
    fn encodings(secret: &str) -> Vec<String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let ascii = secret.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
        let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let form = url::form_urlencoded::byte_serialize(secret.as_bytes());
        let html = secret.replace('&', "&amp;").replace('<', "&lt;");
        vec![
            secret.to_owned(),
            json(secret),
            json(secret).replace('/', "\\/"),
            json(&json(&json(secret))),
            ascii.collect(),
            percent.to_lowercase(),
            json(&percent),
            form.collect(),
            utf8_percent_encode(&percent, NON_ALPHANUMERIC).to_string(),
            html.replace('"', "&quot;").replace('\'', "&#39;"),
            format!("{secret:?}"),
            STANDARD.encode(secret),
            STANDARD.encode(format!("u:{secret}")),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("users:{secret}, and more")),
            URL_SAFE_NO_PAD.encode(format!("~?{secret}??>")),
        ]
    }

    #[test]
    fn secret_is_hidden_in_every_form_in_which_it_may_come_back() {
        for secret in [
            "plain-t0ken-0123",
            "with \"quotes\" and \\ back\\slashes",
            "two\nlines\twith a tab",
            "p@ss/w:rd?&+%41=#x",
            "ключ-录制-🎙-key",
            "ends in a percent 50%",
            r"<b>&amp;\u0041</b>",
        ] {
            for encoded in encodings(secret) {
                let text = format!("before {encoded} after");
                let shown = mask(secret).apply(&text).into_owned();
                // Only base64 characters that also depend on neighbouring bytes may remain.
                let hidden = text.len() + SHOWN.len() - shown.len();
                assert!(hidden >= secret.len(), "{secret:?} in {text}: {shown}");
                assert!(
                    shown.starts_with("before ") && shown.ends_with(" after"),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn value_around_a_secret_stays_and_is_still_json() {
        let text = r#"{"a":"x \"p\u0061ss-word\" y","b":[1]}"#;
        let shown = mask("pass-word").apply(text).into_owned();
        assert_eq!(shown, r#"{"a":"x \"***\" y","b":[1]}"#);
        let short = mask("ab");
        assert_eq!(short.apply("YWI= ab"), "YWI= ***");
    }

    #[test]
    fn secret_is_hidden_in_keys_and_numbers_of_a_value() {
        let mut value = json!({
            "my-secret-key": [{"a": "is my-secret-key"}, 12_345_678, 1.5, null, true],
        });
        Mask::new(["my-secret-key".into(), "12345678".into()]).hide_within(&mut value);
        assert_eq!(
            value,
            json!({"***": [{"a": "is ***"}, "***", 1.5, null, true]})
        );
    }

    proptest! {
        #[test]
        fn any_text_is_masked_between_its_characters(
            secret in r#"[a-c%+\\"&;录]{1,6}"#,
            text in r#"([a-c%+\\"&;录🎙]|%4|\\u0|&#x?9|\\x6){0,30}"#,
        ) {
            let shown = mask(&secret).apply(&text).into_owned();
            prop_assert!(shown != text || !text.contains(&secret), "{}", shown);
            let whole = mask(&secret).apply(&secret).into_owned();
            prop_assert_eq!(whole, SHOWN);
        }
    }
}
