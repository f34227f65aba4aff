//! The native OBS signature, in a header and in a URL.
//!
//! Pure: the date is an argument, so the documented cases are plain tests and a wrong
//! system clock can be corrected by the caller. Knows nothing of hosts: the signed
//! resource is `/bucket/key` whether the bucket stands in the host name or in the path.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0010.html>

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

/// Query parameters that belong to the signed resource, as documented; in byte order.
/// All others, such as `prefix` and `marker`, are not signed.
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

/// What signs requests.
pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: SecretString,
    /// Of temporary credentials.
    pub(super) security_token: Option<SecretString>,
}

/// Query parameters: a name, and a value unless it is a bare one. Raw, not encoded.
pub(super) type Query = Vec<(&'static str, Option<String>)>;

/// What a signature covers.
pub(super) struct Signable<'a> {
    pub(super) method: &'a Method,
    pub(super) bucket: &'a str,
    /// Empty for a request to the bucket itself.
    pub(super) key: &'a str,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
}

impl Credentials {
    /// Puts the date, the security token and the signature into `headers`.
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

    /// The query of a link that anyone may GET until `expires`, in Unix seconds. A link
    /// signed with temporary credentials dies with their token.
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

/// The text that is signed. `expires` stands in the date's place in a link; otherwise
/// the date line is the Date header, or empty when `x-obs-date` is sent.
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

/// `x-obs-` headers by name, one a line; those of one name joined by commas.
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

/// `/bucket/key`, encoded, and the signed sub-resources by name. Their values are raw
/// here, though encoded in the URL.
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

/// The values of one name, trimmed and joined by commas; empty when there is none.
fn header(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .collect();
    values.join(",")
}

/// The form of dates in headers: `Wed, 01 Jul 2026 04:19:21 GMT`.
fn http_date(date: Timestamp) -> String {
    let date: DateTime<Utc> = date.to_chrono().unwrap_or_default();
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A text of ours as a header. What no header can carry, such as a line break in a key
/// of the rules file, is left empty: the server then says that the signature is wrong.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn secret_value(text: &str) -> HeaderValue {
    let mut value = header_value(text);
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE_LINE: &str = "Wed, 01 Jul 2026 04:19:21 GMT";
    const BUCKET: &str = "abc-rtc-bucket2";

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials {
            access_key: "EXAMPLEAK00000000001".into(),
            secret_key: "ExampleSecretKey000000000000000000000001".to_owned().into(),
            security_token: token.map(|token| token.to_owned().into()),
        }
    }

    /// One documented case: `{Date}` in `text` stands for the date line.
    struct Case {
        method: Method,
        bucket: &'static str,
        key: &'static str,
        query: Vec<(&'static str, &'static str)>,
        headers: Vec<(&'static str, &'static str)>,
        text: &'static str,
        signature: &'static str,
    }

    fn check(case: Case) {
        let mut headers = HeaderMap::new();
        if !case.headers.iter().any(|(name, _)| *name == OBS_DATE) {
            headers.insert(DATE, DATE_LINE.parse().unwrap());
        }
        for (name, value) in case.headers {
            headers.append(name, value.parse().unwrap());
        }
        let value = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let query = case.query.into_iter().map(|(n, v)| (n, value(v))).collect();
        let text = string_to_sign(
            &Signable {
                method: &case.method,
                bucket: case.bucket,
                key: case.key,
                query: &query,
                headers: &headers,
            },
            None,
        );
        assert_eq!(text, case.text.replace("{Date}", DATE_LINE));
        assert_eq!(credentials(None).signature(&text), case.signature);
    }

    #[test]
    fn get_object() {
        check(Case {
            method: Method::GET,
            bucket: BUCKET,
            key: "object.txt",
            query: vec![],
            headers: vec![],
            text: "GET\n\n\n{Date}\n/abc-rtc-bucket2/object.txt",
            signature: "NAB933QISAigVgDqU0ne/QcaYRI=",
        });
    }

