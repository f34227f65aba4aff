//! Checks that the sender of a callback has the callback key.
//!
//! HMAC-SHA256 with the key over random text, timestamp and raw body, concatenated, in lower-case
//! hexadecimal: <https://support.huaweicloud.com/intl/en-us/rtc_faq/rtc_06_0144.html>. The raw
//! bytes are signed: reserialised JSON has another signature.
//!
//! A repeated pair of random text and timestamp is accepted: the vendor's retries may reuse them,
//! and a repeated callback changes nothing.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::model::time::Timestamp;

pub const RAND: &str = "X-Rtc-Rand";
pub const TIMESTAMP: &str = "X-Rtc-Timestamp";
pub const SIGNATURE: &str = "X-Rtc-Signature";

/// The headers of SparkRTC's signature; unsigned callbacks have none of them. Values are trimmed;
/// an empty one counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    pub rand: Option<String>,
    pub timestamp: Option<String>,
    pub signature: Option<String>,
}

impl From<&HeaderMap> for Headers {
    fn from(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
            let trimmed = value.trim();
            (!trimmed.is_empty()).then(|| trimmed.to_owned())
        };
        Self {
            rand: text(RAND),
            timestamp: text(TIMESTAMP),
            signature: text(SIGNATURE),
        }
    }
}

/// Why a callback's signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "callback has no {0} header; set the console's Private Key to one of callbacks.sparkrtc.keys"
    )]
    Missing(&'static str),
    #[error(
        "{SIGNATURE} fits none of the {keys} configured keys; compare callbacks.sparkrtc.keys with the console's Private Key, and see that no proxy changes the body"
    )]
    Wrong { keys: usize },
    #[error(
        "callback was signed {} ago, and callbacks.sparkrtc.max_age is {}",
        words(*.age),
        words(*.max_age)
    )]
    TooOld { age: Duration, max_age: Duration },
    #[error(
        "callback was signed {} ahead of this machine's clock, and callbacks.sparkrtc.max_age is {}; set the clock",
        words(*.ahead),
        words(*.max_age)
    )]
    TooEarly { ahead: Duration, max_age: Duration },
    #[error(
        "{TIMESTAMP} {0:?} is not a time in seconds or milliseconds; without callbacks.sparkrtc.max_age it need not be one"
    )]
    NotATime(String),
}

/// Checks a callback with every key. Several are valid during a rotation. With `max_age`, also
/// refuses callbacks that were signed longer ago.
pub fn verify(
    keys: &[SecretString],
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
    max_age: Option<Duration>,
) -> Result<(), SignatureError> {
    let signature = present(headers.signature.as_deref(), SIGNATURE)?;
    let rand = present(headers.rand.as_deref(), RAND)?;
    let timestamp = present(headers.timestamp.as_deref(), TIMESTAMP)?;
    let fits = |signature: [u8; 32]| {
        keys.iter().any(|key| {
            mac(key, rand, timestamp, body)
                .verify(&signature.into())
                .is_ok()
        })
    };
    if !from_hex(signature).is_some_and(fits) {
        return Err(SignatureError::Wrong { keys: keys.len() });
    }
    match max_age {
        Some(max_age) => check_age(timestamp, now, max_age),
        None => Ok(()),
    }
}

/// The signature that the vendor would send.
pub fn sign(key: &SecretString, rand: &str, timestamp: &str, body: &[u8]) -> String {
    let signature = mac(key, rand, timestamp, body).finalize();
    format!("{:x}", Bytes::copy_from_slice(&signature.into_bytes()))
}

fn mac(key: &SecretString, rand: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(rand)
        .chain_update(timestamp)
        .chain_update(body)
}

fn present<'a>(text: Option<&'a str>, name: &'static str) -> Result<&'a str, SignatureError> {
    text.ok_or(SignatureError::Missing(name))
}

fn check_age(timestamp: &str, now: Timestamp, max_age: Duration) -> Result<(), SignatureError> {
    let signed = read_time(timestamp).ok_or_else(|| SignatureError::NotATime(shown(timestamp)))?;
    let (age, ahead) = (now.since(signed), signed.since(now));
    if age > max_age {
        Err(SignatureError::TooOld { age, max_age })
    } else if ahead > max_age {
        Err(SignatureError::TooEarly { ahead, max_age })
    } else {
        Ok(())
    }
}

/// Truncates untrusted text for an error.
fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(64)].to_owned()
}

/// The unit is undocumented. 10^11 is the year 5138 in seconds and 1973 in milliseconds.
fn read_time(text: &str) -> Option<Timestamp> {
    let number: i64 = text.parse().ok()?;
    let millis = if number < 100_000_000_000 {
        number.checked_mul(1000)?
    } else {
        number
    };
    (number >= 0).then(|| Timestamp::from_millis(millis))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn words(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_trimmed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-rtc-rand", HeaderValue::from_static(" r\t"));
        headers.insert("x-rtc-timestamp", HeaderValue::from_static("  "));
        assert_eq!(
            Headers::from(&headers),
            Headers {
                rand: Some("r".into()),
                ..Headers::default()
            },
        );
    }
}
