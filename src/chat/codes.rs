//! Responses with a result code in the JSON body.
//!
//! Chinese bots answer 200 even for a refusal. Codes are recognised by number, because the texts
//! change.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::Chat;
use crate::model::failure::{Failure, FailureKind};

/// Maximum characters of a service's text in an error.
const SHOWN: usize = 200;

/// Where a service's result is. Code 0 is success.
#[derive(Debug)]
pub(super) struct Codes {
    /// Names of the code's field, the current one first.
    pub(super) code: &'static [&'static str],
    pub(super) words: &'static str,
    /// Codes after which a retry may succeed; all others need a person.
    pub(super) passing: &'static [(i64, FailureKind)],
    /// How long a service refuses all messages after too many.
    pub(super) pause: Option<Duration>,
}

impl Chat {
    /// The failure that a response's code means: for a 200 any error code, for an error status only
    /// throttling. `None` when the status decides.
    pub fn refusal(&self, status: StatusCode, body: &[u8]) -> Option<Failure> {
        let codes = self.codes.as_ref()?;
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let success = status.is_success();
        let Some(code) = codes.code.iter().find_map(|name| body.get(name)?.as_i64()) else {
            return success.then(|| self.no_code(codes));
        };
        if code == 0 {
            return None;
        }
        let passing = codes.passing.iter().find(|(known, _)| *known == code);
        let kind = passing.map_or(FailureKind::Refused, |(_, kind)| *kind);
        let throttled = kind == FailureKind::Throttled;
        let reason = || format!("{} {code}{}", codes.code[0], words(&body, codes.words));
        (success || throttled).then(|| Failure {
            retry_after: codes.pause.filter(|_| throttled),
            ..Failure::new(kind, reason())
        })
    }

    fn no_code(&self, codes: &Codes) -> Failure {
        let (code, name) = (codes.code[0], self.name());
        let reason = format!(
            "no {code} as {name} has; when it is another service, list the status under `success`"
        );
        Failure::new(FailureKind::Unknown, reason)
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
    use crate::chat;
    use crate::model::destination::Format;

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
        chat::of(format)?.refusal(StatusCode::from_u16(status).unwrap(), body.as_bytes())
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
