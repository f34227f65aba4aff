//! A step with its templates filled in, ready for its action.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::destination::Format;
use super::recording::Place;

#[derive(Debug, Clone, PartialEq)]
pub enum Rendered {
    Rename(Rename),
    Tag(Tag),
    Notify(Notify),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The new place of the object, or of a set's playlist. The key is complete: a target that
    /// ended in `/` already has the old name appended.
    pub to: Place,
    pub on_conflict: OnConflict,
    /// What `keep_both` appends after a `-`: eight characters of the event's id.
    pub suffix: String,
}

/// What to do if the target exists and is not our own copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The task is dead with that reason.
    #[default]
    Fail,
    Overwrite,
    /// The recording gets another name next to it.
    KeepBoth,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub tags: BTreeMap<String, String>,
    pub mode: TagMode,
    pub storage: TagStorage,
    pub on_invalid: OnInvalid,
    pub objects: TagObjects,
}

/// What to do with existing tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagMode {
    #[default]
    Merge,
    Replace,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagStorage {
    /// Object tags, or custom metadata if the bucket has none.
    #[default]
    Auto,
    /// Object tags, or fail.
    Tags,
    Metadata,
}

/// What to do with a tag that breaks the site's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInvalid {
    /// The task is dead with that reason.
    #[default]
    Fail,
    /// Forbidden characters become `_`; a value that is too long is cut and ends with a hash.
    Replace,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TagObjects {
    /// The object that the event names: of an HLS set, the playlist.
    #[default]
    Named,
    /// Also the segments.
    All,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Notify {
    pub destination: String,
    pub method: http::Method,
    /// Has the destination's origin; path and query may be the step's own.
    pub url: Url,
    /// Whether a template made the path or query, so that the URL belongs to this event.
    pub is_of_event: bool,
    /// The step's headers; those of the destination are added later.
    pub headers: Vec<(String, String)>,
    pub content_type: String,
    /// Decides how to sign the request and read its response.
    pub format: Format,
    /// The bytes to sign and send. For a Feishu bot the signature is added inside.
    pub body: Bytes,
    pub webhook_id: String,
    pub timeout: Option<Duration>,
}

/// Shows only the URL's origin, no headers and no body: paths and queries of webhooks are secrets,
/// and the others may contain some.
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
