//! A request as received.

use aftertake::clock::Stopwatch;
use bytes::Bytes;
use http::{HeaderMap, Method};

/// A request and the status of its response.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// From 0, in order of arrival.
    pub(crate) number: usize,
    pub(super) came: Stopwatch,
    pub(crate) method: Method,
    /// As sent: encoded.
    pub(crate) path: String,
    pub(crate) bucket: String,
    /// Decoded; empty for the bucket itself.
    pub(crate) key: String,
    /// Decoded, in the order sent; bare parameters have no value.
    pub(crate) query: Vec<(String, Option<String>)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `None` until it is answered, and if the connection was closed instead.
    pub(crate) status: Option<u16>,
}

impl Recorded {
    pub(super) fn new(number: usize, parts: &http::request::Parts, body: Bytes) -> Self {
        let path = parts.uri.path().to_owned();
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        Self {
            number,
            came: Stopwatch::start(),
            method: parts.method.clone(),
            bucket: bucket.to_owned(),
            key: decode(key),
            query: query(parts.uri.query().unwrap_or_default()),
            headers: parts.headers.clone(),
            body,
            status: None,
            path,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(known, _)| known == name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found?.1.as_deref()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }

    pub(crate) fn is_copy(&self) -> bool {
        self.method == Method::PUT && self.headers.contains_key("x-obs-copy-source")
    }

    /// The request in one line, without ids: `PUT b/k?partNumber=1&uploadId`. A copy ends with
    /// ` (copy)`.
    pub(crate) fn line(&self) -> String {
        let query: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("partNumber" | "name", Some(value)) => format!("{name}={value}"),
                _ => name.clone(),
            })
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let copy = if self.is_copy() { " (copy)" } else { "" };
        format!(
            "{} {}/{}{mark}{}{copy}",
            self.method,
            self.bucket,
            self.key,
            query.join("&")
        )
    }
}

fn query(text: &str) -> Vec<(String, Option<String>)> {
    text.split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| match parameter.split_once('=') {
            Some((name, value)) => (decode(name), Some(decode(value))),
            None => (decode(parameter), None),
        })
        .collect()
}

/// Percent-decoding; a `+` is a plus.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            decoded.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).unwrap()
}
