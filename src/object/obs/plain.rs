//! Operations that take one request each: read, write, list, delete and bucket layout.

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, Method};

use super::ObsStore;
use super::client::Call;
use super::document;
use super::error::{self, Error};
use super::head::attribute_headers;
use crate::model::failure::{Failure, FailureKind};
use crate::object::{Attributes, Layout, Names, ObjectMeta, Page};

/// Maximum keys of one request
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0086.html>).
const DELETED_AT_ONCE: usize = 1000;

impl ObsStore {
    pub(super) async fn fetch(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        let call = Call::object("read", Method::GET, &self.bucket, key).limit(limit);
        self.client.content(&call).await
    }

    pub(super) async fn write(
        &self,
        key: &str,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Error> {
        let mut headers = attribute_headers(attributes)?;
        self.drop_what_files_lack(&mut headers).await?;
        let size = content.len() as u64;
        let call = Call::object("write", Method::PUT, &self.bucket, key)
            .headers(&headers)
            .body(content)
            .once();
        let headers = self.client.confirm(&call).await?;
        let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.ok_or_else(|| call.unusable(&headers, "no ETag"))?;
        Ok(ObjectMeta {
            key: key.to_owned(),
            size,
            etag: document::bare_etag(etag),
            attributes: attributes.clone(),
        })
    }

    pub(super) async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, Error> {
        let call = self.listing(prefix, after);
        self.client.read(&call, document::listing).await
    }

    /// One page of a listing in which each folder below is one name.
    pub(super) async fn page_of_folder(
        &self,
        folder: &str,
        after: Option<&str>,
    ) -> Result<Names, Error> {
        let call = self.listing(folder, after).query("delimiter", "/");
        self.client.read(&call, document::names).await
    }

    fn listing(&self, prefix: &str, after: Option<&str>) -> Call<'_> {
        let mut call = Call::bucket("list", Method::GET, &self.bucket).query("max-keys", "1000");
        if !prefix.is_empty() {
            call = call.query("prefix", prefix);
        }
        if let Some(after) = after {
            call = call.query("marker", after);
        }
        call
    }

    /// Returns the failures by key.
    pub(super) async fn remove(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Error> {
        if let [key] = keys {
            let failed = self.remove_one(key).await.err();
            return Ok(failed
                .map(|error| (key.clone(), error.failure))
                .into_iter()
                .collect());
        }
        let mut failed = Vec::new();
        for keys in keys.chunks(DELETED_AT_ONCE) {
            failed.extend(self.remove_many(keys).await?);
        }
        Ok(failed)
    }

    async fn remove_one(&self, key: &str) -> Result<(), Error> {
        let call = Call::object("delete", Method::DELETE, &self.bucket, key);
        match self.client.confirm_empty(&call).await {
            Ok(true) => Ok(()),
            Ok(false) if self.look(&self.bucket, key).await?.is_none() => Ok(()),
            Ok(false) => Err(call.unusable(&HeaderMap::new(), "the object is still there")),
            Err(error) if error.failure.kind == FailureKind::Missing => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove_many(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Error> {
        let call = Call::bucket("delete objects in", Method::POST, &self.bucket)
            .about("delete")
            .document(document::deletion(keys));
        let undeleted = self.client.read(&call, document::undeleted).await?;
        let failures = undeleted.into_iter().map(|entry| {
            let kind = error::kind(None, &entry.code);
            let reason = format!(
                "delete {:?} in bucket {:?}: OBS answered {} ({})",
                entry.key, self.bucket, entry.code, entry.message
            );
            (entry.key, Failure::new(kind, reason))
        });
        Ok(failures
            .filter(|(_, failure)| failure.kind != FailureKind::Missing)
            .collect())
    }

    /// The bucket's layout. When the credentials may not read it, assumes an ordinary bucket, as
    /// SparkRTC records into.
    /// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0023.html>
    pub(super) async fn layout_of_bucket(&self) -> Result<Layout, Error> {
        let ask = async || {
            let call = Call::bucket("look at", Method::HEAD, &self.bucket);
            match self.client.confirm(&call).await {
                Ok(headers) => Ok(layout(&headers)),
                Err(error) if error.failure.kind == FailureKind::Denied => Ok(Layout::Objects),
                Err(error) => Err(error),
            }
        };
        self.layout.get_or_try_init(ask).await.copied()
    }

    /// Removes headers that a parallel file system refuses: its objects have no storage class,
    /// encryption or tags.
    /// <https://support.huaweicloud.com/en-us/pfsfg-obs/obs_13_0004.html>
    pub(super) async fn drop_what_files_lack(&self, headers: &mut HeaderMap) -> Result<(), Error> {
        if self.layout_of_bucket().await? == Layout::FileSystem {
            for name in [
                "x-obs-storage-class",
                "x-obs-server-side-encryption",
                "x-obs-server-side-encryption-kms-key-id",
                "x-obs-tagging",
                "x-obs-tagging-directive",
            ] {
                headers.remove(name);
            }
        }
        Ok(())
    }
}

fn layout(headers: &HeaderMap) -> Layout {
    match headers.get("x-obs-fs-file-interface") {
        Some(value) if value == "Enabled" => Layout::FileSystem,
        _ => Layout::Objects,
    }
}
