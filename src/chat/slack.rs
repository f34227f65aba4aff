//! Slack incoming webhooks, and chats that accept the same requests.

use serde_json::json;

use super::Chat;
use super::limit::Limit;
use crate::model::destination::Format;

/// The service cuts longer texts
/// (<https://api.slack.com/changelog/2018-04-truncating-really-long-messages>). Special characters
/// are written as entities (<https://docs.slack.dev/messaging/formatting-message-text>).
pub(super) const SLACK: Chat = Chat {
    format: Format::Slack,
    frame: |text| json!({ "text": text }),
    limit: Limit {
        most: 40_000,
        size: |_| 1,
    },
    escapes: &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")],
    signature: None,
    codes: None,
};
