//! Signatures of bots: time and `sign`, made with the bot's secret when the request is sent.
//!
//! The services refuse a time that is more than one hour off.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use url::Url;

use super::Chat;
use crate::model::failure::{Failure, FailureKind};
use crate::model::time::Timestamp;

/// Names of the time and the signature.
pub const SIGNED: [&str; 2] = ["timestamp", "sign"];

#[derive(Debug)]
pub struct Signature {
    pub part: SignedPart,
    pub(super) sign: fn(secret: &str, now: Timestamp) -> (String, String),
}

/// Where the time and the signature are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedPart {
    /// The body's JSON object.
    Body,
    /// The query of the URL.
    Query,
}

impl Chat {
    /// Adds the signature to URL and body, if the service has one.
    pub fn signed(
        &self,
        (mut url, body): (Url, Bytes),
        secret: &str,
        now: Timestamp,
    ) -> Result<(Url, Bytes), Failure> {
        let Some(signature) = &self.signature else {
            return Ok((url, body));
        };
        let (time, sign) = (signature.sign)(secret, now);
        let values = SIGNED.into_iter().zip([time, sign]);
        match signature.part {
            SignedPart::Query => {
                url.query_pairs_mut().extend_pairs(values);
                Ok((url, body))
            }
            SignedPart::Body => {
                let Ok(Value::Object(mut message)) = serde_json::from_slice(&body) else {
                    let name = self.name();
                    let reason = format!(
                        "a signed message to {name} has to be a JSON object: give `body` keys"
                    );
                    return Err(Failure::new(FailureKind::Invalid, reason));
                };
                message.extend(values.map(|(name, value)| (name.to_owned(), value.into())));
                Ok((url, Value::Object(message).to_string().into()))
            }
        }
    }
}

pub(super) fn hmac(key: &str, text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}
