//! SparkRTC's callback body; the only file that knows its field names.
//!
//! The vendor documents every field as optional, its two field tables contradict its example, and
//! related products send the same fields with other types. So any JSON object is an event, and an
//! unusable field counts as absent.
//! Sources: <https://support.huaweicloud.com/api-rtc/rtc_07_0021.html> (fields),
//! <https://support.huaweicloud.com/usermanual-rtc/rtc_04_0007.html> (example).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::model::event::{EventType, Fields};
use crate::recorder::NotAnEvent;
use crate::recorder::lenient::Scalar;

pub(in crate::recorder) fn fields(body: &[u8]) -> Result<Fields, NotAnEvent> {
    // Check the whole body now, because skipped values are not parsed.
    let text = std::str::from_utf8(body).map_err(|error| NotAnEvent::Malformed {
        reason: format!("byte {} is not UTF-8", error.valid_up_to()),
    })?;
    let Callback(fields) = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => NotAnEvent::NotAnObject,
        Category::Io | Category::Syntax | Category::Eof => NotAnEvent::Malformed {
            reason: error.to_string(),
        },
    })?;
    Ok(fields)
}

struct Callback(Fields);

impl<'de> Deserialize<'de> for Callback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CallbackVisitor).map(Self)
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    EventType,
    AppId,
    RoomId,
    JobId,
    StreamName,
    RecordFormat,
    FileSize,
    RecordDuration,
    Width,
    Height,
    StartTime,
    EndTime,
    ObsLocation,
    ObsBucket,
    ObsObject,
    DownloadUrl,
    DetailMessage,
    #[serde(other)]
    Unknown,
}

/// Reads the fields in one pass over the body. Derived code would refuse a repeated key, and accept
/// a list.
struct CallbackVisitor;

impl<'de> Visitor<'de> for CallbackVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new(EventType::from_name(""));
        // Keep values raw: JSON may contain texts and numbers that do not parse, such as half of a
        // surrogate pair (`"\ud83d"`) and 1e999.
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            match serde_json::from_str(key.get()).unwrap_or(Key::Unknown) {
                Key::Unknown => {}
                known => set(&mut fields, key.get().trim_matches('"'), known, value),
            }
        }
        // In one order, whatever that of the keys was.
        let noted = std::mem::take(&mut fields.unusable);
        let names = Fields::NAMES.into_iter();
        fields.unusable = names.filter(|name| noted.contains(name)).collect();
        Ok(fields)
    }
}

/// Sets the field, and notes its name if it was sent with a value that cannot be used.
fn set(fields: &mut Fields, name: &str, key: Key, value: &RawValue) {
    let is_sent = !matches!(value.get(), "null" | "\"\"");
    let is_usable = put(fields, key, Scalar::read(value));
    fields.unusable.retain(|noted| *noted != name);
    if is_sent && !is_usable {
        let names = Fields::NAMES.into_iter();
        fields.unusable.extend(names.filter(|known| *known == name));
    }
}

fn put(fields: &mut Fields, key: Key, value: Scalar<'_>) -> bool {
    fn is_some<T>(field: &mut Option<T>, value: Option<T>) -> bool {
        *field = value;
        field.is_some()
    }
    match key {
        Key::EventType => {
            let name = value.text();
            let is_usable = name.is_some();
            fields.event_type = EventType::from_name(&name.unwrap_or_default());
            is_usable
        }
        Key::AppId => is_some(&mut fields.app, value.text()),
        Key::RoomId => is_some(&mut fields.room, value.text()),
        Key::JobId => is_some(&mut fields.job, value.text()),
        Key::StreamName => is_some(&mut fields.stream, value.text()),
        Key::RecordFormat => {
            let format = value.text().map(|format| format.to_ascii_uppercase());
            is_some(&mut fields.format, format)
        }
        Key::FileSize => is_some(&mut fields.size, value.number()),
        Key::RecordDuration => is_some(&mut fields.duration, value.number()),
        Key::Width => is_some(&mut fields.width, value.number()),
        Key::Height => is_some(&mut fields.height, value.number()),
        Key::StartTime => is_some(&mut fields.start_time, value.time()),
        Key::EndTime => is_some(&mut fields.end_time, value.time()),
        Key::ObsLocation => is_some(&mut fields.location, value.text()),
        Key::ObsBucket => is_some(&mut fields.bucket, value.text()),
        Key::ObsObject => {
            let key = value.text().and_then(without_leading_slash);
            is_some(&mut fields.object, key)
        }
        Key::DownloadUrl => is_some(&mut fields.download_url, value.text()),
        Key::DetailMessage => is_some(&mut fields.detail_message, value.text()),
        Key::Unknown => true,
    }
}

/// Removes only one slash: the rest is the real key, in which empty segments are possible.
fn without_leading_slash(key: String) -> Option<String> {
    match key.strip_prefix('/') {
        Some("") => None,
        Some(rest) => Some(rest.to_owned()),
        None => Some(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Fields {
        fields(json.as_bytes()).unwrap()
    }

    #[test]
    fn only_one_leading_slash_of_the_object_goes() {
        for (sent, key) in [
            ("/a/b.mp4", Some("a/b.mp4")),
            ("//a/b.mp4", Some("/a/b.mp4")),
            ("a//b.mp4", Some("a//b.mp4")),
            ("/", None),
            ("", None),
        ] {
            let found = read(&format!(r#"{{"obs_object":"{sent}"}}"#)).object;
            assert_eq!(found.as_deref(), key, "{sent:?}");
        }
    }

    #[test]
    fn last_of_repeated_keys_counts() {
        let fields = read(r#"{"room_id":"a","room_id":{"x":1},"room_id":7}"#);
        assert_eq!(fields.room.as_deref(), Some("7"));
    }

    #[test]
    fn field_with_a_value_that_cannot_be_used_is_noted() {
        let fields = read(
            r#"{"start_time":"2026-11-27 08:00:00","record_duration":"60s","file_size":"","room_id":null,"app_id":[],
                "width":"720p","width":720,"obs_object":"a.mp4","other":[]}"#,
        );
        assert_eq!(fields.unusable, ["app_id", "record_duration", "start_time"]);
    }

    #[test]
    fn body_that_is_no_object_is_refused_with_the_reason() {
        for (body, reason) in [
            (&b"[]"[..], "body is JSON but not an object"),
            (b"\"text\"", "body is JSON but not an object"),
            (b"null", "body is JSON but not an object"),
            (
                b"",
                "body is not JSON: EOF while parsing a value at line 1 column 0",
            ),
            (
                b"{} x",
                "body is not JSON: trailing characters at line 1 column 4",
            ),
            (
                b"{\"room_id\":\"a\",}",
                "body is not JSON: trailing comma at line 1 column 16",
            ),
            (b"{\"x\":\"\xff\"}", "body is not JSON: byte 6 is not UTF-8"),
        ] {
            let error = fields(body).unwrap_err();
            assert_eq!(error.to_string(), reason, "{body:?}");
        }
    }
}
