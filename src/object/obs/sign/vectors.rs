//! Signatures computed with Huawei's Python client, and tests of the parts of a signature.

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

/// A documented case; `{Date}` in `text` is replaced by the date line.
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
