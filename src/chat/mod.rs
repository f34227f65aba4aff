//! Chat services, one file each: message format, length limit, signature, response codes.
//!
//! Pure: builds and signs messages and checks responses; `action` sends them.

mod codes;
mod dingtalk;
mod feishu;
mod limit;
mod signature;
mod slack;
mod wecom;

use serde_json::Value;

use self::codes::Codes;
use self::limit::Limit;
pub use self::signature::{SIGNED, Signature, SignedPart};
use crate::model::destination::Format;

#[derive(Debug)]
pub struct Chat {
    format: Format,
    frame: fn(&str) -> Value,
    limit: Limit,
    /// How to escape event values: in some services `<…>` mentions people, and a room's name must
    /// not.
    escapes: &'static [(char, &'static str)],
    /// `None` when requests are not signed: the URL is the secret.
    pub signature: Option<Signature>,
    /// `None` when the status alone says whether a message arrived.
    codes: Option<Codes>,
}

/// Kinds of notifications, by format.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The document described in the README.
    Document,
    /// The callback's original body.
    Callback,
    CloudEvent,
    /// A text for people.
    Message(&'static Chat),
}

impl From<Format> for Kind {
    fn from(format: Format) -> Self {
        match format {
            Format::Aftertake => Self::Document,
            Format::Callback => Self::Callback,
            Format::CloudEvents => Self::CloudEvent,
            Format::Slack => Self::Message(&slack::SLACK),
            Format::Feishu => Self::Message(&feishu::FEISHU),
            Format::DingTalk => Self::Message(&dingtalk::DINGTALK),
            Format::WeCom => Self::Message(&wecom::WECOM),
        }
    }
}

pub fn of(format: Format) -> Option<&'static Chat> {
    match format.into() {
        Kind::Message(chat) => Some(chat),
        Kind::Document | Kind::Callback | Kind::CloudEvent => None,
    }
}

pub fn named(name: &str) -> Option<&'static Chat> {
    let format = Format::ALL.into_iter().find(|known| known.name() == name)?;
    of(format)
}

/// Whether both formats sign with the same kind of secret: chats each have a different one, all
/// others use Standard Webhooks.
pub fn share_secrets(one: Format, other: Format) -> bool {
    one == other || of(one).is_none() && of(other).is_none()
}

impl Chat {
    pub const fn name(&self) -> &'static str {
        self.format.name()
    }

    /// A message with `text`, cut to the service's limit.
    pub fn message(&self, text: &str) -> Value {
        (self.frame)(&self.limit.cut(text))
    }

    /// The escaped value; `None` if unchanged.
    pub fn escaped(&self, value: &str) -> Option<String> {
        if self.escapes.is_empty() {
            return None;
        }
        let mut written = String::with_capacity(value.len());
        for character in value.chars() {
            let mut escapes = self.escapes.iter();
            match escapes.find(|(from, _)| *from == character) {
                Some((_, to)) => written.push_str(to),
                None => written.push(character),
            }
        }
        Some(written)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chat(format: Format) -> &'static Chat {
        of(format).unwrap()
    }

    #[test]
    fn every_chat_knows_its_format() {
        for format in Format::ALL {
            assert_eq!(of(format).map_or(format, |chat| chat.format), format);
        }
    }

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
            let message = chat(format).message("录制 \"1\"");
            assert_eq!(message, serde_json::from_str::<Value>(expected).unwrap());
        }
    }

    #[test]
    fn text_is_cut_between_characters_at_the_limit_of_its_service() {
        let content = |format, text: &str| {
            let message = chat(format).message(text);
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
            assert!(cut.ends_with('…') && cut.starts_with(character));
            let limit = &chat(format).limit;
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
                let message = chat(format).message(&text.repeat(times));
                prop_assert!(message.to_string().len() <= limit::REQUEST - limit::FRAME + 60);
            }
        }
    }
}
