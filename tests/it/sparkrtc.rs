//! SparkRTC callbacks: parsing of real and unusual bodies, and authentication.

use std::fmt::Write as _;
use std::time::Duration;

use aftertake::model::event::{Event, Field};
use aftertake::model::id::EventId;
use aftertake::model::recorder::Recorder;
use aftertake::model::time::Timestamp;
use aftertake::recorder;
use aftertake::recorder::sparkrtc::signature::{self, Headers, SignatureError};
use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::event;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_millis(1_619_600_300_000);

fn headers(rand: &str, timestamp: &str, signature: &str) -> Headers {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Headers {
        rand: text(rand),
        timestamp: text(timestamp),
        signature: text(signature),
    }
}

fn parse(body: impl Into<Bytes>) -> Event {
    event(body, NOW)
}

fn decode(id: EventId, body: Bytes) -> Event {
    recorder::decode(Recorder::SparkRtc, id, NOW, body)
}

/// The sample bodies, by file name.
fn samples() -> Vec<(String, Bytes)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/callbacks");
    let mut samples: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, Bytes::from(std::fs::read(path).unwrap()))
        })
        .collect();
    samples.sort();
    samples
}

#[test]
fn every_sample_body_becomes_the_event_it_means() {
    let mut text = String::new();
    for (name, body) in samples() {
        let event = parse(body);
        writeln!(text, "{name}: {}", event.id).unwrap();
        for (field, value) in event.fields.entries() {
            writeln!(text, "  {field}: {}", json!(value)).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn stored_body_decodes_to_the_event_it_was() {
    for (name, body) in samples() {
        let event = parse(body);
        let decoded = decode(event.id, event.body.clone());
        assert_eq!(decoded, event, "{name}");
    }
}

#[test]
fn every_sample_body_has_an_id_of_its_own() {
    let mut ids: Vec<_> = samples()
        .into_iter()
        .map(|(_, body)| parse(body).id)
        .collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), count), (13, 13));
}

/// The sample callback with one field replaced.
fn varied(field: &str, value: &Value) -> Event {
    let mut body: Value = serde_json::from_slice(
        &samples()
            .into_iter()
            .find(|(name, _)| name.starts_with("01_"))
            .unwrap()
            .1,
    )
    .unwrap();
    body[field] = value.clone();
    parse(serde_json::to_vec(&body).unwrap())
}

#[test]
fn id_follows_the_meaning_and_nothing_else() {
    let original = varied("event_type", &"RECORD_FILE_COMPLETE".into());
    for (field, value, same) in [
        ("job_id", Value::from("another"), true),
        ("file_size", 1.into(), true),
        ("detail_message", "late".into(), true),
        ("some_new_field", true.into(), true),
        ("end_time", "2021-04-28T08:58:02.900Z".into(), true),
        ("end_time", "2021-04-28T16:58:02+08:00".into(), true),
        (
            "obs_object",
            format!("/{}", original.fields.object.as_deref().unwrap()).into(),
            true,
        ),
        (
            "obs_object",
            format!("//{}", original.fields.object.as_deref().unwrap()).into(),
            false,
        ),
        ("event_type", "RECORD_NEW_FILE_START".into(), false),
        ("app_id", "another".into(), false),
        ("obs_bucket", "another".into(), false),
        ("start_time", "2021-04-28T08:56:58Z".into(), false),
        ("start_time", Value::Null, false),
        ("end_time", "2021-04-28T08:58:03Z".into(), false),
    ] {
        let found = varied(field, &value).id == original.id;
        assert_eq!(found, same, "{field}: {value}");
    }
}

