//! Reads and writes an object's attributes in headers.
//! <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0084.html>

use std::collections::BTreeMap;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, ETAG, EXPIRES,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::ObsStore;
use super::client::Call;
use super::document::bare_etag;
use super::error::Error;
use crate::model::failure::FailureKind;
use crate::object::{Attributes, ObjectMeta};

const METADATA_PREFIX: &str = "x-obs-meta-";
const STORAGE_CLASS: &str = "x-obs-storage-class";
/// HEAD does not return this class.
const STANDARD: &str = "STANDARD";
/// Standard headers that are stored with an object.
const DESCRIPTION: [HeaderName; 6] = [
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    EXPIRES,
];
const ENCRYPTION: [&str; 2] = [
    "x-obs-server-side-encryption",
    "x-obs-server-side-encryption-kms-key-id",
];

#[derive(Debug)]
pub(super) struct Head {
    pub(super) meta: ObjectMeta,
    /// The multipart upload that made it.
    pub(super) upload_id: Option<String>,
}

impl ObsStore {
    /// The object in a bucket of this site; `None` when it does not exist.
    pub(super) async fn look(&self, bucket: &str, key: &str) -> Result<Option<Head>, Error> {
        let call = Call::object("look at", Method::HEAD, bucket, key);
        match self.client.confirm(&call).await {
            Ok(headers) => Head::read(key, &headers)
                .ok_or_else(|| call.unusable(&headers, "no length or no ETag"))
                .map(Some),
            Err(error) if error.failure.kind == FailureKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Head {
    fn read(key: &str, headers: &HeaderMap) -> Option<Self> {
        let storage_class = text(headers, STORAGE_CLASS).unwrap_or_else(|| STANDARD.to_owned());
        Some(Self {
            meta: ObjectMeta {
                key: key.to_owned(),
                size: text(headers, CONTENT_LENGTH.as_str())?.parse().ok()?,
                etag: bare_etag(&text(headers, ETAG.as_str())?),
                attributes: Attributes {
                    content_type: text(headers, CONTENT_TYPE.as_str()),
                    metadata: metadata(headers),
                    storage_class: Some(storage_class),
                    headers: others(headers),
                },
            },
            upload_id: text(headers, "x-obs-uploadid"),
        })
    }
}

/// Headers for these attributes. The error names a metadata key that is not a valid header name.
pub(super) fn attribute_headers(attributes: &Attributes) -> Result<HeaderMap, Error> {
    let mut headers = metadata_headers(&attributes.metadata)?;
    headers.extend(keeping_headers(attributes)?);
    if let Some(value) = &attributes.content_type {
        headers.insert(CONTENT_TYPE, header_value(CONTENT_TYPE.as_str(), value)?);
    }
    for name in &DESCRIPTION {
        if let Some(value) = attributes.headers.get(name.as_str()) {
            headers.insert(name, header_value(name.as_str(), value)?);
        }
    }
    Ok(headers)
}

/// Whether the object is encrypted, so its ETag is not a digest of its content.
pub(super) fn is_encrypted(attributes: &Attributes) -> bool {
    ENCRYPTION
        .iter()
        .any(|name| attributes.headers.contains_key(*name))
}

/// Headers for the attributes that OBS does not copy.
pub(super) fn keeping_headers(attributes: &Attributes) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    if let Some(class) = &attributes.storage_class {
        headers.insert(STORAGE_CLASS, header_value(STORAGE_CLASS, class)?);
    }
    for name in ENCRYPTION {
        if let Some(value) = attributes.headers.get(name) {
            headers.insert(name, header_value(name, value)?);
        }
    }
    Ok(headers)
}

pub(super) fn metadata_headers(metadata: &BTreeMap<String, String>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (key, value) in metadata {
        let name = HeaderName::from_bytes(format!("{METADATA_PREFIX}{key}").as_bytes());
        let name = name.map_err(|_| {
            let reason = format!("metadata key {key:?} is not valid in a header");
            Error::new(FailureKind::Invalid, reason)
        })?;
        let value = header_value(key, &super::encode::metadata_value(value))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

pub(super) fn header_value(name: &str, value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| {
        let reason = format!("{name}: {value:?} is not valid in a header");
        Error::new(FailureKind::Invalid, reason)
    })
}

fn metadata(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .keys()
        .filter_map(|name| {
            let key = name.as_str().strip_prefix(METADATA_PREFIX)?;
            Some((key.to_owned(), text(headers, name.as_str())?))
        })
        .collect()
}

/// Stored headers that [`Attributes`] has no field for.
fn others(headers: &HeaderMap) -> BTreeMap<String, String> {
    let names = DESCRIPTION.iter().map(HeaderName::as_str).chain(ENCRYPTION);
    names
        .filter(|name| *name != CONTENT_TYPE.as_str())
        .filter_map(|name| Some((name.to_owned(), text(headers, name)?)))
        .collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn absent_storage_class_is_standard_and_etag_loses_its_quotes() {
        let head = Head::read(
            "k",
            &headers(&[("content-length", "7"), ("etag", "\"e1\"")]),
        )
        .unwrap();
        assert_eq!((head.meta.size, head.meta.etag.as_str()), (7, "e1"));
        let class = head.meta.attributes.storage_class.as_deref();
        assert_eq!(class, Some("STANDARD"));
        assert_eq!(head.upload_id, None);
    }

    #[test]
    fn what_belongs_to_an_object_is_told_from_what_belongs_to_the_answer() {
        let head = Head::read(
            "k",
            &headers(&[
                ("content-length", "7"),
                ("etag", "e"),
                ("date", "d"),
                ("content-type", "video/mp4"),
                ("cache-control", "no-store"),
                ("x-obs-meta-room", "r"),
                ("x-obs-request-id", "1"),
                ("x-obs-uploadid", "u"),
                ("x-obs-storage-class", "WARM"),
                ("x-obs-server-side-encryption", "kms"),
            ]),
        )
        .unwrap();
        let names = |headers: &HeaderMap| {
            let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let attributes = &head.meta.attributes;
        let all = attribute_headers(attributes).unwrap();
        let expected = ["cache-control", "content-type", "x-obs-meta-room"];
        assert_eq!(
            names(&all),
            [&expected[..], &[ENCRYPTION[0], STORAGE_CLASS]].concat()
        );
        let keeping = keeping_headers(attributes).unwrap();
        assert_eq!(names(&keeping), [ENCRYPTION[0], STORAGE_CLASS]);
        assert!(is_encrypted(attributes));
        assert_eq!(head.meta.attributes.metadata["room"], "r");
        assert_eq!(head.upload_id.as_deref(), Some("u"));
    }

    #[test]
    fn metadata_key_that_no_header_can_have_is_named() {
        let metadata = BTreeMap::from([("a b".to_owned(), "v".to_owned())]);
        let error = metadata_headers(&metadata).unwrap_err();
        assert_eq!(error.failure.kind, FailureKind::Invalid);
        assert!(
            error.failure.reason.contains("\"a b\""),
            "{}",
            error.failure
        );
    }
}
