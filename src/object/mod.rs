//! Object storage behind one trait: a folder that behaves as a bucket, and OBS.
//!
//! Knows nothing of rules, tasks or the queue. Every error is already a [`Failure`]
//! with its kind: whoever understands the store's answer decides what follows.

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

/// Opens the buckets of one rules file, and asks none of them anything yet. Objects can be copied
/// between folders that were opened together. A failure says why a bucket cannot work as it is
/// configured.
pub fn open<'a>(
    buckets: impl IntoIterator<Item = &'a Bucket>,
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
    for (name, store) in folder::open(folders) {
        stores.insert(name, Ok(Arc::new(store)));
    }
    stores
}

/// One bucket.
///
/// Every operation may be repeated. A failure of kind `Unknown` means that the effect
/// may have happened: look before acting again. Keys are whole, without a leading slash
/// added or removed. An ETag is spelled the same in every answer, without quotes.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// What the object is; `None` when it does not exist.
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure>;

    /// The object's content; `Missing` when it does not exist, and `Unsupported` when it has
    /// more than `limit` bytes: only playlists are read.
    async fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure>;

    /// Writes a small object whole: a rewritten playlist.
    async fn put(
        &self,
        key: &str,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure>;

    /// Up to 1,000 objects whose keys begin with `prefix` and follow `after`, in key order.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure>;

    /// Copies `from`, which is in `source`, to `to` in this bucket, inside the store:
    /// the bytes do not pass through the process. Content type, metadata, storage
    /// class, access rights and tags come along. Fails with `SourceChanged` when the
    /// source's ETag is not `etag`, with `Missing` when there is no source. The answer
    /// is the copy, verified to be there.
    async fn copy(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure>;

    /// [`Self::copy`], remembering in `log` whatever it would leave open if the process
    /// died. A store that leaves nothing open never writes to the log. With `known`, what
    /// the caller has seen of the source, neither the source nor the copy is looked at
    /// again unless it has to be: the caller verifies, and the answer has no attributes.
    async fn copy_logged(
        &self,
        copy: Copy<'_>,
        _known: Option<&Belongings>,
        _log: &mut dyn UploadLog,
    ) -> Result<ObjectMeta, CopyStopped> {
        Ok(self.copy(copy).await?)
    }

    /// Looks for the result of an earlier try of this copy, of which `note` is the last
    /// one in its log. An object at the target counts as the copy when it came out of the
    /// noted upload, or has the source's size and ETag or the mark; its access rights are
    /// made sure of. `None`: there is no copy. What is open still, [`Self::copy_logged`] takes up.
    async fn find_copy(
        &self,
        copy: Copy<'_>,
        _known: Option<&Belongings>,
        _note: Option<&str>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let found = self.head(copy.to).await?;
        Ok(found.filter(|found| {
            (found.size, found.etag.as_str()) == (copy.size, copy.etag)
                || found.is_marked(copy.mark)
        }))
    }

    /// Removes what an unfinished copy to `to` may have left beside it, such as the upload
    /// that `note`, the last one in its log, tells of. The target itself stays as it is;
    /// the answer is the object there, if it came out of that upload all the same.
    async fn abandon(&self, _to: &str, _note: Option<&str>) -> Result<Option<ObjectMeta>, Failure> {
        Ok(None)
    }

    /// How long after its client has lost the answer, or died, a request that changes an
    /// object may still have its effect.
    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    /// How the bucket is built, and thus whether renaming is one request there.
    async fn layout(&self) -> Result<Layout, Failure> {
        Ok(Layout::Objects)
    }

    /// Renames an object inside this bucket, which must be a [`Layout::FileSystem`]. May be
    /// repeated: a source that is gone with a matching target is done. Never replaces an
    /// object: a target that exists is a `Conflict`.
    async fn rename(&self, rename: Copy<'_>) -> Result<ObjectMeta, Failure> {
        Err(Failure::new(
            FailureKind::Unsupported,
            format!("{:?}: this bucket cannot rename, only copy", rename.from),
        ))
    }

    /// Who may read and write the object beside its owner.
    async fn rights(&self, _key: &str) -> Result<Rights, Failure> {
        Ok(Rights::Private)
    }

    /// Replaces who may read and write the object beside its owner.
    async fn set_rights(&self, _key: &str, _rights: &Rights) -> Result<(), Failure> {
        Ok(())
    }

    /// Deletes objects, at most [`DELETE_LIMIT`]; one that does not exist is deleted.
    /// Answers the failures by key.
    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure>;

    /// [`Self::delete`] for objects of which each has another that stays: of a source its
    /// copy, of a copy its source. One that is the same object as the other under another
    /// name is kept, and answered as a failure.
    async fn delete_keeping(&self, pairs: &[Pair]) -> Result<Vec<(String, Failure)>, Failure> {
        let keys: Vec<String> = pairs.iter().map(|pair| pair.goes.clone()).collect();
        self.delete(&keys).await
    }

    /// The object's tags; `Missing` when it does not exist.
    async fn tags(&self, key: &str) -> Result<TagSupport, Failure>;

    /// Replaces the object's tags.
    async fn set_tags(&self, key: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure>;

    /// Replaces the object's custom metadata.
    async fn set_metadata(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure>;

    /// A plain link to the object.
    fn url(&self, key: &str) -> String;

    /// A link that works without credentials until `lifetime` after `now`.
    fn signed_url(&self, key: &str, lifetime: Duration, now: Timestamp) -> String;

    /// By how much the store's clock is ahead of this machine's, where that is known.
    fn clock_ahead(&self) -> Option<chrono::Duration> {
        None
    }

    /// Names what is behind the bucket, so that two buckets between which objects can
    /// be copied inside the store have the same one.
    fn site(&self) -> String;
}

/// The most keys of one [`ObjectStore::delete`]: OBS refuses more in one request
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0086.html>).
pub const DELETE_LIMIT: usize = 1000;

/// An object to delete, and the one that holds the recording afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key of the object to delete.
    pub goes: String,
    /// The other object, in whichever bucket it is.
    pub stays: Place,
}

/// A copy to make.
#[derive(Debug, Clone, Copy)]
pub struct Copy<'a> {
    /// The source bucket's name; of the same site.
    pub source: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    /// The source's ETag, as the manifest found it.
    pub etag: &'a str,
    /// The source's size in bytes.
    pub size: u64,
    /// What the copy is to carry in its metadata as [`MARK`], where nothing else tells it from
    /// another object: the ETag of an encrypted copy is like no other.
    pub mark: Option<&'a str>,
}