#[test]
fn both_spellings_of_the_job_end_are_one_event() {
    let body = |name: &str| {
        format!(r#"{{"event_type":"{name}","obs_object":"a","end_time":"2026-03-02T01:00:01Z"}}"#)
    };
    assert_eq!(
        parse(body("CLOUD_RECORD_OVER")).id,
        parse(body("CLOUD_RECORD_SERVER_OVER")).id
    );
}

#[test]
fn event_without_a_date_of_its_own_is_all_that_its_fields_say() {
    let over = json!({
        "event_type": "CLOUD_RECORD_SERVER_OVER", "job_id": "j", "app_id": "a", "room_id": "r",
        "stream_name": "s", "record_format": "HLS", "start_time": "2026-03-02T01:00:01Z",
        "end_time": "2026-03-02T01:01:02Z", "detail_message": "EXCEED_MAX_IDLE_TIME",
    });
    let with = |field: &str, value: Value| {
        let mut body = over.clone();
        body[field] = value;
        parse(serde_json::to_vec_pretty(&body).unwrap()).id
    };
    let original = parse(over.to_string()).id;
    assert_eq!(with("some_new_field", 1.into()), original);
    assert_eq!(with("event_type", "CLOUD_RECORD_OVER".into()), original);
    for field in over.as_object().unwrap().keys() {
        assert_ne!(with(field, Value::Null), original, "{field}");
        let other = "2026-03-02T01:00:07Z";
        assert_ne!(with(field, other.into()), original, "{field}");
    }
    let (room, job) = (json!({"room_id": "ab"}), json!({"job_id": "ab"}));
    assert_ne!(parse(room.to_string()).id, parse(job.to_string()).id);
}

#[test]
fn event_with_too_few_fields_is_identified_by_its_body() {
    for (body, other, same) in [
        (
            r#"{"event_type":"RECORD_FAILED","job_id":"j","stream":"1"}"#,
            r#"{"event_type":"RECORD_FAILED","job_id":"j","stream":"2"}"#,
            false,
        ),
        (
            r#"{"event_type":"RECORD_NEW_FILE_START","file":1}"#,
            r#"{"event_type":"RECORD_NEW_FILE_START","file":2}"#,
            false,
        ),
        (
            r#"{"event_type":"RECORD_NEW_FILE_START","room_id":"r","file":1}"#,
            r#"{"event_type":"RECORD_NEW_FILE_START","room_id":"r","file":2}"#,
            true,
        ),
    ] {
        assert_eq!(parse(body).id, parse(body).id);
        assert_eq!(parse(body).id == parse(other).id, same, "{other}");
    }
}

#[test]
fn id_begins_with_a_time_of_the_event_or_else_with_that_of_its_arrival() {
    let prefix = |body: &str| {
        let [a, b, c, d, ..] = *parse(body.to_owned()).id.as_bytes();
        i64::from(u32::from_be_bytes([a, b, c, d]))
    };
    let (start, end) = ("2026-03-02T00:00:00Z", "2026-03-02T01:00:01Z");
    let body = format!(r#"{{"obs_object":"a","start_time":"{start}","end_time":"{end}"}}"#);
    assert_eq!(prefix(&body), 1_772_413_201);
    let body = format!(r#"{{"obs_object":"a","start_time":"{end}","file_size":1}}"#);
    assert_eq!(prefix(&body), 1_772_413_201);
    for body in [format!(r#"{{"end_time":"{end}"}}"#), "{}".to_owned()] {
        assert_eq!(prefix(&body), NOW.seconds() - NOW.seconds() % 600);
    }
}

#[test]
fn body_that_cannot_be_read_decodes_to_an_event_without_fields() {
    let id = EventId::from_bytes([7; 16]);
    let event = decode(id, Bytes::from_static(b"\xff{"));
    let entries: Vec<_> = event.fields.entries().collect();
    assert_eq!(entries, [("event_type", Field::Text(""))]);
    assert_eq!((event.id, event.received), (id, NOW));
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}(Z|[+-][0-9]{2}:[0-9]{2})".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<(String, Value)>> {
    let name = prop_oneof![
        prop::sample::select(&aftertake::model::event::Fields::NAMES[..]).prop_map(str::to_owned),
        ".{0,8}",
    ];
    prop::collection::btree_map(name, json(), 0..20).prop_map(|map| map.into_iter().collect())
}

/// The object as JSON, in the given order and with the given whitespace.
fn written(entries: &[(String, Value)], space: &str) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, value)| format!("{space}{}{space}:{value:#}", Value::from(name.as_str())))
        .collect();
    format!("{space}{{{}{space}}}{space}", entries.join(","))
}

proptest! {
    #[test]
    fn any_object_is_an_event_that_decodes_to_itself(entries in body()) {
        let event = parse(written(&entries, ""));
        prop_assert_eq!(decode(event.id, event.body.clone()), event);
    }

    #[test]
    fn any_bytes_are_an_event_or_refused(bytes: Vec<u8>, object: bool) {
        let body = if object { [b"{\"room_id\":", &bytes[..]].concat() } else { bytes };
        let body = Bytes::from(body);
        let parsed = recorder::parse(Recorder::SparkRtc, &HeaderMap::new(), body.clone(), NOW);
        let decoded = decode(EventId::from_bytes([0; 16]), body);
        if let Ok(event) = parsed {
            prop_assert_eq!(event.fields, decoded.fields);
        }
    }

    #[test]
    fn rewritten_body_is_the_same_event(
        (entries, shuffled) in body().prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        space in "[ \t\r\n]{0,3}",
    ) {
        let complete = |mut entries: Vec<(String, Value)>, space: &str| {
            entries.retain(|(name, _)| name != "obs_object" && name != "end_time");
            entries.push(("obs_object".into(), "a/b.mp4".into()));
            entries.push(("end_time".into(), "2026-03-02T01:00:01Z".into()));
            parse(written(&entries, space))
        };
        let (original, rewritten) = (complete(entries, ""), complete(shuffled, &space));
        prop_assert_eq!(original.id, rewritten.id);
        prop_assert_eq!(original.fields, rewritten.fields);
    }
}