    #[test]
    fn head_of_a_key_with_every_kind_of_character() {
        check(Case {
            method: Method::HEAD,
            bucket: BUCKET,
            key: "录制/room 01/a+b~c(1)!.mp4",
            query: vec![],
            headers: vec![],
            text: "HEAD\n\n\n{Date}\n/abc-rtc-bucket2/%E5%BD%95%E5%88%B6/room%2001/a%2Bb~c%281%29%21.mp4",
            signature: "+4D27NpdzFgWebvzJhbFetJ79e8=",
        });
    }

    #[test]
    fn list_signs_none_of_its_parameters() {
        check(Case {
            method: Method::GET,
            bucket: BUCKET,
            key: "",
            query: vec![("prefix", "a/"), ("marker", "a/b"), ("max-keys", "1000")],
            headers: vec![],
            text: "GET\n\n\n{Date}\n/abc-rtc-bucket2/",
            signature: "QF7yA3kljubN0CxzgQqVVG+d15k=",
        });
    }

    #[test]
    fn copy_signs_its_encoded_source() {
        let source = encode::copy_source(BUCKET, "src/会议.mp4");
        check(Case {
            method: Method::PUT,
            bucket: BUCKET,
            key: "dst/room 01.mp4",
            query: vec![],
            headers: vec![
                ("x-obs-tagging-directive", "COPY"),
                ("x-obs-metadata-directive", "COPY"),
                ("x-obs-copy-source", source.leak()),
            ],
            text: "PUT\n\n\n{Date}\nx-obs-copy-source:/abc-rtc-bucket2/src/%E4%BC%9A%E8%AE%AE.mp4\n\
                   x-obs-metadata-directive:COPY\nx-obs-tagging-directive:COPY\n\
                   /abc-rtc-bucket2/dst/room%2001.mp4",
            signature: "FaYTmUCF790CJNZzXbLA+RTv0lo=",
        });
    }

    #[test]
    fn tagging_signs_digest_and_content_type() {
        check(Case {
            method: Method::PUT,
            bucket: BUCKET,
            key: "a/b.m3u8",
            query: vec![("tagging", "")],
            headers: vec![
                (CONTENT_MD5, "jYn+bz6qT9PPXDEq4o/RFw=="),
                ("content-type", "application/xml"),
            ],
            text: "PUT\njYn+bz6qT9PPXDEq4o/RFw==\napplication/xml\n{Date}\n/abc-rtc-bucket2/a/b.m3u8?tagging",
            signature: "09LAKbEAWPVWenD+B22JD+p8wzQ=",
        });
    }

    #[test]
    fn rename_signs_its_raw_new_name() {
        check(Case {
            method: Method::POST,
            bucket: "my-pfs",
            key: "old/a b.mp4",
            query: vec![("rename", ""), ("name", "/new/a b.mp4")],
            headers: vec![],
            text: "POST\n\n\n{Date}\n/my-pfs/old/a%20b.mp4?name=/new/a b.mp4&rename",
            signature: "B6zyXpuN5KVLa2/kO4KRvB73DDQ=",
        });
    }

    #[test]
    fn copied_part_signs_number_upload_and_range() {
        check(Case {
            method: Method::PUT,
            bucket: BUCKET,
            key: "big.mp4",
            query: vec![("uploadId", "0000018F2A"), ("partNumber", "2")],
            headers: vec![
                ("x-obs-copy-source", "/abc-rtc-bucket2/src.mp4"),
                ("x-obs-copy-source-range", "bytes=104857600-209715199"),
            ],
            text: "PUT\n\n\n{Date}\nx-obs-copy-source:/abc-rtc-bucket2/src.mp4\n\
                   x-obs-copy-source-range:bytes=104857600-209715199\n\
                   /abc-rtc-bucket2/big.mp4?partNumber=2&uploadId=0000018F2A",
            signature: "A2w1djg62S/3Uawwe78bD8qiJvQ=",
        });
    }

