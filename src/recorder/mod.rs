//! Recorders' callbacks: from a request's bytes and headers to an event.
//!
//! Vendor words stop here: the rest of the crate reads `model::Event`. Knows no HTTP
//! server and no store, and decides nothing about what follows from an event.

pub mod encoding;
mod lenient;
pub mod sparkrtc;

use http::HeaderMap;

/// The header fields of a callback that count: all three are absent from an unsigned
/// one. Texts are trimmed; an empty one is an absent one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallbackHeaders {
    pub rand: Option<String>,
    pub timestamp: Option<String>,
    pub signature: Option<String>,
}

impl From<&HeaderMap> for CallbackHeaders {
    fn from(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
            let trimmed = value.trim();
            (!trimmed.is_empty()).then(|| trimmed.to_owned())
        };
        Self {
            rand: text(sparkrtc::signature::RAND),
            timestamp: text(sparkrtc::signature::TIMESTAMP),
            signature: text(sparkrtc::signature::SIGNATURE),
        }
    }
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
            CallbackHeaders::from(&headers),
            CallbackHeaders {
                rand: Some("r".into()),
                ..CallbackHeaders::default()
            },
        );
    }
}
