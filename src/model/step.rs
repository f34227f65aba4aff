//! A step with its templates filled in: what an action carries out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::destination::Format;
use super::recording::Place;

/// A step ready to be carried out.
#[derive(Debug, Clone, PartialEq)]
pub enum Rendered {
    Rename(Rename),
    Tag(Tag),
    Notify(Notify),
}

/// Move the recording to another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The new place of the object, or of the playlist of a set. The key is whole:
    /// a target that ended in `/` already has the old name appended.
    pub to: Place,
    pub on_conflict: OnConflict,
    /// What `keep_both` puts after a `-`: eight characters of the event's id.
    pub suffix: String,
}

/// What a rename does when its target exists and is not our own copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The task is dead with that reason.
    #[default]
    Fail,
    /// The target is replaced.
    Overwrite,
    /// The recording gets another name beside it.
    KeepBoth,
}

/// Put tags on the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub tags: BTreeMap<String, String>,
    pub mode: TagMode,
    pub storage: TagStorage,
    pub on_invalid: OnInvalid,
    pub objects: TagObjects,
}

/// What happens to tags that are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagMode {
    /// Tags of other names stay.
    #[default]
    Merge,
    /// The set is exactly the new one.
    Replace,
}

/// Where tags are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagStorage {
    /// Object tags, or custom metadata where the bucket has none.
    #[default]
    Auto,
    /// Object tags or nothing.
    Tags,
    /// Custom metadata.
    Metadata,
}

/// What happens to a tag that breaks the site's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInvalid {
    /// The task is dead with that reason.
    #[default]
    Fail,
    /// Forbidden characters become `_`; an over-long value is cut and ends in a hash.
    Replace,
}

/// Which objects of a set are tagged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagObjects {
    /// The object that the event names: of an HLS set, the playlist.
    #[default]
    Named,
    /// The segments, too.
    All,
}

/// Send one request to a destination.
#[derive(Clone, PartialEq, Eq)]
pub struct Notify {
    pub destination: String,
    pub method: http::Method,
    /// The destination's scheme, host and port; path and query may be the step's own.
    pub url: Url,
    /// Whether a template made the path or query, so that the URL stands for this event.
    pub is_of_event: bool,
    /// Headers of the step; the destination adds its own.
    pub headers: Vec<(String, String)>,
    pub content_type: String,
    /// In whose way the request is signed and its answer understood.
    pub format: Format,
    /// The bytes that are signed and sent; to a bot of Feishu the signature goes into them.
    pub body: Bytes,
    /// The same for every try.
    pub webhook_id: String,
    /// Overrides the destination's.
    pub timeout: Option<Duration>,
}

/// Only the origin of its URL is shown, and nothing of headers and body: paths and queries
/// of webhooks are secrets, and the others may hold some.
impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify")
            .field("destination", &self.destination)
            .field("method", &self.method)
            .field("origin", &self.url.origin().ascii_serialization())
            .field("webhook_id", &self.webhook_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_shows_its_origin_and_no_secret() {
        let request = Rendered::Notify(Notify {
            destination: "lms".into(),
            method: http::Method::POST,
            url: "https://lms.example.com/hidden?token=hidden"
                .parse()
                .unwrap(),
            is_of_event: false,
            headers: vec![("authorization".into(), "hidden".into())],
            content_type: "text/plain".into(),
            body: "hidden".into(),
            format: crate::model::destination::Format::Aftertake,
            webhook_id: "msg_1_0".into(),
            timeout: None,
        });
        let shown = r#"Notify(Notify { destination: "lms", method: POST, origin: "https://lms.example.com", webhook_id: "msg_1_0", .. })"#;
        assert_eq!(format!("{request:?}"), shown);
    }
}
