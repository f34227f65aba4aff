//! Which texts are secrets, and how each looks when it was encoded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use url::Url;

use super::view::plain;

/// A shorter text may be an ordinary word. It is hidden only where its place shows that it is a
/// secret.
pub const MASKED_FROM: usize = 8;

/// A longer text without blanks is no ordinary word of a header or a path.
const LONGEST_WORD: usize = 24;

/// Base64 of fewer bytes could be part of any text.
const SHORTEST_IN_BASE64: usize = 6;

/// No forms are searched of a longer value: nobody sends one encoded.
const LONGEST: usize = 4096;

/// The byte strings to search for: the secret itself, unescaped, and in base64.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    // A header's value arrives trimmed.
    let trimmed = secret.trim();
    if !trimmed.is_empty() {
        forms.push(trimmed.as_bytes().to_vec());
    }
    let decoded = plain(trimmed);
    let mut encoded = vec![trimmed.as_bytes().to_vec()];
    if decoded.len() >= MASKED_FROM.min(trimmed.len()) && !decoded.is_empty() {
        forms.push(decoded.clone());
        encoded.push(decoded);
    }
    encoded.retain(|form| (SHORTEST_IN_BASE64..=LONGEST).contains(&form.len()));
    for form in encoded {
        forms.extend((0..3).flat_map(|before| in_base64(&form, before)));
    }
    forms
}

/// The base64 characters, in both alphabets, that depend only on `secret` if it begins at an offset
/// of `before` modulo 3.
fn in_base64(secret: &[u8], before: usize) -> [Vec<u8>; 2] {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    let undecided = [0, 2, 3][before];
    let decided = bytes.len() * 8 / 6;
    let standard = BASE64.encode(&bytes)[undecided..decided].to_owned();
    let url_safe = standard.replace('+', "-").replace('/', "_");
    [standard, url_safe].map(String::into_bytes)
}

/// The secret parts of a URL as a request spells them: path, query and its values, tokens,
/// password. Not the origin, and no short parts.
pub fn of_url(url: &Url) -> Vec<String> {
    let mut parts = tokens_of_url(url);
    parts.push(url.path().trim_matches('/').to_owned());
    parts.extend(url.query().map(str::to_owned));
    parts.retain(|part| part.chars().count() >= MASKED_FROM);
    parts.extend(url.password().map(str::to_owned));
    parts
}

/// The parts of a URL that look like secrets: query values, and path segments that are no ordinary
/// words.
pub fn tokens_of_url(url: &Url) -> Vec<String> {
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    let values = values.filter(|value| value.chars().count() >= MASKED_FROM);
    let pieces = url.path().split('/').filter(|piece| is_token(piece));
    values.chain(pieces.map(str::to_owned)).collect()
}

/// Whether a text without blanks looks like a token and not like a word.
fn is_token(text: &str) -> bool {
    let has = |of: fn(char) -> bool| text.chars().any(of);
    let drawn = has(|c| c.is_ascii_digit()) && has(char::is_alphabetic);
    let length = text.chars().count();
    !has(char::is_whitespace) && (length >= LONGEST_WORD || (drawn && length >= MASKED_FROM))
}

/// Header names that contain one of these carry credentials.
const CREDENTIALS: [&str; 9] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "passwd",
    "password",
    "secret",
    "signature",
    "token",
];

/// Prefixes of common header names.
const COMMON: [&str; 5] = [
    "accept",
    "cache-control",
    "content-",
    "prefer",
    "user-agent",
];

/// Schemes before the credentials in a header.
const SCHEMES: [&str; 7] = ["apikey", "basic", "bearer", "bot", "digest", "key", "token"];

/// The secret parts of a header's value: what follows a scheme such as `Bearer`; the whole value if
/// the name says so; else what looks like a token. For `Basic …` also the password.
pub fn of_header(name: &str, value: &str) -> Vec<String> {
    let (name, value) = (name.to_ascii_lowercase(), value.trim());
    let scheme = value.split_once(' ').filter(|(scheme, _)| {
        let scheme = scheme.to_ascii_lowercase();
        SCHEMES.contains(&scheme.as_str())
    });
    let Some((scheme, credentials)) = scheme else {
        let common = COMMON.iter().any(|begin| name.starts_with(begin));
        let secret =
            CREDENTIALS.iter().any(|word| name.contains(word)) || (!common && is_token(value));
        return secret.then(|| value.to_owned()).into_iter().collect();
    };
    let credentials = credentials.trim();
    let mut parts = vec![credentials.to_owned()];
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64.decode(credentials).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        parts.extend(decoded.and_then(|pair| Some(pair.split_once(':')?.1.to_owned())));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_url_are_those_that_a_request_spells() {
        for (url, parts) in [
            ("HTTPS://LMS.example.com:443", &[][..]),
            ("https://h/hook", &[]),
            ("https://h/a/../hooks/to%6ben ", &["hooks/to%6ben"]),
            (
                "https://h/?k=short&token=a%20long%20one",
                &["a long one", "k=short&token=a%20long%20one"],
            ),
            ("https://h/hooks/recordings?x=1", &["hooks/recordings"]),
            ("https://h/s/T024BE7LH/x", &["T024BE7LH", "s/T024BE7LH/x"]),
            ("http://me:pw@proxy:3128", &["pw"]),
        ] {
            assert_eq!(of_url(&url.parse().unwrap()), parts, "{url}");
        }
    }

    #[test]
    fn parts_of_a_header_are_the_credentials_in_it() {
        for (name, value, parts) in [
            ("X-Token", "short", &["short"][..]),
            ("X-Api-Key", " two words ", &["two words"]),
            ("Authorization", "Bearer a-token", &["a-token"]),
            ("X-Team", "Bearer a-token", &["a-token"]),
            ("authorization", "basic bWU6cHc=", &["bWU6cHc=", "pw"]),
            ("Authorization", "Basic ???", &["???"]),
            ("X-Team", "media services", &[]),
            ("X-Team", "media-services", &[]),
            ("X-Team", "t34m-media", &["t34m-media"]),
            ("Accept", "application/vnd.lms.v2+json", &[]),
        ] {
            assert_eq!(of_header(name, value), parts, "{name}: {value}");
        }
    }
}
