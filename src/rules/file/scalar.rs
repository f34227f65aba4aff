//! Scalars in a special format: durations, sizes, rates, URLs, counts.
//!
//! Each error says what is expected; the reader adds the position and the value.

use std::borrow::Cow;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};
use url::Url;

use crate::model::destination::{CONNECTION_HEADERS, Rate};
use crate::yaml::shape::At;

/// Longest duration that a rules file may set: sums of several fit every clock's range.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// Largest size in bytes: 1 PiB.
const LARGEST: u64 = 1 << 50;

impl At<Plain> {
    pub(super) fn text(self) -> At<String> {
        At {
            at: self.at,
            value: self.value.0,
        }
    }
}

macro_rules! scalar {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $parse:path, $schema:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name(pub(crate) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                $parse(&text).map(Self).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

scalar! {
    /// A duration; may be zero.
    Span(Duration) = span, { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["15s", "30m", "72h"] };
    /// A duration above zero.
    Timeout(Duration) = timeout, { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["15s", "30m", "72h"] };
    /// A number of bytes.
    Size(u64) = size, { "type": ["string", "integer"], "pattern": "^[0-9.]+ *([kKMGTP]i?)?B?$", "minimum": 0, "examples": ["1MiB", "5GiB"] };
    /// A number of requests in a unit of time.
    RateText(Rate) = rate, { "type": "string", "pattern": "^[0-9]+/[smh]$", "examples": ["50/s", "600/m"] };
    /// An http or https URL.
    WebUrl(Url) = web_url, { "type": "string", "pattern": "^https?://" };
    /// An HTTP status.
    Status(u16) = status, { "type": "integer", "minimum": 100, "maximum": 599 };
    /// A whole number above zero.
    Count(u32) = count, { "type": "integer", "minimum": 1 };
    /// A finite number that is at least one.
    Factor(f64) = factor, { "type": "number", "minimum": 1 };
    /// A header's name that the destination or the step may set.
    HeaderName(String) = header_name, { "type": "string" };
    /// A text; numbers and booleans are taken as written.
    Plain(String) = plain, { "type": ["string", "number", "boolean"] };
    /// A key prefix.
    Prefix(String) = prefix, { "type": "string", "examples": ["Record/"] };
}

fn span(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a duration such as 15m (a whole number and ms, s, m, h or d)";
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .ok_or(EXPECTED)?;
    let number: u64 = text[..digits].parse().map_err(|_| EXPECTED)?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(EXPECTED),
    };
    let duration = number.checked_mul(unit).map(Duration::from_millis);
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or("a duration of at most 36500d")
}

fn timeout(text: &str) -> Result<Duration, &'static str> {
    let duration = span(text)?;
    if duration.is_zero() {
        Err("a duration above zero")
    } else {
        Ok(duration)
    }
}

fn size(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a size such as 5GiB (a number and B, kB, KB, KiB, MB, MiB, GB, GiB, …)";
    let ByteSize(bytes) = text.parse().map_err(|_| EXPECTED)?;
    if bytes > LARGEST {
        return Err("a size of at most 1PiB");
    }
    Ok(bytes)
}

fn rate(text: &str) -> Result<Rate, &'static str> {
    const EXPECTED: &str = "a rate such as 50/s (a whole number above zero and /s, /m or /h)";
    let (number, unit) = text.split_once('/').ok_or(EXPECTED)?;
    let requests = count(number).map_err(|_| EXPECTED)?;
    let per = match unit {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err(EXPECTED),
    };
    Ok(Rate { requests, per })
}

fn web_url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str = "an http or https URL such as https://lms.example.com/hook";
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(EXPECTED);
    }
    if text.contains("{{") {
        return Err("a URL without a template (a step's `path` may have one)");
    }
    if url.fragment().is_some() {
        return Err("a URL without a fragment (`#…`)");
    }
    Ok(url)
}

fn status(text: &str) -> Result<u16, &'static str> {
    let status = text
        .parse()
        .ok()
        .filter(|status| (100..=599).contains(status));
    status.ok_or("an HTTP status from 100 to 599")
}

fn count(text: &str) -> Result<u32, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| *number >= 1 && digits);
    number.ok_or("a whole number above zero")
}

fn factor(text: &str) -> Result<f64, &'static str> {
    let factor = text
        .parse()
        .ok()
        .filter(|factor: &f64| *factor >= 1.0 && factor.is_finite());
    factor.ok_or("a number that is at least 1")
}

fn header_name(text: &str) -> Result<String, &'static str> {
    let name = http::HeaderName::from_bytes(text.as_bytes()).map_err(|_| "a header's name")?;
    if CONNECTION_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("webhook-") {
        return Err("a header that is not the service's own (host, content-length, webhook-…)");
    }
    Ok(text.to_owned())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every scalar is parsed by a function of this form"
)]
fn plain(text: &str) -> Result<String, &'static str> {
    Ok(text.to_owned())
}

fn prefix(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.starts_with('/') {
        return Err("a prefix of keys such as Record/ (not empty, no leading slash)");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_whole_number_and_one_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("15ms", 15),
            ("2s", 2_000),
            ("3m", 180_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "15",
            "m",
            "1.5h",
            "-1s",
            "1h30m",
            "1 s",
            "1M",
            "99999999999999999999s",
            "9999999999999999d",
            "36501d",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
        assert!(timeout("0ms").is_err() && timeout("1ms").is_ok());
    }

    #[test]
    fn sizes_know_decimal_and_binary_units() {
        for (text, bytes) in [
            ("7", 7),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("1KiB", 1_024),
            ("1.5MiB", 1_572_864),
            ("5GiB", 5 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert!(size("1PiB").is_ok() && size("1.01PiB").is_err() && size("9e99").is_err());
        assert!(size("5 apples").is_err() && size("").is_err() && size("-1B").is_err());
    }

    #[test]
    fn rates_and_counts_are_above_zero() {
        for (text, seconds) in [("50/s", 1), ("50/m", 60), ("50/h", 3600)] {
            let per = Duration::from_secs(seconds);
            assert_eq!(rate(text), Ok(Rate { requests: 50, per }), "{text}");
        }
        for text in ["0/s", "50", "50/d", "/s", "+5/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(count("+1").is_err() && count("0").is_err() && count("1") == Ok(1));
        assert!(factor("NaN").is_err() && factor("inf").is_err() && factor("0.9").is_err());
    }

    #[test]
    fn only_web_urls_are_accepted() {
        for text in [
            "",
            "ftp://a/",
            "file:///a",
            "lms.example.com",
            "https://",
            "https://a/#b",
            "http:a b",
        ] {
            assert!(web_url(text).is_err(), "{text}");
        }
        assert!(web_url("http://127.0.0.1:9/x?y=1").is_ok());
    }

    #[test]
    fn headers_of_the_service_are_refused() {
        for text in ["Host", "Webhook-Id", "content-length", "a b", "", "TE"] {
            assert!(header_name(text).is_err(), "{text}");
        }
        assert_eq!(header_name("X-Team"), Ok("X-Team".to_owned()));
    }
}
