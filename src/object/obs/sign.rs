//! The native OBS signature, in a header or a URL.
//!
//! Pure: the date is an argument, so documented cases can be tested and the caller can correct a
//! wrong clock. The signed resource is always `/bucket/key`, wherever the URL has the bucket.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0010.html>

#[cfg(test)]
mod vectors;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

use super::encode;
use crate::model::time::Timestamp;

/// Query parameters that are signed, as documented; in byte order. Others, such as `prefix` and
/// `marker`, are not signed.
const SUBRESOURCES: [&str; 48] = [
    "CDNNotifyConfiguration",
    "acl",
    "attname",
    "cors",
    "customdomain",
    "delete",
    "deletebucket",
    "encryption",
    "inventory",
    "length",
    "lifecycle",
    "location",
    "logging",
    "metadata",
    "mirrorBackToSource",
    "modify",
    "name",
    "notification",
    "object-lock",
    "obscompresspolicy",
    "partNumber",
    "policy",
    "position",
    "quota",
    "rename",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "storageClass",
    "storagePolicy",
    "storageinfo",
    "tagging",
    "torrent",
    "truncate",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
    "x-obs-security-token",
];

const CONTENT_MD5: &str = "content-md5";
const OBS_DATE: &str = "x-obs-date";
const OBS_TOKEN: &str = "x-obs-security-token";

pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: SecretString,
    pub(super) security_token: Option<SecretString>,
}

/// Names and optional values, not encoded.
pub(super) type Query = Vec<(&'static str, Option<String>)>;

pub(super) struct Signable<'a> {
    pub(super) method: &'a Method,
    pub(super) bucket: &'a str,
    /// Empty for a request on the bucket.
    pub(super) key: &'a str,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
}

impl Credentials {
    /// Adds the date, the security token and the signature to `headers`.
    pub(super) fn sign(
        &self,
        method: &Method,
        (bucket, key): (&str, &str),
        query: &Query,
        headers: &mut HeaderMap,
        date: Timestamp,
    ) {
        headers.insert(OBS_DATE, header_value(&http_date(date)));
        if let Some(token) = &self.security_token {
            headers.insert(OBS_TOKEN, secret_value(token.expose_secret()));
        }
        let signable = Signable {
            method,
            bucket,
            key,
            query,
            headers,
        };
        let signature = self.signature(&string_to_sign(&signable, None));
        let authorization = format!("OBS {}:{signature}", self.access_key);
        headers.insert(AUTHORIZATION, secret_value(&authorization));
    }

    /// Query of a link that anyone may GET until `expires` (Unix seconds). With temporary
    /// credentials the link stops working when their token expires.
    /// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0011.html>
    pub(super) fn signed_query(&self, bucket: &str, key: &str, expires: i64) -> Query {
        let mut query: Query = Vec::new();
        if let Some(token) = &self.security_token {
            query.push((OBS_TOKEN, Some(token.expose_secret().to_owned())));
        }
        let signable = Signable {
            method: &Method::GET,
            bucket,
            key,
            query: &query,
            headers: &HeaderMap::new(),
        };
        let signature = self.signature(&string_to_sign(&signable, Some(&expires.to_string())));
        query.insert(0, ("AccessKeyId", Some(self.access_key.clone())));
        query.insert(1, ("Expires", Some(expires.to_string())));
        query.push(("Signature", Some(signature)));
        query
    }

    fn signature(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret_key.expose_secret().as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(text.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// In a link, `expires` replaces the date. Otherwise the date line is the `Date` header, or empty
/// when `x-obs-date` is sent.
fn string_to_sign(request: &Signable<'_>, expires: Option<&str>) -> String {
    let date = if request.headers.contains_key(OBS_DATE) {
        String::new()
    } else {
        header(request.headers, DATE.as_str())
    };
    let mut text = String::new();
    for line in [
        request.method.as_str(),
        &header(request.headers, CONTENT_MD5),
        &header(request.headers, CONTENT_TYPE.as_str()),
        expires.unwrap_or(&date),
    ] {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&canonical_headers(request.headers));
    text.push_str(&canonical_resource(request));
    text
}

/// `x-obs-` headers by name, one per line; values of the same name are joined by commas.
fn canonical_headers(headers: &HeaderMap) -> String {
    let mut names: Vec<&str> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("x-obs-"))
        .collect();
    names.sort_unstable();
    let line = |name| [name, ":", &header(headers, name), "\n"].concat();
    names.into_iter().map(line).collect()
}

/// `/bucket/key`, encoded, and the signed sub-resources by name. Their values are not encoded here.
fn canonical_resource(request: &Signable<'_>) -> String {
    let mut signed: Vec<&(&str, Option<String>)> = request
        .query
        .iter()
        .filter(|(name, _)| SUBRESOURCES.contains(name))
        .collect();
    signed.sort_by_key(|(name, _)| *name);
    let mut resource = format!("/{}/{}", request.bucket, encode::key(request.key));
    for (place, (name, value)) in signed.into_iter().enumerate() {
        resource.push(if place == 0 { '?' } else { '&' });
        resource.push_str(name);
        if let Some(value) = value {
            resource.push('=');
            resource.push_str(value);
        }
    }
    resource
}

/// All values of a header, trimmed and joined by commas; empty when there are none.
fn header(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .collect();
    values.join(",")
}

/// Dates in headers: `Wed, 01 Jul 2026 04:19:21 GMT`.
fn http_date(date: Timestamp) -> String {
    let date: DateTime<Utc> = date.to_chrono().unwrap_or_default();
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A header value. Invalid text, such as a key with a line break, becomes empty: OBS then reports a
/// wrong signature.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn secret_value(text: &str) -> HeaderValue {
    let mut value = header_value(text);
    value.set_sensitive(true);
    value
}
