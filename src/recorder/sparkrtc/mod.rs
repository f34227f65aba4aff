//! Huawei Cloud SparkRTC.

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

/// The answer that the guide shows. Nothing says that a 2xx other than 200 counts.
/// <https://support.huaweicloud.com/usermanual-rtc/rtc_04_0007.html>
pub(super) const SUCCESS: &str = r#"{"status":1,"result":"success"}"#;

/// Bytes that a refusal shows of a header.
const SHOWN: usize = 64;

/// Who may call.
#[derive(Debug, Clone)]
pub struct Callers {
    /// The console's "Private Key"; several while rotating. Empty: nothing is signed.
    pub keys: Vec<SecretString>,
    pub unsigned: Unsigned,
    /// The oldest `X-Rtc-Timestamp` that is accepted.
    pub max_age: Option<Duration>,
}

/// What happens to a callback without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    /// It is refused: the default once there are keys.
    Refuse,
    /// It is accepted, for the move from unsigned to signed.
    Accept,
}

/// Checks the signature where one is needed. The reason has what the sender signed.
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

/// Quoted and cut, as anybody may have sent it.
fn shown(header: Option<&str>) -> String {
    match header {
        Some(text) => format!("{:?}", &text[..text.floor_char_boundary(SHOWN)]),
        None => "none".to_owned(),
    }
}
