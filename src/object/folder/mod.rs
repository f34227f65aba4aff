//! A directory that behaves as a bucket: for trials and tests.
//!
//! A key is exactly a path below the directory. Keys that cannot be paths are refused, not encoded,
//! so that the directory shows the names that rules use (`path`). What a file system cannot store
//! (content type, metadata, storage class, tags) is in sidecar files under `.aftertake/`, which is
//! not part of the bucket (`sidecar`). Links below the bucket's directory are never followed
//! (`dir`, `location`). The bucket's directory is known by an id in it; a missing or another one
//! says nothing about the objects (`identity`). All work is blocking and runs outside the async
//! threads (`disk`, `listing`).
//!
//! The ETag is a digest of the content, computed on request. Digests of large files are cached in
//! memory by size and modification time, so reading never writes. Other programs may add files to
//! the directory at any time.

mod dir;
mod disk;
mod etag;
mod identity;
mod listing;
mod location;
mod part;
mod path;
mod same_files;
mod sidecar;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use self::disk::{Deletion, Folder};
pub use self::identity::Identities;
use self::identity::Purpose;
pub use self::same_files::locate;
use super::{Attributes, Copy, Names, ObjectMeta, ObjectStore, Page, Pair, TagSupport};
use crate::model::failure::{Failure, FailureKind, crash};
use crate::model::time::Timestamp;

#[derive(Debug, Clone)]
pub struct FolderStore {
    folder: Arc<Folder>,
    /// All folder buckets by name, to find the source of a copy.
    all: Arc<BTreeMap<String, Arc<Folder>>>,
}

/// Opens the folder buckets of one rules file, given by name and directory. Objects can be copied
/// between buckets opened together. With `identities`, only the directory of a noted id is the
/// bucket; the first use notes it. Directories are not created.
pub fn open(
    paths: BTreeMap<String, PathBuf>,
    identities: Option<&Arc<dyn Identities>>,
) -> BTreeMap<String, FolderStore> {
    let folder = |(name, path): (String, PathBuf)| {
        let folder = Folder::new(name.clone(), path, identities.cloned());
        (name, Arc::new(folder))
    };
    let all: BTreeMap<_, _> = paths.into_iter().map(folder).collect();
    let all = Arc::new(all);
    all.iter()
        .map(|(name, folder)| {
            let store = FolderStore {
                folder: Arc::clone(folder),
                all: Arc::clone(&all),
            };
            (name.clone(), store)
        })
        .collect()
}

impl FolderStore {
    /// Refuses to delete where another bucket's directory overlaps.
    async fn deleting(&self, deletions: Vec<Deletion>) -> Result<Vec<(String, Failure)>, Failure> {
        let own = |other: &Arc<Folder>| Arc::ptr_eq(other, &self.folder);
        let others = self.all.iter().filter(|(_, other)| !own(other));
        let others: Vec<_> = others
            .map(|(name, other)| (name.clone(), other.root().to_owned()))
            .collect();
        self.writing(move |folder| folder.delete(deletions, &others))
            .await
    }

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        identify(&self.folder, Purpose::Read).await?;
        blocking(&self.folder, work).await
    }

    async fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        identify(&self.folder, Purpose::Write).await?;
        blocking(&self.folder, work).await
    }
}

/// Finds out which directory the bucket is.
async fn identify(folder: &Arc<Folder>, purpose: Purpose) -> Result<(), Failure> {
    let Some(identities) = &folder.identities else {
        return Ok(());
    };
    let ask = || async {
        noted(folder, &**identities, purpose)
            .await
            .map_err(Some)?
            .ok_or(None::<Failure>)
    };
    match folder.id.get_or_try_init(ask).await {
        Ok(_) | Err(None) => Ok(()),
        Err(Some(failure)) => Err(failure.from_bucket(folder.name())),
    }
}

/// The id of a bucket, noted if it was not; `None` if it needs none yet.
async fn noted(
    folder: &Arc<Folder>,
    identities: &dyn Identities,
    purpose: Purpose,
) -> Result<Option<String>, Failure> {
    if let Some(noted) = identities.noted(folder.name(), None).await? {
        return Ok(Some(noted));
    }
    match blocking(folder, move |folder| folder.adopt(purpose)).await? {
        Some(found) => identities.noted(folder.name(), Some(&found)).await,
        None => Ok(None),
    }
}

