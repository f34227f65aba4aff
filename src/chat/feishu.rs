//! Custom bots of Feishu and Lark: <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.

use serde_json::json;

use super::Chat;
use super::codes::Codes;
use super::limit::Limit;
use super::signature::{Signature, SignedPart, hmac};
use crate::model::destination::Format;
use crate::model::failure::FailureKind::{Throttled, Unavailable};

/// Entities are not decoded, so `<` is replaced by its full-width form.
pub(super) const FEISHU: Chat = Chat {
    format: Format::Feishu,
    frame: |text| json!({ "msg_type": "text", "content": { "text": text } }),
    limit: Limit::of_request(),
    escapes: &[('<', "＜")],
    // Time and secret are the key; the signed text is empty.
    signature: Some(Signature {
        part: SignedPart::Body,
        sign: |secret, now| {
            let seconds = now.seconds();
            (
                seconds.to_string(),
                hmac(&format!("{seconds}\n{secret}"), ""),
            )
        },
    }),
    // 11232 is the bots' rate limit, 99991400 the platform's. 9499 means both "too many request"
    // and "Bad Request"; it is retried, as the first may pass.
    codes: Some(Codes {
        code: &["code", "StatusCode"],
        words: "msg",
        passing: &[
            (11_232, Throttled),
            (99_991_400, Throttled),
            (9_499, Unavailable),
        ],
        pause: None,
    }),
};
