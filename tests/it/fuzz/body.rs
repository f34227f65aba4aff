//! The body of a callback, and what rules make of its values.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aftertake::model::destination::Destination;
use aftertake::model::event::{Event, Field, Fields};
use aftertake::model::recorder::Recorder;
use aftertake::model::step::Rendered;
use aftertake::model::time::Timestamp;
use aftertake::recorder;
use aftertake::rules::context::Context;
use aftertake::rules::file::{RulesFile, parse};
use aftertake::rules::plan::{plan, skipped};
use aftertake::rules::render::{Rendering, render};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Target, Verdict};

const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

const TARGET: Target = Target {
    name: "body",
    samples: Some(("callbacks", "json")),
    dictionary: &[
        "event_type",
        "app_id",
        "room_id",
        "job_id",
        "stream_name",
        "record_format",
        "file_size",
        "record_duration",
        "width",
        "height",
        "start_time",
        "end_time",
        "obs_location",
        "obs_bucket",
        "obs_object",
        "download_url",
        "detail_message",
        "RECORD_FILE_COMPLETE",
        "CLOUD_RECORD_OVER",
        "null",
        "true",
        "{}",
        "[]",
        "[",
        "{\"a\":",
        "\"",
        "\\",
        "\\u0000",
        "\\ud83d",
        "\\udc4d",
        "\\ud83d\\udc4d",
        "\\u002e",
        "\\/",
        "..",
        "../",
        "//",
        "/",
        "?",
        "#",
        "@evil.example.com",
        "%2e%2e",
        "%2f",
        "\\r\\nX: y",
        "{{ rule }}",
        "{% raw %}",
        "${HOME}",
        "2026-03-02T01:00:01Z",
        "9999-12-31T23:59:60-23:59",
        "0000-01-01T00:00:00+23:59",
        "NaN",
        "\u{feff}",
        "\u{202e}",
        "录制",
        ",",
        ":",
        " ",
        "1e400",
        "-1",
        "e",
        ".",
    ],
    usual: 4_000,
};

/// Rules that put event values into every part of a request.
const RULES: &str = r#"
buckets: { abc-rtc-bucket2: { store: folder, path: ./a }, archive: { store: folder, path: ./b } }
destinations: { lms: { url: "https://lms.example.com/hooks?k=v" } }
rooms: [{ room: "class-*", tags: { department: teaching } }, { room: "*" }]
rules:
  - name: move
    when: { event: "RECORD_FILE_COMPLETE" }
    order_by: room_id
    steps: [{ rename: { to: "classes/{{ room_id }}/{{ object.name }}", bucket: archive } }, { tag: by_room }]
  - name: tell
    when: { event: "RECORD_FILE_COMPLETE" }
    steps:
      - notify: { destination: lms, path: "/rooms/{{ room_id }}/{{ stream_name }}?of={{ job_id }}", headers: { X-Room: "{{ room_id }}" } }
      - id: own
        notify: { destination: lms, body: { all: "{{ event }}", of: "{{ room_id | slug }}" } }
      - { id: usual, notify: lms }
"#;

#[test]
fn any_json_object_is_an_event_and_leads_nowhere_else() {
    let file = parse(
        "rules.yaml",
        RULES,
        Path::new(""),
        &BTreeMap::<&str, &str>::new(),
    );
    let file = file.unwrap_or_else(|error| panic!("{error}"));
    let arcs = |(name, one): (&String, &Destination)| (name.clone(), Arc::new(one.clone()));
    let destinations = file.destinations.iter().map(arcs).collect();
    TARGET.run(|input| {
        let body = Bytes::copy_from_slice(input);
        match recorder::parse(Recorder::SparkRtc, &HeaderMap::new(), body.clone(), NOW) {
            Err(error) => {
                assert!(!is_object(input), "an object was refused: {error}");
                let text = error.to_string();
                assert!(text.len() < 200 && !text.contains('\n'), "{text:?}");
                Verdict::Refused
            }
            Ok(event) => {
                assert!(is_object(input), "this was accepted");
                let mark = "\u{feff}".as_bytes();
                let body = body.slice_ref(body.strip_prefix(mark).unwrap_or(&body));
                assert_eq!(event.body, body);
                let decoded = recorder::decode(Recorder::SparkRtc, event.id, NOW, body);
                assert_eq!(decoded, event);
                reads_back(&event);
                stays_within(&file, &destinations, &event);
                Verdict::Accepted
            }
        }
    });
}

/// A scan by JSON's grammar, without reading values.
fn is_object(input: &[u8]) -> bool {
    let text = std::str::from_utf8(input).ok();
    let text = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let value = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    value.is_some_and(|value| value.get().starts_with('{'))
}

/// The fields, printed and parsed again, are the same.
fn reads_back(event: &Event) {
    let entry = |(name, value): (&str, Field<'_>)| match value {
        // Reading an object's name drops one slash.
        Field::Text(key) if name == "obs_object" => (name.to_owned(), format!("/{key}").into()),
        _ => (name.to_owned(), json!(value)),
    };
    let printed = Value::Object(event.fields.entries().map(entry).collect::<Map<_, _>>());
    let again = crate::support::event(printed.to_string(), NOW);
    let usable = Fields {
        unusable: Vec::new(),
        ..event.fields.clone()
    };
    assert_eq!(again.fields, usable, "{printed}");
}

/// An event's values reach only buckets and destinations that the rules name.
fn stays_within(
    file: &RulesFile,
    destinations: &BTreeMap<String, Arc<Destination>>,
    event: &Event,
) {
    let plan = plan(&file.rules, event, 0);
    assert_eq!(
        plan.tasks.len() + skipped(&file.rules, event).len(),
        file.rules.rules.len()
    );
    for task in &plan.tasks {
        let rule = file.rules.rules.iter().find(|rule| rule.name == task.rule);
        let rule = rule.unwrap();
        for number in (0..).take(rule.steps.len()) {
            let context = Context::before_running(event, task.id);
            match render(&file.rules, rule, number, &context, destinations) {
                Ok(Rendering::Run(rendered)) => is_within(&rendered),
                Ok(Rendering::Skip(reason)) => assert!(!reason.is_empty()),
                Err(failure) => assert!(!failure.reason.is_empty()),
            }
        }
    }
}

fn is_within(rendered: &Rendered) {
    match rendered {
        Rendered::Rename(rename) => {
            let key = &rename.to.key;
            assert_eq!(rename.to.bucket, "archive");
            assert!(key.starts_with("classes/") && key.len() <= 1024, "{key:?}");
            let odd = |segment: &str| ["", ".", ".."].contains(&segment);
            assert!(!key.split('/').any(odd), "{key:?}");
            assert!(!key.chars().any(char::is_control), "{key:?}");
        }
        Rendered::Notify(notify) => {
            let url = &notify.url;
            assert_eq!(
                url.origin().ascii_serialization(),
                "https://lms.example.com"
            );
            assert!(url.path().starts_with("/hooks"), "{url}");
            assert!(
                url.query().is_some_and(|query| query.starts_with("k=v")),
                "{url}"
            );
            assert!(
                url.username().is_empty() && url.password().is_none(),
                "{url}"
            );
            assert!(serde_json::from_slice::<Value>(&notify.body).is_ok());
        }
        Rendered::Tag(_) => {}
    }
}
