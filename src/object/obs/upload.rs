//! Opens, finds and ends multipart uploads.
//!
//! OBS identifies an upload only by the id in its response, which may be lost. So we note the ids
//! that are open at the key before we open one: any new id is ours, because only one task at a time
//! writes a key.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0098.html>

use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

use super::client::Call;
use super::document::Part;
use super::error::Error;
use super::head::Head;
use super::{ObsStore, document};
use crate::model::failure::{Failure, FailureKind};

/// What a copy by parts may have left open, as stored in its log.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// An upload was requested while these were open at the key.
    Opening {
        before: Vec<String>,
    },
    Open {
        id: String,
    },
}

impl Note {
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a note is plain JSON")
    }

    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|error| {
            let reason = format!("the note {text:?} of an upload cannot be read: {error}");
            Failure::new(FailureKind::Invalid, reason)
        })
    }
}

impl ObsStore {
    pub(super) async fn initiate(&self, key: &str, headers: &HeaderMap) -> Result<String, Error> {
        let call = Call::object("open an upload to", Method::POST, &self.bucket, key)
            .about("uploads")
            .headers(headers)
            .once();
        self.client.read(&call, document::upload_id).await
    }

    /// Ids of the uploads that are open at exactly this key.
    pub(super) async fn open_uploads(&self, key: &str) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        let mut next: Option<(String, String)> = None;
        loop {
            let mut call = Call::bucket("list the uploads of", Method::GET, &self.bucket)
                .about("uploads")
                .query("prefix", key)
                .query("max-uploads", "1000");
            if let Some((key, id)) = next {
                call = call.query("key-marker", key).query("upload-id-marker", id);
            }
            let page = self.client.read(&call, document::uploads).await?;
            let ours = page.uploads.into_iter().filter(|(at, _)| at == key);
            ids.extend(ours.map(|(_, id)| id));
            // In key order, the key itself precedes longer ones that begin with it.
            match page.next {
                Some(marker) if marker.0 == key => next = Some(marker),
                _ => return Ok(ids),
            }
        }
    }

    /// The parts of an upload; `None` when it is no longer open.
    /// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0101.html>
    pub(super) async fn parts(&self, key: &str, id: &str) -> Result<Option<Vec<Part>>, Error> {
        let mut all = Vec::new();
        let mut next: Option<usize> = None;
        loop {
            let mut call = Call::object("list the parts of", Method::GET, &self.bucket, key)
                .query("uploadId", id)
                .query("max-parts", "1000");
            if let Some(after) = next {
                call = call.query("part-number-marker", after.to_string());
            }
            let (page, more) = match self.client.read(&call, document::parts).await {
                Err(error) if error.is("NoSuchUpload") => return Ok(None),
                page => page?,
            };
            all.extend(page);
            match more {
                // Protects against endless pages.
                Some(after) if next.is_none_or(|before| before < after) => next = Some(after),
                _ => return Ok(Some(all)),
            }
        }
    }

    /// The object at `key`, if this upload made it.
    pub(super) async fn came_out_of(&self, key: &str, id: &str) -> Result<Option<Head>, Error> {
        let found = self.look(&self.bucket, key).await?;
        Ok(found.filter(|head| head.upload_id.as_deref() == Some(id)))
    }

    /// Ends an upload. If it completed first, returns the object.
    pub(super) async fn end_upload(&self, key: &str, id: &str) -> Result<Option<Head>, Error> {
        let call = Call::object("end an upload to", Method::DELETE, &self.bucket, key)
            .query("uploadId", id);
        match self.client.confirm(&call).await {
            Err(error) if !error.is("NoSuchUpload") => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.came_out_of(key, id).await
    }

    /// Ends every upload that the note may refer to. If one completed first, returns the object.
    pub(super) async fn end_noted(&self, key: &str, note: &Note) -> Result<Option<Head>, Error> {
        let before = match note {
            Note::Open { id } => return self.end_upload(key, id).await,
            Note::Opening { before } => before,
        };
        for id in self.open_uploads(key).await? {
            if !before.contains(&id) {
                self.end_upload(key, &id).await?;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_reads_back_as_it_was_written() {
        for (note, text) in [
            (Note::Open { id: "u1".into() }, r#"{"open":{"id":"u1"}}"#),
            (
                Note::Opening {
                    before: vec!["u0".into()],
                },
                r#"{"opening":{"before":["u0"]}}"#,
            ),
        ] {
            assert_eq!(note.text(), text);
            assert_eq!(Note::parse(text).unwrap(), note);
        }
        assert_eq!(Note::parse("u1").unwrap_err().kind, FailureKind::Invalid);
    }
}
