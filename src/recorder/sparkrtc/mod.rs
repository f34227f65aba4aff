//! Callbacks of Huawei Cloud SparkRTC: signature, body and response.

mod body;
pub mod signature;

use std::time::Duration;

use http::HeaderMap;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

pub(super) use self::body::fields;
use self::signature::Headers;
use crate::model::time::Timestamp;

/// The response body from the vendor's guide, which does not say that any status but 200 counts.
/// <https://support.huaweicloud.com/usermanual-rtc/rtc_04_0007.html>
pub(super) const SUCCESS: &str = r#"{"status":1,"result":"success"}"#;

/// Maximum bytes of a header in an error.
const SHOWN: usize = 64;

#[derive(Debug, Clone)]
pub struct Callers {
    /// The console's "Private Key"; several while rotating. Empty: signatures are not checked.
    pub keys: Vec<SecretString>,
    pub unsigned: Unsigned,
    pub max_age: Option<Duration>,
}

/// What happens to an unsigned callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// Refuse it: the default when there are keys.
    Refuse,
    /// Accept it, for the transition to signed callbacks.
    Accept,
}

/// Checks the signature if one is required. The error contains the signed headers.
pub(super) fn verify(
    callers: &Callers,
    headers: &HeaderMap,
    body: &[u8],
    received: Timestamp,
) -> Result<(), String> {
    let headers = Headers::from(headers);
    let is_signed = headers.signature.is_some();
    if callers.keys.is_empty() || (!is_signed && callers.unsigned == Unsigned::Accept) {
        return Ok(());
    }
    signature::verify(&callers.keys, &headers, body, received, callers.max_age).map_err(|error| {
        let (rand, timestamp) = (
            shown(headers.rand.as_deref()),
            shown(headers.timestamp.as_deref()),
        );
        format!("{error} (rand {rand}, timestamp {timestamp})")
    })
}

/// Quotes and truncates a header, because anybody may have sent it.
fn shown(header: Option<&str>) -> String {
    match header {
        Some(text) => format!("{:?}", &text[..text.floor_char_boundary(SHOWN)]),
        None => "none".to_owned(),
    }
}
