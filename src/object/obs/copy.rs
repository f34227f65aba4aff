//! Copies within OBS that keep everything the source has.
//!
//! OBS copies content type and metadata, copies tags on request, and does not copy storage class,
//! encryption or access rights. A copy by parts keeps nothing. Both kinds of copy set the rest here
//! and check the target.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0082.html>

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderValue, Method};

use super::acl::canned;
use super::client::Call;
use super::error::Error;
use super::head::{Head, attribute_headers, header_value, is_encrypted, keeping_headers};
use super::upload::Note;
use super::{ObsStore, document, encode};
use crate::model::failure::FailureKind;
use crate::object::{
    Attributes, Copy, CopyStopped, Extras, ObjectMeta, Rights, TagSupport, UploadLog,
};

const TAGGING_DIRECTIVE: &str = "x-obs-tagging-directive";
const METADATA_DIRECTIVE: &str = "x-obs-metadata-directive";
const DIRECTIVE_REPLACE: HeaderValue = HeaderValue::from_static("REPLACE");
const DIRECTIVE_COPY: HeaderValue = HeaderValue::from_static("COPY");

impl From<Error> for CopyStopped {
    fn from(error: Error) -> Self {
        Self::Failed(error.failure)
    }
}

impl ObsStore {
    /// Copies, by parts when the object is large. Verifies the copy unless the source is `known`.
    pub(super) async fn make_copy(
        &self,
        copy: Copy<'_>,
        known: Option<&Extras>,
        log: &mut dyn UploadLog,
    ) -> Result<ObjectMeta, CopyStopped> {
        let by_parts = copy.size > self.copy_part_above;
        if !by_parts && let Some(note) = log.recorded().map(str::to_owned) {
            // The copy by parts was noted under a lower `copy_part_above`.
            self.end_noted(copy.to, &Note::parse(&note)?).await?;
            log.record(None).await?;
        }
        let attributes = match known {
            Some(known) if !by_parts => Cow::Borrowed(&known.attributes),
            _ => Cow::Owned(self.unchanged_source(copy).await?.meta.attributes),
        };
        let mark = copy
            .mark
            .filter(|_| !by_parts && self.needs_mark(copy, &attributes));
        let rights = self
            .rights_for(copy, known.map(|known| &known.rights))
            .await?;
        let mut headers = canned(&rights);
        let etag = if by_parts {
            headers.extend(attribute_headers(&attributes)?);
            self.copy_by_parts(copy, headers, log).await?
        } else if let Some(mark) = mark {
            headers.extend(attribute_headers(&attributes.marked(mark))?);
            self.copy_whole(copy, headers, DIRECTIVE_REPLACE).await?
        } else {
            headers.extend(keeping_headers(&attributes)?);
            self.copy_whole(copy, headers, DIRECTIVE_COPY).await?
        };
        if !by_parts && is_comparable(copy, &attributes) {
            let keeps = *etag == *copy.etag;
            self.keeps_etags.store(keeps, Ordering::Relaxed);
        }
        self.complete_rights(copy.to, &rights).await?;
        match known {
            Some(_) => Ok(ObjectMeta {
                key: copy.to.to_owned(),
                size: copy.size,
                etag,
                attributes: mark.map_or_else(Attributes::default, |mark| {
                    Attributes::default().marked(mark)
                }),
            }),
            None => Ok(self.verified(copy, &etag).await?),
        }
    }

    /// Whether the copy can only be recognised by a mark after a lost response: its ETag will or
    /// may differ from the source's, as the bucket may encrypt what is written.
    fn needs_mark(&self, copy: Copy<'_>, attributes: &Attributes) -> bool {
        !is_comparable(copy, attributes) || !self.keeps_etags.load(Ordering::Relaxed)
    }

