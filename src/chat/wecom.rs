//! Group robots of WeCom: <https://developer.work.weixin.qq.com/document/path/91770>.

use serde_json::json;

use super::Chat;
use super::codes::Codes;
use super::limit::Limit;
use crate::model::destination::Format;
use crate::model::failure::FailureKind::{Throttled, Unavailable};

/// The limit is on the text, not the request. Entities are not decoded, so `<` is replaced by its
/// full-width form.
pub(super) const WECOM: Chat = Chat {
    format: Format::WeCom,
    frame: |text| json!({ "msgtype": "text", "text": { "content": text } }),
    limit: Limit {
        most: 2_048,
        size: char::len_utf8,
    },
    escapes: &[('<', "＜")],
    signature: None,
    // -1 is "the system is busy".
    codes: Some(Codes {
        code: &["errcode"],
        words: "errmsg",
        passing: &[(45_009, Throttled), (45_033, Throttled), (-1, Unavailable)],
        pause: None,
    }),
};
