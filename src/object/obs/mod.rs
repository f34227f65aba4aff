//! Huawei Cloud OBS as an [`ObjectStore`], in its native API.
//!
//! Errors become [`Failure`] kinds here (`error`). Only the parts of a copy are retried here,
//! because losing one would lose all. A request that must happen only once is never repeated
//! blindly.

mod acl;
mod address;
mod client;
mod copy;
mod document;
mod encode;
mod error;
mod file_system;
mod head;
mod multipart;
mod plain;
mod sign;
mod tagging;
mod upload;
mod xml;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;

use self::address::Address;
use self::client::Client;
use self::sign::Credentials;
use self::upload::Note;
use super::{
    Attributes, Copy, CopyHalted, CopyStopped, Extras, Layout, Names, ObjectMeta, ObjectStore,
    Page, Rights, TagSupport, UploadLog,
};
use crate::model::bucket::{Bucket, ObsBucket};
use crate::model::failure::{Failure, FailureKind};
use crate::model::time::Timestamp;

#[derive(Debug)]
pub struct ObsStore {
    client: Client,
    bucket: String,
    /// Larger objects are copied by parts; bytes.
    copy_part_above: u64,
    part_size: u64,
    /// Cached: the layout of a bucket never changes.
    layout: OnceCell<Layout>,
    /// Whether the last copy had its source's ETag, so the bucket does not encrypt by default.
    keeps_etags: AtomicBool,
    /// How long a request may take effect after its response was lost.
    lifetime: Duration,
}

impl ObsStore {
    /// Sends nothing yet. Refuses an endpoint that cannot work, such as one that contains the
    /// bucket's name.
    pub fn new(bucket: &Bucket, obs: &ObsBucket) -> Result<Self, Failure> {
        let address = Address::new(&obs.endpoint, obs.addressing, &bucket.name)?;
        let credentials = Credentials {
            access_key: obs.access_key.clone(),
            secret_key: obs.secret_key.clone(),
            security_token: obs.security_token.clone(),
        };
        Ok(Self {
            client: Client::new(&bucket.name, address, credentials, obs.timeouts)?,
            bucket: bucket.name.clone(),
            copy_part_above: obs.copy_part_above,
            part_size: obs.part_size,
            layout: OnceCell::new(),
            keeps_etags: AtomicBool::new(false),
            lifetime: obs.timeouts.lifetime,
        })
    }
}

struct NoLog;

#[async_trait]
impl UploadLog for NoLog {
    async fn record(&mut self, _note: Option<&str>) -> Result<(), CopyHalted> {
        Ok(())
    }

    fn recorded(&self) -> Option<&str> {
        None
    }

    fn gained(&mut self) {}

    fn go_on(&mut self) -> Result<(), CopyHalted> {
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for ObsStore {
    /// Known after OBS refused a request for its time.
    fn clock_ahead(&self) -> Option<chrono::Duration> {
        self.client.clock_ahead()
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let head = self.look(&self.bucket, key).await?;
        Ok(head.map(|head| head.meta))
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure> {
        Ok(self.fetch(key, limit).await?)
    }

    async fn put(
        &self,
        key: &str,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure> {
        Ok(self.write(key, content, attributes).await?)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        Ok(self.page(prefix, after).await?)
    }

    async fn list_folder(&self, folder: &str, after: Option<&str>) -> Result<Names, Failure> {
        Ok(self.page_of_folder(folder, after).await?)
    }

    async fn copy(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure> {
        match self.make_copy(copy, None, &mut NoLog).await {
            Ok(copied) => Ok(copied),
            Err(CopyStopped::Failed(failure)) => Err(failure),
            Err(CopyStopped::Halted) => {
                let reason = format!("copy to {:?}: stopped on request", copy.to);
                Err(Failure::new(FailureKind::Unknown, reason))
            }
        }
    }

    async fn copy_logged(
        &self,
        copy: Copy<'_>,
        known: Option<&Extras>,
        log: &mut dyn UploadLog,
    ) -> Result<ObjectMeta, CopyStopped> {
        self.make_copy(copy, known, log).await
    }

    async fn find_copy(
        &self,
        copy: Copy<'_>,
        known: Option<&Extras>,
        note: Option<&str>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let note = note.map(Note::parse).transpose()?;
        let rights = known.map(|known| &known.rights);
        Ok(self.earlier_copy(copy, rights, note.as_ref()).await?)
    }

    async fn abandon(&self, to: &str, note: Option<&str>) -> Result<Option<ObjectMeta>, Failure> {
        let Some(note) = note else {
            return Ok(None);
        };
        let completed = self.end_noted(to, &Note::parse(note)?).await?;
        Ok(completed.map(|head| head.meta))
    }

    fn lingers(&self) -> Duration {
        self.lifetime
    }

    async fn layout(&self) -> Result<Layout, Failure> {
        Ok(self.layout_of_bucket().await?)
    }

    async fn rename(&self, rename: Copy<'_>) -> Result<ObjectMeta, Failure> {
        Ok(self.rename_file(rename).await?)
    }

    async fn rights(&self, key: &str) -> Result<Rights, Failure> {
        Ok(self.rights_of(&self.bucket, key).await?)
    }

    async fn set_rights(&self, key: &str, rights: &Rights) -> Result<(), Failure> {
        Ok(self.give_rights(key, rights).await?)
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure> {
        Ok(self.remove(keys).await?)
    }

    async fn tags(&self, key: &str) -> Result<TagSupport, Failure> {
        Ok(self.tags_of(&self.bucket, key).await?)
    }

    async fn set_tags(&self, key: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
        Ok(self.give_tags(key, tags).await?)
    }

    async fn set_metadata(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        Ok(self.give_metadata(key, metadata).await?)
    }

    fn url(&self, key: &str) -> String {
        self.client.address.link(&self.bucket, key, &vec![])
    }

    fn signed_url(&self, key: &str, lifetime: Duration, now: Timestamp) -> String {
        self.client.signed_link(&self.bucket, key, lifetime, now)
    }

    fn copy_domain(&self) -> String {
        self.client.address.site()
    }
}
