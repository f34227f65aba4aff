//! What chats do in their own way: signatures beside the message, and refusals that
//! arrive as a success.
//!
//! Bots of China answer 200 whatever became of the message, and say in a code of the JSON
//! answer what did. Knows codes by number: their words change.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::Sha256;
use url::Url;

use crate::model::destination::{Destination, Format, Signing};
use crate::model::failure::{Failure, FailureKind};
use crate::model::step::Notify;
use crate::model::time::Timestamp;
use crate::outbound::Answer;

/// For how long DingTalk takes no more from a robot that sent more than 20 messages in a
/// minute: <https://open.dingtalk.com/document/robots/custom-robot-access>.
const DINGTALK_PAUSE: Duration = Duration::from_mins(10);

/// Characters of a service's own words that a reason shows.
const SHOWN: usize = 200;

/// URL and body as they are sent: signed, where the format signs there and the destination
/// has a secret. Both services refuse a time that is more than an hour off theirs.
pub(super) fn signed(
    destination: &Destination,
    notify: &Notify,
    now: Timestamp,
) -> Result<(Url, Bytes), Failure> {
    let (mut url, mut body) = (notify.url.clone(), notify.body.clone());
    let Some(secret) = destination.secrets.first() else {
        return Ok((url, body));
    };
    let secret = secret.expose_secret();
    match notify.format.signing() {
        Signing::Feishu => body = feishu(&body, secret, now.seconds())?,
        Signing::DingTalk => dingtalk(&mut url, secret, now.millis()),
        Signing::StandardWebhooks | Signing::Nothing => {}
    }
    Ok((url, body))
}

/// Time and secret are the key, and nothing is what it signs:
/// <https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot>.
fn feishu(body: &[u8], secret: &str, seconds: i64) -> Result<Bytes, Failure> {
    let Ok(Value::Object(mut message)) = serde_json::from_slice(body) else {
        let reason = "a signed message to feishu has to be a JSON object: give `body` keys";
        return Err(Failure::new(FailureKind::Invalid, reason));
    };
    let sign = hmac(&format!("{seconds}\n{secret}"), "");
    message.insert("timestamp".to_owned(), seconds.to_string().into());
    message.insert("sign".to_owned(), sign.into());
    Ok(Value::Object(message).to_string().into())
}

/// Time and secret are signed with the secret:
/// <https://open.dingtalk.com/document/robots/customize-robot-security-settings>.
fn dingtalk(url: &mut Url, secret: &str, millis: i64) {
    let sign = hmac(secret, &format!("{millis}\n{secret}"));
    url.query_pairs_mut()
        .append_pair("timestamp", &millis.to_string())
        .append_pair("sign", &sign);
}

fn hmac(key: &str, text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Why a message did not arrive although the status says so; and for a status that refuses,
/// that another try may succeed all the same. `None` where the status is all there is.
pub(super) fn refusal(format: Format, answer: &Answer) -> Option<Failure> {
    let fields = fields(format)?;
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let body = body.unwrap_or_default();
    let code = fields.code.iter().find_map(|name| body.get(name)?.as_i64());
    let success = answer.status.is_success();
    let reason = match code {
        Some(0) => return None,
        Some(code) => format!("{} {code}{}", fields.code[0], words(&body, fields.words)),
        None if success => {
            let reason = format!(
                "no {} as {} has; when it is another service, list the status under `success`",
                fields.code[0],
                format.name(),
            );
            return Some(Failure::new(FailureKind::Unknown, reason));
        }
        None => return None,
    };
    let kind = code.and_then(|code| passing(format, code));
    let wait = (format, kind) == (Format::DingTalk, Some(FailureKind::Throttled));
    (success || kind == Some(FailureKind::Throttled)).then(|| Failure {
        kind: kind.unwrap_or(FailureKind::Refused),
        reason,
        retry_after: wait.then_some(DINGTALK_PAUSE),
    })
}

/// Where a service says what became of a message, its present name first.
struct Fields {
    code: &'static [&'static str],
    words: &'static str,
}

