//! Object storage behind one trait: a folder that behaves as a bucket, and OBS.
//!
//! Knows no rules, tasks or queue. Every error is a [`Failure`] with its kind, decided where the
//! store's response is understood.

pub mod folder;
pub mod obs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::bucket::{Bucket, BucketStore};
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::Place;
use crate::model::time::Timestamp;

/// Opens the buckets of one rules file without sending requests. Objects can be copied between
/// folders that were opened together. `identities` remembers which directories the folders are.
/// A failure says why a bucket's configuration cannot work.
pub fn open<'a>(
    buckets: impl IntoIterator<Item = &'a Bucket>,
    identities: Option<&Arc<dyn folder::Identities>>,
) -> BTreeMap<String, Result<Arc<dyn ObjectStore>, Failure>> {
    let (mut stores, mut folders) = (BTreeMap::new(), BTreeMap::new());
    for bucket in buckets {
        let name = bucket.name.clone();
        match &bucket.store {
            BucketStore::Folder { path } => {
                folders.insert(name, path.clone());
            }
            BucketStore::Obs(obs) => {
                let store = obs::ObsStore::new(bucket, obs);
                stores.insert(
                    name,
                    store.map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
                );
            }
        }
    }
    for (name, store) in folder::open(folders, identities) {
        stores.insert(name, Ok(Arc::new(store)));
    }
    stores
}

/// One bucket.
///
/// Every operation may be repeated. After a failure of kind `Unknown` the effect may have happened:
/// check before acting again. An object is missing only in a bucket that is there: otherwise, every
/// operation fails with `Away`. Keys are used as they are, with no leading slash added or removed.
/// An ETag always has the same spelling, without quotes.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// `None` when the object does not exist.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure>;

    /// The object's content; `Missing` when it does not exist, `Unsupported` when it has more than
    /// `limit` bytes: only playlists are read.
    async fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure>;

    /// Writes a small object in one request, such as a rewritten playlist.
    async fn put(
        &self,
        key: &str,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure>;

    /// Up to 1,000 objects whose keys begin with `prefix` and follow `after`, in key order.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure>;

    /// The objects directly in `folder`, which is empty or ends in a slash, from `after` on: a page
    /// for a thousand names, those of folders below included.
    async fn list_folder(&self, folder: &str, after: Option<&str>) -> Result<Names, Failure>;

    /// Copies `from` in bucket `source` to `to` in this bucket. The store copies: the bytes do not
    /// pass through this process. Content type, metadata, storage class, access rights and tags are
    /// kept. Fails with `SourceChanged` when the source's ETag is not `etag`, and with `Missing`
    /// when there is no source. Returns the verified copy.
    async fn copy(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure>;

    /// [`Self::copy`], noting in `log` what a crash would leave open; some stores never need to.
    /// `known` is what the caller knows of the source: with it, source and copy are not read again
    /// unless necessary, the caller verifies the copy, and the result has no attributes.
    async fn copy_logged(
        &self,
        copy: Copy<'_>,
        _known: Option<&Extras>,
        _log: &mut dyn UploadLog,
    ) -> Result<ObjectMeta, CopyStopped> {
        Ok(self.copy(copy).await?)
    }

    /// Looks for the result of an earlier try of this copy; `note` is the last note of its log. An
    /// object at the target is the copy if it was made by the noted upload, or has the source's
    /// size and ETag, or has the mark; then its access rights are restored. `None`: no copy yet;
    /// [`Self::copy_logged`] resumes an open upload.
    async fn find_copy(
        &self,
        copy: Copy<'_>,
        _known: Option<&Extras>,
        _note: Option<&str>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let found = self.head(copy.to).await?;
        Ok(found.filter(|found| {
            (found.size, found.etag.as_str()) == (copy.size, copy.etag)
                || found.is_marked(copy.mark)
        }))
    }

    /// Removes what an unfinished copy to `to` may have left, such as the upload in `note`, the
    /// last note of its log. Does not change the target. Returns the object there if that upload
    /// completed after all.
    async fn abandon(&self, _to: &str, _note: Option<&str>) -> Result<Option<ObjectMeta>, Failure> {
        Ok(None)
    }

    /// How long a request may still take effect after its client died or lost the response.
    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the bucket has a real rename.
    async fn layout(&self) -> Result<Layout, Failure> {
        Ok(Layout::Objects)
    }

    /// Renames an object in this bucket, which must be a [`Layout::FileSystem`]. May be repeated: a
    /// missing source with a matching target counts as done. Never replaces an object: an existing
    /// target is a `Conflict`.
    async fn rename(&self, rename: Copy<'_>) -> Result<ObjectMeta, Failure> {
        Err(Failure::new(
            FailureKind::Unsupported,
            format!("{:?}: this bucket cannot rename, only copy", rename.from),
        ))
    }

    async fn rights(&self, _key: &str) -> Result<Rights, Failure> {
        Ok(Rights::Private)
    }

    /// Sets who other than the owner may read and write the object.
    async fn set_rights(&self, _key: &str, _rights: &Rights) -> Result<(), Failure> {
        Ok(())
    }

    /// Deletes at most [`DELETE_LIMIT`] objects and returns the failures by key. A missing object
    /// counts as deleted.
    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure>;

    /// [`Self::delete`] for objects whose source or copy must survive. Refuses an object that is
    /// the same file as the surviving one under another name.
    async fn delete_keeping(&self, pairs: &[Pair]) -> Result<Vec<(String, Failure)>, Failure> {
        let keys: Vec<String> = pairs.iter().map(|pair| pair.goes.clone()).collect();
        self.delete(&keys).await
    }

    /// `Missing` when the object does not exist.
    async fn tags(&self, key: &str) -> Result<TagSupport, Failure>;

    async fn set_tags(&self, key: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure>;

    async fn set_metadata(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure>;

    fn url(&self, key: &str) -> String;

    fn signed_url(&self, key: &str, lifetime: Duration, now: Timestamp) -> String;

    /// How far the store's clock is ahead of ours, if known.
    fn clock_ahead(&self) -> Option<chrono::Duration> {
        None
    }

    /// Identifies the site: objects can be copied between buckets with the same value.
    fn copy_domain(&self) -> String;
}

/// Maximum keys of one [`ObjectStore::delete`]: OBS refuses more
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0086.html>).
pub const DELETE_LIMIT: usize = 1000;

/// An object to delete, and the one that keeps the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub goes: String,
    /// May be in another bucket.
    pub stays: Place,
}

#[derive(Debug, Clone, Copy)]
pub struct Copy<'a> {
    pub source: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    /// The source's ETag in the manifest.
    pub etag: &'a str,
    /// In bytes.
    pub size: u64,
    /// Value to store in the copy's metadata under [`MARK`] when nothing else identifies the copy:
    /// an encrypted copy, for example, has another ETag than its source.
    pub mark: Option<&'a str>,
}