/// The metadata key of the mark that tells a copy of ours from other objects until its move
/// is complete.
pub const MARK: &str = "aftertake-move";

/// What a store says of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    pub key: String,
    /// Bytes.
    pub size: u64,
    pub etag: String,
    pub attributes: Attributes,
}

impl ObjectMeta {
    /// Whether it carries this mark, as far as the look showed metadata.
    pub fn is_marked(&self, mark: Option<&str>) -> bool {
        let carried = self.attributes.metadata.get(MARK);
        carried.is_some() && carried.map(String::as_str) == mark
    }
}

/// What belongs to an object beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub storage_class: Option<String>,
    /// What else is stored with it, by the names of the store's headers: how it is to be
    /// cached, how it is encrypted.
    pub headers: BTreeMap<String, String>,
}

impl Attributes {
    /// The same with a mark.
    #[must_use]
    pub fn marked(&self, mark: &str) -> Self {
        let mut marked = self.clone();
        marked.metadata.insert(MARK.to_owned(), mark.to_owned());
        marked
    }
}

/// What belongs to an object and does not come along with a copy by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongings {
    pub attributes: Attributes,
    pub rights: Rights,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Key, size and ETag, and the storage class where the store lists it; the other
    /// attributes are left out of listings.
    pub objects: Vec<ObjectMeta>,
    /// Whether more follow.
    pub more: bool,
}

/// An object's tags, or that its bucket has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagSupport {
    Tags(BTreeMap<String, String>),
    /// The bucket knows no object tags; custom metadata serves instead.
    Unsupported,
}

/// How a bucket is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Keys are names and nothing more: a rename is a copy and a deletion.
    Objects,
    /// Directories and files, with a true rename.
    FileSystem,
}

/// Who may read and write an object beside its owner, in the words of the store it was
/// read from. Means something to buckets of the same site only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rights {
    /// Nobody.
    #[default]
    Private,
    Shared(String),
}

/// Where a copy remembers what it leaves open, and asks whether to go on.
#[async_trait]
pub trait UploadLog: Send {
    /// Stores the copy's newest note in place of the one before, durably; `None`: nothing
    /// is open. The text is the store's own.
    async fn note(&mut self, note: Option<&str>) -> Result<(), Halt>;

    /// The newest note, also of an earlier try.
    fn noted(&self) -> Option<&str>;

    /// The next try has less to do than this one had: it finds what was copied so far.
    fn gained(&mut self);

    /// Whether the copy should come to a safe end: asked between its parts.
    fn go_on(&mut self) -> Result<(), Halt>;
}

/// The copy's caller wants it to stop, and knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halt;

/// Why a copy did not come to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum CopyStopped {
    Failed(Failure),
    /// The log said so. What is open still is noted, for the next try to go on with.
    Halted,
}

impl From<Failure> for CopyStopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Halt> for CopyStopped {
    fn from(Halt: Halt) -> Self {
        Self::Halted
    }
}
