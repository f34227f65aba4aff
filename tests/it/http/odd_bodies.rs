//! Bodies that are not plain UTF-8: a BOM is accepted, anything else is refused with its name.

use std::collections::BTreeMap;
use std::path::Path;

use aftertake::model::event::Event;
use aftertake::model::recorder::Recorder;
use aftertake::model::time::Timestamp;
use aftertake::recorder::sparkrtc::signature;
use aftertake::recorder::{self, Refusal};
use aftertake::rules::file::parse;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};

const KEY: &str = "0123456789abcdef0123456789abcdef";

const BODY: &str = r#"{"event_type":"RECORD_FILE_COMPLETE","obs_object":"k","end_time":"2026-03-02T01:00:01Z","room_id":"会议"}"#;

/// Checks this body with a right signature.
fn admitted(body: &[u8], headers: &[(HeaderName, &str)]) -> Result<Event, Refusal> {
    let text = format!(
        "callbacks: {{ sparkrtc: {{ keys: ['{KEY}'] }} }}\n\
         rules: []\n"
    );
    let env = BTreeMap::<&str, &str>::new();
    let file = parse("rules.yaml", &text, Path::new(""), &env).unwrap();
    let signed = signature::sign(&KEY.into(), "r", "1", body);
    let mut all = HeaderMap::new();
    for (name, value) in [
        (signature::RAND, "r"),
        (signature::TIMESTAMP, "1"),
        (signature::SIGNATURE, &signed),
    ] {
        all.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.parse().unwrap(),
        );
    }
    for (name, value) in headers {
        all.insert(name, value.parse().unwrap());
    }
    let (from, received) = (Recorder::SparkRtc, Timestamp::from_millis(0));
    recorder::verify(from, &file.callers, &all, body, received)?;
    recorder::parse(from, &all, body.to_vec().into(), received)
}

#[test]
fn body_compressed_by_a_proxy_is_named_along_with_its_signature() {
    let headers = [
        (CONTENT_ENCODING, "gzip"),
        (HeaderName::from_static("x-rtc-signature"), "0"),
    ];
    let Err(Refusal::Signature(reason)) = admitted(b"\x1f\x8b\x08\0", &headers) else {
        panic!()
    };
    assert!(reason.ends_with("; body is compressed (gzip); it has to come without compression"));
}

#[test]
fn body_with_a_byte_order_mark_is_the_same_event_as_without() {
    let plain = admitted(BODY.as_bytes(), &[]).unwrap();
    let marked = admitted(format!("\u{feff}{BODY}").as_bytes(), &[]).unwrap();
    assert_eq!(marked, plain);
    assert_eq!(marked.body, BODY);
}

#[test]
fn body_that_can_be_read_is_taken_whatever_its_headers_say() {
    for header in [
        (CONTENT_TYPE, "application/json; charset=GBK"),
        (CONTENT_TYPE, "text/plain"),
        (CONTENT_ENCODING, "gzip"),
    ] {
        assert!(admitted(BODY.as_bytes(), &[header]).is_ok());
    }
}

#[test]
fn compressed_body_and_other_charset_are_refused_and_named() {
    let gzip = "body is compressed (gzip); it has to come without compression";
    let brotli = "body is compressed (br); it has to come without compression";
    let gbk = "body is in the charset GBK; it has to be UTF-8";
    let utf16 = "body is in the charset UTF-16; it has to be UTF-8";
    let in_utf16: Vec<u8> = BODY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, header, reason) in [
        (&b"\x1f\x8b\x08\0\xff"[..], None, gzip),
        (b"\x1f\x8b\x08", Some((CONTENT_ENCODING, "gzip")), gzip),
        (b"\x8f\xff", Some((CONTENT_ENCODING, "br")), brotli),
        (
            b"{\"room_id\":\"\xbb\xe1\xd2\xe9\"}",
            Some((CONTENT_TYPE, "application/json; charset=GBK")),
            gbk,
        ),
        (&in_utf16, None, utf16),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        let refused = Refusal::Encoded(reason.to_owned());
        assert_eq!(admitted(body, &headers), Err(refused));
    }
    let unnamed = "body is not JSON: byte 12 is not UTF-8".to_owned();
    let refused = admitted(b"{\"room_id\":\"\xbb\xe1\"}", &[]);
    assert_eq!(refused, Err(Refusal::NotAnEvent(unnamed)));
}
