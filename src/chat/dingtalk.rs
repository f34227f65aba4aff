//! Custom robots of DingTalk: <https://open.dingtalk.com/document/robots/custom-robot-access>.

use std::time::Duration;

use serde_json::json;

use super::Chat;
use super::codes::Codes;
use super::limit::Limit;
use super::signature::{Signature, SignedPart, hmac};
use crate::model::destination::Format;
use crate::model::failure::FailureKind::{Throttled, Unavailable};

/// Longer requests get 460101, "message too long, exceed 20000 bytes".
pub(super) const DINGTALK: Chat = Chat {
    format: Format::DingTalk,
    frame: |text| json!({ "msgtype": "text", "text": { "content": text } }),
    limit: Limit::of_request(),
    escapes: &[],
    // The secret is the key, and is also signed together with the time:
    // <https://open.dingtalk.com/document/robots/customize-robot-security-settings>.
    signature: Some(Signature {
        part: SignedPart::Query,
        sign: |secret, now| {
            let millis = now.millis();
            (
                millis.to_string(),
                hmac(secret, &format!("{millis}\n{secret}")),
            )
        },
    }),
    // -1 is "the system is busy". More than 20 messages in a minute block a robot for ten minutes.
    codes: Some(Codes {
        code: &["errcode"],
        words: "errmsg",
        passing: &[
            (130_101, Throttled),
            (410_100, Throttled),
            (-1, Unavailable),
        ],
        pause: Some(Duration::from_mins(10)),
    }),
};