/// Metadata key that marks our copies until their move is complete.
pub const MARK: &str = "aftertake-move";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    pub key: String,
    pub size: u64,
    pub etag: String,
    pub attributes: Attributes,
}

impl ObjectMeta {
    /// Whether it has this mark. Listings show no metadata, so there it is `false`.
    pub fn is_marked(&self, mark: Option<&str>) -> bool {
        let carried = self.attributes.metadata.get(MARK);
        carried.is_some() && carried.map(String::as_str) == mark
    }
}

/// What an object has in addition to its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub storage_class: Option<String>,
    /// Other stored headers by name, such as caching and encryption.
    pub headers: BTreeMap<String, String>,
}

impl Attributes {
    #[must_use]
    pub fn marked(&self, mark: &str) -> Self {
        let mut marked = self.clone();
        marked.metadata.insert(MARK.to_owned(), mark.to_owned());
        marked
    }
}

/// What a store does not copy along with the content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    pub attributes: Attributes,
    pub rights: Rights,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// With key, size, ETag and, where the store lists it, storage class; without other attributes.
    pub objects: Vec<ObjectMeta>,
    pub more: bool,
}

/// One page of what is directly in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub keys: Vec<String>,
    /// From where the next page goes on, if one follows.
    pub next: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagSupport {
    Tags(BTreeMap<String, String>),
    /// The bucket has no object tags; custom metadata is used instead.
    Unsupported,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A rename is a copy and a deletion.
    Objects,
    /// Directories and files, with a real rename.
    FileSystem,
}

/// Who other than the owner may read and write an object, in the store's format. Only buckets of
/// the same site understand it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rights {
    /// Only the owner.
    #[default]
    Private,
    Shared(String),
}

/// Stores what a copy leaves open, and says whether to stop it.
#[async_trait]
pub trait UploadLog: Send {
    /// Durably replaces the copy's note; `None`: nothing is open. The text is in the store's
    /// format.
    async fn record(&mut self, note: Option<&str>) -> Result<(), CopyHalted>;

    /// The newest note, possibly of an earlier try.
    fn recorded(&self) -> Option<&str>;

    /// Reports progress that the next try need not repeat.
    fn gained(&mut self);

    /// Asked between parts: an error asks the copy to stop safely.
    fn go_on(&mut self) -> Result<(), CopyHalted>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyHalted;

#[derive(Debug, Clone, PartialEq)]
pub enum CopyStopped {
    Failed(Failure),
    /// The log asked to stop. The note says what is still open, so that the next try can resume it.
    Halted,
}

impl From<Failure> for CopyStopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CopyHalted> for CopyStopped {
    fn from(CopyHalted: CopyHalted) -> Self {
        Self::Halted
    }
}