    #[test]
    fn own_date_header_leaves_the_date_line_empty() {
        check(Case {
            method: Method::PUT,
            bucket: BUCKET,
            key: "object.txt",
            query: vec![],
            headers: vec![
                ("content-type", "text/plain"),
                (OBS_TOKEN, "TOKEN"),
                (OBS_DATE, DATE_LINE),
            ],
            text: "PUT\n\ntext/plain\n\nx-obs-date:{Date}\nx-obs-security-token:TOKEN\n/abc-rtc-bucket2/object.txt",
            signature: "ZW7RKDjfPLXHYTNx3hSzCL+Z6gM=",
        });
    }

    #[test]
    fn deletion_signs_the_version() {
        check(Case {
            method: Method::DELETE,
            bucket: BUCKET,
            key: "a.mp4",
            query: vec![("versionId", "G001018455096CE600005306000000DD")],
            headers: vec![],
            text: "DELETE\n\n\n{Date}\n/abc-rtc-bucket2/a.mp4?versionId=G001018455096CE600005306000000DD",
            signature: "m4ft9bu5fsmejOervR3NxLOUUjo=",
        });
    }

    #[test]
    fn metadata_signs_custom_headers() {
        check(Case {
            method: Method::PUT,
            bucket: BUCKET,
            key: "a.mp4",
            query: vec![("metadata", "")],
            headers: vec![
                ("x-obs-metadata-directive", "REPLACE_NEW"),
                ("x-obs-meta-room", "room01"),
            ],
            text: "PUT\n\n\n{Date}\nx-obs-meta-room:room01\nx-obs-metadata-directive:REPLACE_NEW\n\
                   /abc-rtc-bucket2/a.mp4?metadata",
            signature: "GCu0SlHbLBDEgaPyG1RLXkK3Xb8=",
        });
    }

    #[test]
    fn headers_of_one_name_are_trimmed_and_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x-obs-meta-b", " 1 ".parse().unwrap());
        headers.append("x-obs-meta-b", "2".parse().unwrap());
        headers.append("x-obs-meta-a", "Z".parse().unwrap());
        assert_eq!(
            canonical_headers(&headers),
            "x-obs-meta-a:Z\nx-obs-meta-b:1,2\n"
        );
    }

    #[test]
    fn request_carries_date_token_and_a_signature_over_both() {
        let date: Timestamp = "2026-07-01T04:19:21Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        credentials(Some("TOKEN")).sign(
            &Method::PUT,
            (BUCKET, "object.txt"),
            &vec![],
            &mut headers,
            date,
        );
        assert_eq!(headers[OBS_DATE], DATE_LINE);
        assert_eq!(headers[OBS_TOKEN], "TOKEN");
        assert_eq!(
            headers[AUTHORIZATION],
            "OBS EXAMPLEAK00000000001:ZW7RKDjfPLXHYTNx3hSzCL+Z6gM="
        );
        let shown = format!("{headers:?} {:?}", credentials(Some("TOKEN")));
        assert!(
            !shown.contains("TOKEN") && !shown.contains("Secret"),
            "{shown}"
        );
    }

    #[test]
    fn link_signs_its_end_in_the_place_of_the_date() {
        let query = credentials(None).signed_query(BUCKET, "object.txt", 1_782_879_561);
        let text = "GET\n\n\n1782879561\n/abc-rtc-bucket2/object.txt";
        assert_eq!(
            query,
            vec![
                ("AccessKeyId", Some("EXAMPLEAK00000000001".to_owned())),
                ("Expires", Some("1782879561".to_owned())),
                ("Signature", Some(credentials(None).signature(text))),
            ]
        );
        let query = credentials(Some("T")).signed_query(BUCKET, "o", 1);
        let text = "GET\n\n\n1\n/abc-rtc-bucket2/o?x-obs-security-token=T";
        assert_eq!(query[2], (OBS_TOKEN, Some("T".to_owned())));
        assert_eq!(query[3].1, Some(credentials(None).signature(text)));
    }
}
