//! Converts a JSON value to the type that a field needs.
//!
//! Related recorders send the same field as a number or as a string
//! (<https://support.huaweicloud.com/api-isdp/api_01_0411.html> has widths as strings), and
//! document none as mandatory. So a value of the wrong type makes the field absent; the callback is
//! not refused.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::time::Timestamp;

/// The parts of JSON that a field can use.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Whole(i128),
    Fraction(f64),
    /// Null, a boolean, a list, an object, or an unparsable value.
    Odd,
}

impl<'a> Scalar<'a> {
    pub(super) fn read(written: &'a RawValue) -> Self {
        serde_json::from_str(written.get()).unwrap_or(Self::Odd)
    }

    /// A text that is not empty, or an integer as text. Not a fraction: integers beyond 64 bits are
    /// parsed as fractions and lose digits.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => (!text.is_empty()).then(|| text.into_owned()),
            Self::Whole(number) => Some(number.to_string()),
            Self::Fraction(_) | Self::Odd => None,
        }
    }

    /// A number that is not negative, rounded down, or a text with one.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Text(text) => {
                let text = text.trim();
                let whole = text.parse().ok();
                whole.or_else(|| text.parse().ok().and_then(rounded_down))
            }
            Self::Whole(number) => u64::try_from(number).ok(),
            Self::Fraction(number) => rounded_down(number),
            Self::Odd => None,
        }
    }

    /// A text like `2026-03-02T01:00:01Z`, in any zone; a fraction of a second is allowed.
    pub(super) fn time(self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Whole(_) | Self::Fraction(_) | Self::Odd => None,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked, and rounding down is meant"
)]
fn rounded_down(number: f64) -> Option<u64> {
    // Up to 2^53 a double represents every integer.
    (0.0..=9_007_199_254_740_992.0)
        .contains(&number)
        .then_some(number as u64)
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Fraction(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Odd)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Odd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(json: &str) -> Scalar<'_> {
        Scalar::read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn texts_are_taken_from_texts_and_whole_numbers() {
        for (json, text) in [
            (r#""room""#, Some("room")),
            (r#""\u4f1a""#, Some("会")),
            (r#"" ""#, Some(" ")),
            (r#""""#, None),
            ("123", Some("123")),
            ("-5", Some("-5")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("123456789012345678901", None),
            ("1.5", None),
            ("true", None),
            ("null", None),
            (r#"[["a"],{}]"#, None),
            (r#"{"a":{"b":[1]}}"#, None),
            (r#""cut \ud83d""#, None),
        ] {
            assert_eq!(scalar(json).text().as_deref(), text, "{json}");
        }
    }

    #[test]
    fn numbers_are_taken_from_numbers_and_texts() {
        for (json, number) in [
            ("6237000000", Some(6_237_000_000)),
            (r#""1048576""#, Some(1_048_576)),
            (r#"" 61 ""#, Some(61)),
            (r#""61.9""#, Some(61)),
            ("65.9", Some(65)),
            ("0", Some(0)),
            ("-1", None),
            ("-0.5", None),
            ("1e300", None),
            ("1e999", None),
            (r#""inf""#, None),
            (r#""NaN""#, None),
            (r#""""#, None),
            (r#""many""#, None),
            ("false", None),
            ("[7]", None),
        ] {
            assert_eq!(scalar(json).number(), number, "{json}");
        }
    }

    #[test]
    fn times_are_taken_with_fraction_and_zone() {
        for (json, time) in [
            (r#""2026-03-02T01:00:01Z""#, Some("2026-03-02T01:00:01Z")),
            (
                r#""2026-03-02T01:00:01.075Z""#,
                Some("2026-03-02T01:00:01.075Z"),
            ),
            (
                r#""2026-03-02T09:00:01+08:00""#,
                Some("2026-03-02T01:00:01Z"),
            ),
            (r#""2026-03-02""#, None),
            ("1583676745", None),
            (r#""""#, None),
        ] {
            let found = scalar(json).time().map(|time| time.to_string());
            assert_eq!(found.as_deref(), time, "{json}");
        }
    }
}