    /// The finished copy of an earlier try. Ends an upload that was requested but never answered.
    pub(super) async fn earlier_copy(
        &self,
        copy: Copy<'_>,
        rights: Option<&Rights>,
        note: Option<&Note>,
    ) -> Result<Option<ObjectMeta>, Error> {
        let found = match note {
            Some(Note::Open { id }) => self.came_out_of(copy.to, id).await?,
            Some(note @ Note::Opening { .. }) => {
                self.end_noted(copy.to, note).await?;
                None
            }
            None => {
                let found = self.look(&self.bucket, copy.to).await?;
                found.filter(|head| head.meta.etag == copy.etag || head.meta.is_marked(copy.mark))
            }
        };
        let Some(found) = found.filter(|head| head.meta.size == copy.size) else {
            return Ok(None);
        };
        let rights = self.rights_for(copy, rights).await?;
        self.complete_rights(copy.to, &rights).await?;
        Ok(Some(found.meta))
    }

    async fn unchanged_source(&self, copy: Copy<'_>) -> Result<Head, Error> {
        let source = self.look(copy.source, copy.from).await?;
        let fail = |kind, what: &str| {
            let reason = format!("copy {:?} from bucket {:?}: {what}", copy.from, copy.source);
            Err(Error::new(kind, reason))
        };
        match source {
            None => fail(FailureKind::Missing, "it does not exist"),
            Some(head) if head.meta.etag != copy.etag || head.meta.size != copy.size => fail(
                FailureKind::SourceChanged,
                "it changed since it was first looked at",
            ),
            Some(head) => Ok(head),
        }
    }

    async fn rights_for<'a>(
        &self,
        copy: Copy<'_>,
        rights: Option<&'a Rights>,
    ) -> Result<Cow<'a, Rights>, Error> {
        match rights {
            Some(rights) => Ok(Cow::Borrowed(rights)),
            None => self.rights_of(copy.source, copy.from).await.map(Cow::Owned),
        }
    }

    async fn copy_whole(
        &self,
        copy: Copy<'_>,
        mut headers: HeaderMap,
        metadata: HeaderValue,
    ) -> Result<String, Error> {
        headers.insert(METADATA_DIRECTIVE, metadata);
        headers.insert(TAGGING_DIRECTIVE, DIRECTIVE_COPY);
        self.drop_what_files_lack(&mut headers).await?;
        let refused = match self.ask_copy(copy, &headers).await {
            Err(error) if error.failure.kind == FailureKind::Unsupported => error,
            outcome => return outcome,
        };
        // The tag directive alone may be refused, when the source has no tags.
        if headers.remove(TAGGING_DIRECTIVE).is_none()
            || self.tags_of(copy.source, copy.from).await? != TagSupport::Unsupported
        {
            return Err(refused);
        }
        self.ask_copy(copy, &headers).await
    }

    async fn ask_copy(&self, copy: Copy<'_>, headers: &HeaderMap) -> Result<String, Error> {
        let call = Call::object("copy to", Method::PUT, &self.bucket, copy.to)
            .headers(&source_headers(copy)?)
            .headers(headers)
            .once()
            .patient();
        self.client.read(&call, document::etag).await
    }

    async fn verified(&self, copy: Copy<'_>, etag: &str) -> Result<ObjectMeta, Error> {
        let found = self.look(&self.bucket, copy.to).await?;
        let fail = |what: String| {
            let reason = format!("copy to {:?} in bucket {:?}: {what}", copy.to, self.bucket);
            Err(Error::new(FailureKind::Unknown, reason))
        };
        match found {
            None => fail("OBS answered success, but it does not exist".to_owned()),
            Some(head) if head.meta.size != copy.size || head.meta.etag != etag => fail(format!(
                "it has {} bytes and ETag {:?}, and should have {} and {etag:?}",
                head.meta.size, head.meta.etag, copy.size
            )),
            Some(head) => Ok(head.meta),
        }
    }
}

/// Whether a copy has the source's ETag: both are digests of the content, unless the source was
/// written by parts or is encrypted.
fn is_comparable(copy: Copy<'_>, attributes: &Attributes) -> bool {
    !copy.etag.contains('-') && !is_encrypted(attributes)
}

/// Headers that name the source and require its ETag.
pub(super) fn source_headers(copy: Copy<'_>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (
            "x-obs-copy-source",
            encode::copy_source(copy.source, copy.from),
        ),
        ("x-obs-copy-source-if-match", format!("\"{}\"", copy.etag)),
    ] {
        headers.insert(name, header_value(name, &value)?);
    }
    Ok(headers)
}