const RAND: &str = "8f14e45fceea167a";
const TIMESTAMP: &str = "1619600300";
const ASCII: &str = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"room01"}"#;
const CHINESE: &str = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"会议 01"}"#;
const ASCII_SIGNATURE: &str = "b1d13d34c091c0994a4fa2b062518871c7421fed35190bb3ec125962f22e365a";
const CHINESE_SIGNATURE: &str = "3d9f247d8b46fdad0f613b34fbb9b23d3ba41832b216d64577abe700df51556f";

fn verify(headers: &Headers, body: &str) -> Result<(), SignatureError> {
    let keys = ["retired key".into(), SecretString::from(KEY)];
    signature::verify(&keys, headers, body.as_bytes(), NOW, None)
}

#[test]
fn signature_of_the_raw_body_is_accepted_with_any_key_in_force() {
    for (body, expected) in [(ASCII, ASCII_SIGNATURE), (CHINESE, CHINESE_SIGNATURE)] {
        assert_eq!(
            signature::sign(&KEY.into(), RAND, TIMESTAMP, body.as_bytes()),
            expected
        );
        assert_eq!(verify(&headers(RAND, TIMESTAMP, expected), body), Ok(()));
        let upper = expected.to_uppercase();
        assert_eq!(verify(&headers(RAND, TIMESTAMP, &upper), body), Ok(()));
    }
}

#[test]
fn anything_else_is_a_wrong_signature() {
    let wrong = Err(SignatureError::Wrong { keys: 2 });
    let spaced = ASCII.replace(':', ": ");
    for (rand, timestamp, signature, body) in [
        (RAND, TIMESTAMP, ASCII_SIGNATURE, spaced.as_str()),
        (RAND, TIMESTAMP, CHINESE_SIGNATURE, ASCII),
        (RAND, "1619600301", ASCII_SIGNATURE, ASCII),
        ("8f14e45fceea167b", TIMESTAMP, ASCII_SIGNATURE, ASCII),
        (RAND, TIMESTAMP, &ASCII_SIGNATURE[..62], ASCII),
        (RAND, TIMESTAMP, &format!("{ASCII_SIGNATURE}00"), ASCII),
        (RAND, TIMESTAMP, &"é".repeat(32), ASCII),
        (RAND, TIMESTAMP, &ASCII_SIGNATURE.replace("b1", "+1"), ASCII),
    ] {
        assert_eq!(
            verify(&headers(rand, timestamp, signature), body),
            wrong,
            "{signature}"
        );
    }
    let signed = headers(RAND, TIMESTAMP, ASCII_SIGNATURE);
    let without_keys = signature::verify(&[], &signed, ASCII.as_bytes(), NOW, None);
    assert_eq!(without_keys, Err(SignatureError::Wrong { keys: 0 }));
}

#[test]
fn missing_header_is_named() {
    for (headers, name) in [
        (headers("", "", ""), "X-Rtc-Signature"),
        (headers("", TIMESTAMP, ASCII_SIGNATURE), "X-Rtc-Rand"),
        (headers(RAND, "", ASCII_SIGNATURE), "X-Rtc-Timestamp"),
    ] {
        assert_eq!(verify(&headers, ASCII), Err(SignatureError::Missing(name)));
    }
}

#[test]
fn age_is_checked_only_when_a_limit_is_set() {
    let check = |timestamp: &str, max_age: Option<Duration>| {
        let signature = signature::sign(&KEY.into(), RAND, timestamp, b"{}");
        let headers = headers(RAND, timestamp, &signature);
        signature::verify(&[KEY.into()], &headers, b"{}", NOW, max_age)
            .map_err(|error| error.to_string())
    };
    let hour = Some(Duration::from_hours(1));
    for timestamp in ["1619600300", "1619600300000", "1619596700", "1619603900"] {
        assert_eq!(check(timestamp, hour), Ok(()), "{timestamp}");
    }
    for (timestamp, text) in [
        (
            "1619596699",
            "callback was signed 1h 1s ago, and callbacks.sparkrtc.max_age is 1h",
        ),
        (
            "1619603901000",
            "callback was signed 1h 1s ahead of this machine's clock, and callbacks.sparkrtc.max_age is 1h; set the clock",
        ),
        (
            "today",
            "X-Rtc-Timestamp \"today\" is not a time in seconds or milliseconds; without callbacks.sparkrtc.max_age it need not be one",
        ),
        (
            "-1",
            "X-Rtc-Timestamp \"-1\" is not a time in seconds or milliseconds; without callbacks.sparkrtc.max_age it need not be one",
        ),
    ] {
        assert_eq!(check(timestamp, hour), Err(text.to_owned()));
        assert_eq!(check(timestamp, None), Ok(()));
    }
}

#[test]
fn no_error_text_holds_the_key() {
    let error = verify(&headers(RAND, TIMESTAMP, CHINESE_SIGNATURE), ASCII).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(KEY) && !text.contains("retired"), "{text}");
}