const fn fields(format: Format) -> Option<Fields> {
    match format {
        Format::Feishu => Some(Fields {
            code: &["code", "StatusCode"],
            words: "msg",
        }),
        Format::DingTalk | Format::WeCom => Some(Fields {
            code: &["errcode"],
            words: "errmsg",
        }),
        Format::Aftertake | Format::Callback | Format::CloudEvents | Format::Slack => None,
    }
}

/// The codes that pass with time; all others need a person. Of Feishu, 11232 is the limit
/// of the bots and 99991400 that of the platform; 9499 stands for "too many request" and
/// "Bad Request" alike, and only the first may be given up late. -1 is "the system is busy".
const fn passing(format: Format, code: i64) -> Option<FailureKind> {
    match (format, code) {
        (Format::Feishu, 11_232 | 99_991_400)
        | (Format::DingTalk, 130_101 | 410_100)
        | (Format::WeCom, 45_009 | 45_033) => Some(FailureKind::Throttled),
        (Format::Feishu, 9_499) | (Format::DingTalk | Format::WeCom, -1) => {
            Some(FailureKind::Unavailable)
        }
        _ => None,
    }
}

fn words(body: &Value, name: &str) -> String {
    let Some(text) = body.get(name).and_then(Value::as_str) else {
        return String::new();
    };
    let plain = text.chars().filter(|character| !character.is_control());
    format!(" ({})", plain.take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    const ANSWERS: &str = r#"
        feishu 200 {"code":0,"msg":"success"} arrived
        feishu 200 {"StatusCode":0} arrived
        feishu 200 {"code":11232} throttled
        feishu 200 {"code":99991400} throttled
        feishu 200 {"StatusCode":9499} unavailable
        feishu 200 {"code":19021} refused
        feishu 200 {"ok":true} unknown
        feishu 400 {"code":99991400} throttled
        feishu 400 {"code":9499} as-the-status
        feishu 400 {"code":19001} as-the-status
        feishu 400 text as-the-status
        dingtalk 200 {"errcode":0,"errmsg":"ok"} arrived
        dingtalk 200 {"errcode":130101} throttled
        dingtalk 200 {"errcode":410100} throttled
        dingtalk 200 {"errcode":-1} unavailable
        dingtalk 200 {"errcode":310000} refused
        dingtalk 200 {"errcode":45009} refused
        dingtalk 200 {"errcode":"0"} unknown
        wecom 200 {"errcode":0} arrived
        wecom 200 {"errcode":45009} throttled
        wecom 200 {"errcode":45033} throttled
        wecom 200 {"errcode":-1} unavailable
        wecom 200 {"errcode":93000} refused
        wecom 200 <html> unknown
        slack 200 ok arrived
        slack 404 channel_not_found as-the-status
        aftertake 200 {"errcode":1,"code":1} arrived
    "#;

    fn judged(format: Format, status: u16, body: &str) -> Option<Failure> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        };
        refusal(format, &answer)
    }

    #[test]
    fn code_of_an_answer_says_what_its_status_does_not() {
        for line in ANSWERS.trim().lines() {
            let [format, status, body, expected] = line
                .split_whitespace()
                .collect::<Vec<_>>()
                .try_into()
                .unwrap();
            let format = Format::ALL.into_iter().find(|known| known.name() == format);
            let failure = judged(format.unwrap(), status.parse().unwrap(), body);
            let found = failure.map(|failure| failure.kind.name());
            let silent = ["arrived", "as-the-status"].contains(&expected);
            assert_eq!(found, (!silent).then_some(expected), "{line}");
        }
    }

    #[test]
    fn reason_has_the_code_and_the_words_of_the_service_cut() {
        let long = format!(r#"{{"code":1,"msg":"a\n{}"}}"#, "议".repeat(300));
        for (body, expected) in [
            (r#"{"StatusCode":7}"#, "code 7".to_owned()),
            (&long, format!("code 1 (a{})", "议".repeat(SHOWN - 1))),
            (
                "<html>",
                "no code as feishu has; when it is another service, list the status under `success`"
                    .to_owned(),
            ),
        ] {
            assert_eq!(judged(Format::Feishu, 200, body).unwrap().reason, expected);
        }
    }
}
