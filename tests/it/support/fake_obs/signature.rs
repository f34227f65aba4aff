//! Checks signatures from first principles: only SHA-1 comes from a library.

use aftertake::clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use http::HeaderMap;
use sha1::{Digest, Sha1};

use super::request::Recorded;
use super::{ACCESS_KEY, SECRET_KEY, TOKEN};

/// A request is refused if its date differs by more from the server's time.
const SKEW_MS: i64 = 15 * 60 * 1000;

const SIGNED: [&str; 20] = [
    "acl",
    "append",
    "cors",
    "delete",
    "lifecycle",
    "length",
    "location",
    "metadata",
    "modify",
    "name",
    "partNumber",
    "policy",
    "position",
    "rename",
    "tagging",
    "uploadId",
    "uploads",
    "versionId",
    "versions",
    "x-obs-security-token",
];

/// Checks the signature; `Err` is the status and code of the refusal.
pub(super) fn check(
    request: &Recorded,
    ahead_ms: i64,
    token: bool,
) -> Result<(), (u16, &'static str)> {
    if encode(&request.key) != request.path[request.bucket.len() + 2..] {
        return Err((400, "PathIsNotEncodedOnce"));
    }
    let now_ms = clock::now().millis() + ahead_ms;
    let (access_key, given, date_line) = if request.has("Signature") {
        let expires = request.value("Expires").unwrap_or_default();
        if expires.parse::<i64>().unwrap_or(0) * 1000 < now_ms {
            return Err((403, "AccessDenied"));
        }
        let key = request.value("AccessKeyId").unwrap_or_default();
        (key, request.value("Signature"), expires.to_owned())
    } else {
        let authorization = request.header("authorization").unwrap_or_default();
        let credential = authorization.strip_prefix("OBS ").unwrap_or_default();
        let (key, signature) = credential.split_once(':').unwrap_or_default();
        (key, Some(signature), date_line(request, now_ms)?)
    };
    if access_key != ACCESS_KEY {
        return Err((403, "InvalidAccessKeyId"));
    }
    let sent = request
        .header("x-obs-security-token")
        .or_else(|| request.value("x-obs-security-token"));
    if token && sent != Some(TOKEN) {
        return Err((403, "InvalidAccessKeyId"));
    }
    let signature = hmac(
        SECRET_KEY.as_bytes(),
        string_to_sign(request, &date_line).as_bytes(),
    );
    if given == Some(&STANDARD.encode(signature)) {
        Ok(())
    } else {
        Err((403, "SignatureDoesNotMatch"))
    }
}

fn date_line(request: &Recorded, now_ms: i64) -> Result<String, (u16, &'static str)> {
    let own = request.header("x-obs-date");
    let date = own.or_else(|| request.header("date")).unwrap_or_default();
    let parsed = DateTime::parse_from_rfc2822(date).map_err(|_| (403, "AccessDenied"))?;
    if (parsed.timestamp_millis() - now_ms).abs() > SKEW_MS {
        return Err((403, "RequestTimeTooSkewed"));
    }
    Ok(if own.is_some() {
        String::new()
    } else {
        date.to_owned()
    })
}

fn string_to_sign(request: &Recorded, date_line: &str) -> String {
    let plain = |name| request.header(name).unwrap_or_default();
    format!(
        "{}\n{}\n{}\n{date_line}\n{}/{}/{}{}",
        request.method,
        plain("content-md5"),
        plain("content-type"),
        obs_headers(&request.headers),
        request.bucket,
        encode(&request.key),
        subresources(request),
    )
}

/// Sorted by name: `x-obs-copy-source` before `x-obs-copy-source-range`. Sorting whole lines
/// would swap them.
fn obs_headers(headers: &HeaderMap) -> String {
    let mut named: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap().trim()))
        .filter(|(name, _)| name.starts_with("x-obs-"))
        .collect();
    named.sort_unstable();
    let lines: Vec<String> = named
        .into_iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    lines.concat()
}

fn subresources(request: &Recorded) -> String {
    let mut signed: Vec<&(String, Option<String>)> = request
        .query
        .iter()
        .filter(|(name, _)| SIGNED.contains(&name.as_str()))
        .collect();
    signed.sort_unstable();
    let signed: Vec<String> = signed
        .into_iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect();
    if signed.is_empty() {
        String::new()
    } else {
        format!("?{}", signed.join("&"))
    }
}

fn encode(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect::<Vec<_>>()
        .concat()
}

/// RFC 2104 over SHA-1.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let keyed = |pad: u8, text: &[u8]| {
        let mut hash = Sha1::new();
        hash.update(block.map(|byte| byte ^ pad));
        hash.update(text);
        hash.finalize().to_vec()
    };
    keyed(0x5c, &keyed(0x36, text))
}
