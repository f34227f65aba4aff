//! What a recorder announced, independent of the recorder.
//!
//! `crate::recorder` translates each recorder's callbacks. Every field may be missing: recorders
//! document none as mandatory.

use std::fmt;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::id::EventId;
use super::recorder::Recorder;
use super::recording::{Extent, Origin, Place, names_playlist};
use super::time::Timestamp;

/// A parsed callback.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Derived from the meaning, so that a repeated callback is the same event.
    pub id: EventId,
    pub recorder: Recorder,
    /// When the callback was received.
    pub received: Timestamp,
    /// The request's body without a byte order mark.
    pub body: Bytes,
    pub fields: Fields,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventType {
    /// A recorded file is complete in object storage.
    RecordFileComplete,
    /// The recorder began a new file.
    RecordNewFileStart,
    /// The recording job ended.
    CloudRecordServerOver,
    /// Anything else, as the recorder spells it.
    Other(String),
}

impl EventType {
    /// The name in rules, rows and metrics.
    pub fn name(&self) -> &str {
        match self {
            Self::RecordFileComplete => "RECORD_FILE_COMPLETE",
            Self::RecordNewFileStart => "RECORD_NEW_FILE_START",
            Self::CloudRecordServerOver => "CLOUD_RECORD_SERVER_OVER",
            Self::Other(name) => name,
        }
    }

    /// `CLOUD_RECORD_OVER` is another spelling of `CLOUD_RECORD_SERVER_OVER`: the recorder's
    /// documents use both.
    pub fn from_name(name: &str) -> Self {
        match name {
            "RECORD_FILE_COMPLETE" => Self::RecordFileComplete,
            "RECORD_NEW_FILE_START" => Self::RecordNewFileStart,
            "CLOUD_RECORD_SERVER_OVER" | "CLOUD_RECORD_OVER" => Self::CloudRecordServerOver,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Serialises as a map of the fields that are present.
impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    Text(&'a str),
    Number(u64),
    Time(Timestamp),
}

impl Field<'_> {
    /// The value, if it is a number.
    pub const fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(_) | Self::Time(_) => None,
        }
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

/// The fields of an event. Sizes are bytes, durations seconds. Templates and documents use the
/// names in [`Fields::NAMES`].
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    pub event_type: EventType,
    pub app: Option<String>,
    pub room: Option<String>,
    pub job: Option<String>,
    pub stream: Option<String>,
    pub format: Option<String>,
    pub size: Option<u64>,
    pub duration: Option<u64>,
    pub width: Option<u64>,
    pub height: Option<u64>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    /// A region or an endpoint, as received: never used to connect to anything.
    pub location: Option<String>,
    pub bucket: Option<String>,
    pub object: Option<String>,
    pub download_url: Option<String>,
    pub detail_message: Option<String>,
    /// Names of fields that were sent with a value that cannot be used. They count as absent.
    pub unusable: Vec<&'static str>,
}

impl Fields {
    /// Fields of an event that has only a type.
    pub fn new(event_type: EventType) -> Self {
        Self {
            event_type,
            app: None,
            room: None,
            job: None,
            stream: None,
            format: None,
            size: None,
            duration: None,
            width: None,
            height: None,
            start_time: None,
            end_time: None,
            location: None,
            bucket: None,
            object: None,
            download_url: None,
            detail_message: None,
            unusable: Vec::new(),
        }
    }

    /// The names of bucket and object in templates and documents.
    pub const BUCKET: &'static str = "obs_bucket";
    pub const OBJECT: &'static str = "obs_object";

    /// The name of every field, in the order of [`Fields::entries`].
    pub const NAMES: [&'static str; 17] = [
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
        Self::BUCKET,
        Self::OBJECT,
        "download_url",
        "detail_message",
    ];

    /// The fields that are present, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, Field<'_>)> {
        fn text(field: Option<&String>) -> Option<Field<'_>> {
            field.map(|text| Field::Text(text))
        }
        let number = |field: Option<u64>| field.map(Field::Number);
        let time = |field: Option<Timestamp>| field.map(Field::Time);
        let values = [
            Some(Field::Text(self.event_type.name())),
            text(self.app.as_ref()),
            text(self.room.as_ref()),
            text(self.job.as_ref()),
            text(self.stream.as_ref()),
            text(self.format.as_ref()),
            number(self.size),
            number(self.duration),
            number(self.width),
            number(self.height),
            time(self.start_time),
            time(self.end_time),
            text(self.location.as_ref()),
            text(self.bucket.as_ref()),
            text(self.object.as_ref()),
            text(self.download_url.as_ref()),
            text(self.detail_message.as_ref()),
        ];
        Self::NAMES
            .into_iter()
            .zip(values)
            .filter_map(|(name, value)| Some((name, value?)))
    }

    /// The object that the event names.
    pub fn place(&self) -> Option<Place> {
        match (&self.bucket, &self.object) {
            (Some(bucket), Some(key)) => Some(Place {
                bucket: bucket.clone(),
                key: key.clone(),
            }),
            _ => None,
        }
    }

    /// Which of the recordings under its key it is about; `None` without a job.
    pub fn origin(&self) -> Option<Origin> {
        let job = self.job.clone()?;
        let start = self.start_time;
        Some(Origin { job, start })
    }

    /// Which objects belong to the recording.
    pub fn extent(&self) -> Extent {
        let is_hls = self.format.as_deref() == Some("HLS");
        if is_hls || self.object.as_deref().is_some_and(names_playlist) {
            Extent::Set
        } else {
            Extent::Object
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_absent_have_no_entry() {
        let mut fields = Fields::new(EventType::from_name("CLOUD_RECORD_OVER"));
        fields.height = Some(720);
        let entries: Vec<_> = fields.entries().collect();
        assert_eq!(
            entries,
            [
                ("event_type", Field::Text("CLOUD_RECORD_SERVER_OVER")),
                ("height", Field::Number(720))
            ],
        );
    }

    #[test]
    fn event_names_a_place_only_with_bucket_and_key() {
        let mut fields = Fields::new(EventType::RecordFileComplete);
        fields.bucket = Some("b".into());
        assert_eq!(fields.place(), None);
        fields.object = Some("k".into());
        assert_eq!(
            fields.place(),
            Some(Place {
                bucket: "b".into(),
                key: "k".into()
            })
        );
    }

    #[test]
    fn recording_is_a_set_by_its_format_or_the_name_that_the_callback_gave() {
        for (format, key, extent) in [
            (Some("HLS"), "a/b", Extent::Set),
            (None, "a/b.m3u", Extent::Set),
            (Some("MP4"), "a/b.m3u8", Extent::Set),
            (Some("MP4"), "a/b", Extent::Object),
            (None, "a/b.mp4", Extent::Object),
        ] {
            let mut fields = Fields::new(EventType::RecordFileComplete);
            fields.format = format.map(str::to_owned);
            fields.object = Some(key.into());
            assert_eq!(fields.extent(), extent, "{format:?} {key}");
        }
    }
}
