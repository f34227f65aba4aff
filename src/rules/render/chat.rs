//! The body of a chat message: the text, cut to what the service takes, in its frame.
//!
//! A message that is too long would be refused for good, and a notice that ends in `…` is
//! worth more than none. Signatures are made when the request is sent: they hold the time.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::model::destination::Format;

/// What a cut message ends in.
const CUT: char = '…';

/// The most that a service takes, and what of each character it counts.
struct Limit {
    most: usize,
    size: fn(char) -> usize,
}

/// Of the 20,000 bytes that Feishu and DingTalk take: what frame and signature need.
const FRAME: usize = 300;

/// The message of a chat format that says `text`.
pub(super) fn message(chat: Format, text: &str) -> Value {
    let text = cut(text, &limit(chat));
    match chat {
        Format::Slack => json!({ "text": text }),
        Format::Feishu => json!({ "msg_type": "text", "content": { "text": text } }),
        _ => json!({ "msgtype": "text", "text": { "content": text } }),
    }
}

/// - Slack cuts at 40,000 characters: <https://api.slack.com/changelog/2018-04-truncating-really-long-messages>.
/// - Feishu takes requests of 20 KB: <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.
/// - DingTalk answers 460101, "message too long, exceed 20000 bytes".
/// - WeCom takes 2,048 bytes of text: <https://developer.work.weixin.qq.com/document/path/91770>.
fn limit(chat: Format) -> Limit {
    let (most, size): (usize, fn(char) -> usize) = match chat {
        Format::Slack => (40_000, |_| 1),
        Format::Feishu | Format::DingTalk => (20_000 - FRAME, in_json),
        _ => (2_048, char::len_utf8),
    };
    Limit { most, size }
}

/// Bytes of a character within a JSON string, as `serde_json` writes it.
const fn in_json(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

fn cut<'a>(text: &'a str, limit: &Limit) -> Cow<'a, str> {
    let room = limit.most - (limit.size)(CUT);
    let (mut sum, mut end) = (0, 0);
    for (at, character) in text.char_indices() {
        sum += (limit.size)(character);
        if sum <= room {
            end = at + character.len_utf8();
        }
        if sum > limit.most {
            return format!("{}{CUT}", &text[..end]).into();
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_chat_has_its_frame() {
        for (format, expected) in [
            (Format::Slack, r#"{"text":"录制 \"1\""}"#),
            (
                Format::Feishu,
                r#"{"content":{"text":"录制 \"1\""},"msg_type":"text"}"#,
            ),
            (
                Format::DingTalk,
                r#"{"msgtype":"text","text":{"content":"录制 \"1\""}}"#,
            ),
            (
                Format::WeCom,
                r#"{"msgtype":"text","text":{"content":"录制 \"1\""}}"#,
            ),
        ] {
            let message = message(format, "录制 \"1\"");
            assert_eq!(message, serde_json::from_str::<Value>(expected).unwrap());
        }
    }

    #[test]
    fn text_is_cut_between_characters_at_the_limit_of_its_service() {
        let content = |format, text: &str| {
            let message = message(format, text);
            let text = ["/text/content", "/content/text", "/text"]
                .iter()
                .find_map(|path| message.pointer(path)?.as_str());
            text.unwrap().to_owned()
        };
        for (format, character, fits) in [
            (Format::Slack, '议', 40_000),
            (Format::WeCom, 'x', 2_048),
            (Format::WeCom, '议', 682),
            (Format::DingTalk, 'x', 19_700),
            (Format::Feishu, '"', 9_850),
            (Format::Feishu, '\u{1}', 3_283),
        ] {
            let whole = character.to_string().repeat(fits);
            assert_eq!(content(format, &whole), whole);
            let cut = content(format, &format!("{whole}{character}"));
            assert!(cut.ends_with(CUT) && cut.starts_with(character));
            let limit = limit(format);
            let size: usize = cut.chars().map(limit.size).sum();
            let next = (limit.size)(character);
            assert!(
                size <= limit.most && limit.most - size < next.max(3),
                "{size}"
            );
        }
    }

    proptest! {
        #[test]
        fn request_stays_below_what_the_service_takes(text in "(\\PC|[\\x00-\\x1f\"\\\\]){0,9}", times in 1..9_000_usize) {
            for format in [Format::Feishu, Format::DingTalk] {
                let message = message(format, &text.repeat(times));
                prop_assert!(message.to_string().len() <= 20_000 - FRAME + 60);
            }
        }
    }
}
