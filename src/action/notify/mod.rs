//! Notifies a destination: sends one signed request and interprets the response.
//!
//! Sends exactly the bytes that were signed. Safe to repeat: every try of a step has the same
//! `webhook-id`, so a receiver can drop duplicates. Does not know how the body was made.

mod headers;
mod retry_after;
mod verdict;

use bytes::Bytes;
use http::HeaderMap;
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Done, Stopped};
use crate::chat;
use crate::model::attempt::Exchange;
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::model::step::Notify;
use crate::model::task::Outputs;
use crate::model::time::Timestamp;
use crate::outbound::{ANSWER_LIMIT, Answer, NoAnswer, Outbound, Request};

/// Response headers in which services return a request id, the most common first.
const REQUEST_ID: [&str; 6] = [
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-amzn-requestid",
    "x-trace-id",
    "cf-ray",
];

/// Maximum length of a request id, in characters.
const REQUEST_ID_LIMIT: usize = 128;

/// Sends `notify` to `destination`. Outputs `status` and `body` (JSON if the response is JSON, else
/// text).
pub async fn notify(
    outbound: &dyn Outbound,
    destination: &Destination,
    notify: &Notify,
    now: Timestamp,
) -> Result<Done, Stopped> {
    let (url, body) = signed(destination, notify, now)?;
    let request = Request {
        method: notify.method.clone(),
        url,
        headers: headers::build(destination, notify, now)?,
        body: body.clone(),
        timeout: notify.timeout.unwrap_or(destination.timeout),
    };
    let sent = sent(notify, &body);
    let answer = match outbound.send(destination, request).await {
        Ok(answer) => answer,
        Err(NoAnswer { failure, unsent }) => {
            let exchange = Exchange { unsent, ..sent };
            return Err(stopped(failure, exchange, &body, None));
        }
    };
    let exchange = Exchange {
        status: Some(answer.status.as_u16()),
        request_id: request_id(&answer.headers),
        ..sent
    };
    match verdict::judge(destination, notify, &answer, now) {
        Ok(()) => Ok(Done {
            output: output(&answer),
            exchange: Some(exchange),
        }),
        Err(failure) => Err(stopped(failure, exchange, &body, Some(&answer))),
    }
}

/// URL and body. Some chat services put the signature there.
fn signed(
    destination: &Destination,
    notify: &Notify,
    now: Timestamp,
) -> Result<(Url, Bytes), Failure> {
    let request = (notify.url.clone(), notify.body.clone());
    match (chat::of(notify.format), destination.secrets.first()) {
        (Some(chat), Some(secret)) => chat.signed(request, secret.expose_secret(), now),
        (None, _) | (_, None) => Ok(request),
    }
}

/// Keeps the URL without its signature.
fn sent(notify: &Notify, body: &[u8]) -> Exchange {
    Exchange {
        method: notify.method.to_string(),
        url: notify.url.to_string(),
        sent_length: body.len() as u64,
        sent_digest: hex(&Sha256::digest(body).into()),
        ..Exchange::default()
    }
}

/// Lower-case hex. `format!` per byte takes longer than the digest itself.
fn hex(digest: &[u8; 32]) -> String {
    let (high, low) = digest.split_at(16);
    let number = |half: &[u8]| {
        half.iter()
            .fold(0, |number, byte| number << 8 | u128::from(*byte))
    };
    format!("{:032x}{:032x}", number(high), number(low))
}

fn stopped(failure: Failure, exchange: Exchange, body: &[u8], answer: Option<&Answer>) -> Stopped {
    Stopped::Failed {
        failure: Box::new(failure),
        exchange: Some(Box::new(Exchange {
            // Not cut yet: secrets must be removed first.
            sent: Some(String::from_utf8_lossy(body).into_owned()),
            answer: answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned()),
            ..exchange
        })),
    }
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = REQUEST_ID.iter().find_map(|name| headers.get(*name))?;
    let id = value.to_str().ok()?;
    Some(id.chars().take(REQUEST_ID_LIMIT).collect())
}

fn output(answer: &Answer) -> Outputs {
    let body = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| Value::from(text(&answer.body, ANSWER_LIMIT)));
    Outputs::from_iter([
        ("status".to_owned(), Value::from(answer.status.as_u16())),
        ("body".to_owned(), body),
    ])
}

/// At most `limit` bytes of text, cut between characters.
fn text(bytes: &[u8], limit: usize) -> String {
    // A character has up to four bytes: three more bytes show whether the last one is whole.
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit + 3)]).into_owned();
    text.truncate(text.floor_char_boundary(limit));
    text
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        for (bytes, limit, cut) in [
            ("会议".as_bytes(), 6, "会议"),
            ("会议".as_bytes(), 5, "会"),
            ("会议".as_bytes(), 3, "会"),
            ("会议".as_bytes(), 2, ""),
            (b"a\xffb", 10, "a\u{fffd}b"),
            (b"a\xffb", 3, "a"),
            (b"", 3, ""),
        ] {
            assert_eq!(text(bytes, limit), cut, "{bytes:?} to {limit}");
        }
    }

    #[test]
    fn answer_is_json_where_it_is_json() {
        for (body, value) in [
            (r#"{"ticket":7}"#, json!({"ticket": 7})),
            ("[1]", json!([1])),
            ("ok", json!("ok")),
            ("", json!("")),
            (r#"{"cut":"#, json!(r#"{"cut":"#)),
        ] {
            let answer = Answer {
                status: StatusCode::CREATED,
                headers: HeaderMap::new(),
                body: body.into(),
            };
            let expected = json!({"status": 201, "body": value});
            assert_eq!(Value::Object(output(&answer)), expected, "{body}");
        }
    }

    #[test]
    fn first_usual_request_id_is_kept() {
        let mut headers = HeaderMap::new();
        assert_eq!(request_id(&headers), None);
        headers.insert("cf-ray", "ray".parse().unwrap());
        assert_eq!(request_id(&headers).as_deref(), Some("ray"));
        headers.insert("x-request-id", "r".repeat(200).parse().unwrap());
        assert_eq!(request_id(&headers), Some("r".repeat(128)));
    }
}
