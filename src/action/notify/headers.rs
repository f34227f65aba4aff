//! The header fields of a notification, signed as Standard Webhooks 1.0 says:
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::chat;
use crate::model::destination::{CONNECTION_HEADERS, Destination};
use crate::model::failure::{Failure, FailureKind};
use crate::model::step::Notify;
use crate::model::time::Timestamp;

const AGENT: &str = concat!("aftertake/", env!("CARGO_PKG_VERSION"));

/// Accepts secrets without padding: it gets lost when people copy them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The step's fields replace the destination's of the same name, but never the signature's.
pub(super) fn build(
    destination: &Destination,
    notify: &Notify,
    now: Timestamp,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_TYPE, value("content-type", &notify.content_type)?);
    for (name, secret) in &destination.headers {
        let mut value = value(name, secret.expose_secret())?;
        value.set_sensitive(true);
        headers.insert(field(name)?, value);
    }
    for (name, text) in &notify.headers {
        let mut value = value(name, text)?;
        value.set_sensitive(true);
        headers.insert(field(name)?, value);
    }
    let seconds = now.seconds();
    headers.insert("webhook-id", value("webhook-id", &notify.webhook_id)?);
    headers.insert("webhook-timestamp", HeaderValue::from(seconds));
    headers.remove("webhook-signature");
    let signs = chat::of(notify.format).is_none();
    if signs && !destination.secrets.is_empty() {
        let signatures = signatures(destination, notify, seconds)?;
        let signatures = value("webhook-signature", &signatures)?;
        headers.insert("webhook-signature", signatures);
    }
    Ok(headers)
}

fn field(name: &str) -> Result<HeaderName, Failure> {
    let field: HeaderName = name
        .parse()
        .map_err(|_| invalid(format!("{name:?} is not the name of a header")))?;
    if CONNECTION_HEADERS.contains(&field.as_str()) {
        return Err(invalid(format!(
            "header {field} belongs to the connection and cannot be set"
        )));
    }
    Ok(field)
}

/// The error does not show the value: it can be a secret.
fn value(name: &str, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| invalid(format!("value of header {name} holds a control character")))
}

/// One signature per secret, so that a receiver can rotate its secrets.
fn signatures(destination: &Destination, notify: &Notify, seconds: i64) -> Result<String, Failure> {
    let signed = |secret| {
        let key = key(secret).ok_or_else(|| {
            invalid(format!(
                "destination {}: a secret that begins with whsec_ has to go on in base64",
                destination.name
            ))
        })?;
        Ok(signature(&key, notify, seconds))
    };
    let signatures: Result<Vec<String>, Failure> = destination.secrets.iter().map(signed).collect();
    Ok(signatures?.join(" "))
}

fn signature(key: &[u8], notify: &Notify, seconds: i64) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes keys of any length")
        .chain_update(format!("{}.{seconds}.", notify.webhook_id))
        .chain_update(&notify.body);
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// The decoded bytes of a `whsec_…` secret, or the bytes of the text itself.
fn key(secret: &SecretString) -> Option<Vec<u8>> {
    let text = secret.expose_secret();
    match text.strip_prefix("whsec_") {
        Some(encoded) => BASE64.decode(encoded).ok().filter(|key| !key.is_empty()),
        None => Some(text.as_bytes().to_vec()),
    }
}

fn invalid(reason: String) -> Failure {
    Failure::new(FailureKind::Invalid, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_base64_after_its_prefix_and_bytes_without_it() {
        for (secret, bytes) in [
            ("whsec_aGVsbG8=", Some(&b"hello"[..])),
            ("whsec_aGVsbG8", Some(b"hello")),
            ("aGVsbG8=", Some(b"aGVsbG8=")),
            ("whsec_", None),
            ("whsec_not base64", None),
        ] {
            assert_eq!(key(&secret.into()).as_deref(), bytes, "{secret}");
        }
    }

    #[test]
    fn header_that_cannot_be_sent_is_named_without_its_value() {
        for (name, text, reason) in [
            (
                "x-a",
                "one\r\nx-b: two",
                "value of header x-a holds a control character",
            ),
            ("x a", "", "\"x a\" is not the name of a header"),
            (
                "Content-Length",
                "0",
                "header content-length belongs to the connection and cannot be set",
            ),
        ] {
            let failure = field(name).and(value(name, text)).unwrap_err();
            assert_eq!(
                (failure.kind, failure.reason.as_str()),
                (FailureKind::Invalid, reason)
            );
        }
        assert_eq!(value("x", "会议").unwrap().as_bytes(), "会议".as_bytes());
    }
}