async fn blocking<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let shared = Arc::clone(folder);
    let worked = tokio::task::spawn_blocking(move || work(&shared)).await;
    let worked = worked.unwrap_or_else(|ended| {
        let reason = match ended.try_into_panic() {
            Ok(panic) => format!("the folder's work crashed: {}", crash(&*panic)),
            Err(stopped) => stopped.to_string(),
        };
        Err(Failure::new(FailureKind::Panic, reason))
    });
    worked.map_err(|failure| failure.from_bucket(folder.name()))
}

#[async_trait]
impl ObjectStore for FolderStore {
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let key = key.to_owned();
        self.reading(move |folder| folder.head(&key)).await
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure> {
        let key = key.to_owned();
        self.reading(move |folder| folder.get(&key, limit)).await
    }

    async fn put(
        &self,
        key: &str,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure> {
        let (key, attributes) = (key.to_owned(), attributes.clone());
        self.writing(move |folder| folder.put(&key, &content, attributes))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.reading(move |folder| folder.list(&prefix, after.as_deref()))
            .await
    }

    async fn list_folder(&self, folder: &str, after: Option<&str>) -> Result<Names, Failure> {
        let (path, after) = (folder.to_owned(), after.map(str::to_owned));
        self.reading(move |folder| folder.names(&path, after.as_deref()))
            .await
    }

    async fn copy(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure> {
        let source = self.all.get(copy.source).cloned().ok_or_else(|| {
            let reason = format!("{:?} is not a folder bucket of the rules file", copy.source);
            Failure::new(FailureKind::Forbidden, reason)
        })?;
        identify(&source, Purpose::Write).await?;
        let (from, to) = (copy.from.to_owned(), copy.to.to_owned());
        let etag = copy.etag.to_owned();
        self.writing(move |folder| folder.copy(&source, &from, &to, &etag))
            .await
    }

    async fn abandon(&self, to: &str, _note: Option<&str>) -> Result<Option<ObjectMeta>, Failure> {
        let to = to.to_owned();
        self.writing(move |folder| folder.abandon(&to).map(|()| None))
            .await
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure> {
        let deletions = keys.iter().map(|key| Deletion {
            key: key.clone(),
            stays: None,
        });
        self.deleting(deletions.collect()).await
    }

    async fn delete_keeping(&self, pairs: &[Pair]) -> Result<Vec<(String, Failure)>, Failure> {
        let kept: BTreeSet<&str> = pairs.iter().map(|pair| &*pair.stays.bucket).collect();
        for folder in kept.into_iter().filter_map(|bucket| self.all.get(bucket)) {
            identify(folder, Purpose::Write).await?;
        }
        let deletions = pairs.iter().map(|Pair { goes, stays }| {
            let folder = self.all.get(&stays.bucket).cloned();
            Deletion {
                key: goes.clone(),
                stays: folder.map(|folder| (folder, stays.key.clone())),
            }
        });
        self.deleting(deletions.collect()).await
    }

    async fn tags(&self, key: &str) -> Result<TagSupport, Failure> {
        let key = key.to_owned();
        self.reading(move |folder| folder.tags(&key).map(TagSupport::Tags))
            .await
    }

    async fn set_tags(&self, key: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
        let (key, tags) = (key.to_owned(), tags.clone());
        self.writing(move |folder| folder.amend(&key, |sidecar| sidecar.tags = tags))
            .await
    }

    async fn set_metadata(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let (key, metadata) = (key.to_owned(), metadata.clone());
        self.writing(move |folder| folder.amend(&key, |sidecar| sidecar.metadata = metadata))
            .await
    }

    fn url(&self, key: &str) -> String {
        // A key that begins with a slash is no object of a folder, and leads to no other file.
        let path = self.folder.root().join(key.trim_start_matches('/'));
        Url::from_file_path(&path).map_or_else(|()| path.display().to_string(), Into::into)
    }

    /// The plain link: files need no signature.
    fn signed_url(&self, key: &str, _lifetime: Duration, _now: Timestamp) -> String {
        self.url(key)
    }

    fn copy_domain(&self) -> String {
        "folder".to_owned()
    }
}
