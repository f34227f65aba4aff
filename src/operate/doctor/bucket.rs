//! Checks one bucket with real requests, one after another.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Check, Depth, Outcome};
use crate::clock;
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::failure::Failure;
use crate::object::{self, Attributes, Copy, Layout, ObjectMeta, ObjectStore, TagSupport};

/// Report a larger clock error: OBS refuses 15 minutes
/// (<https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0010.html>).
const CLOCK_OFF: Duration = Duration::from_secs(5);

pub(super) async fn examine(bucket: &Bucket, depth: Depth) -> Vec<Check> {
    let mut checks = Vec::new();
    for store in object::open([bucket], None).into_values() {
        match store {
            Ok(store) => {
                checks.extend(examine_store(bucket, &*store, depth).await);
                checks.extend(clock_check(store.clock_ahead()));
            }
            Err(failure) => checks.push(Check::failed("settings", &failure)),
        }
    }
    checks
}

fn clock_check(ahead: Option<chrono::Duration>) -> Option<Check> {
    let ahead = ahead?;
    let off = ahead.abs().to_std().unwrap_or_default();
    (off > CLOCK_OFF).then(|| {
        let direction = if ahead > chrono::Duration::zero() {
            "behind"
        } else {
            "ahead of"
        };
        let off = humantime::format_duration(Duration::from_secs(off.as_secs()));
        let detail = format!("this machine's clock is {off} {direction} OBS's: set it right");
        Check::new("clock", Outcome::Failed, detail)
    })
}

async fn examine_store(bucket: &Bucket, store: &dyn ObjectStore, depth: Depth) -> Vec<Check> {
    let folder = bucket.only_under.first().map_or("", String::as_str);
    let first = match store.list(folder, None).await {
        Ok(page) => page.objects.into_iter().next(),
        Err(failure) => return vec![Check::failed("list", &failure)],
    };
    let found = match (&first, &bucket.store) {
        (Some(object), _) => format!("finds {}", object.key),
        (None, BucketStore::Obs(_)) => "finds no object".to_owned(),
        (None, BucketStore::Folder { path }) => format!(
            "finds no object in {}: if there should be one, the path is wrong or its disk not mounted",
            path.display()
        ),
    };
    let mut checks = vec![Check::passed("list", found), layout(store).await];
    if let Some(object) = &first {
        checks.push(tags(store, &object.key).await);
    }
    if depth == Depth::Write {
        // The time makes the key unique.
        let key = format!("{folder}aftertake-doctor-{}", clock::now().millis());
        checks.extend(Probe { bucket, store, key }.run().await);
    }
    checks
}

async fn layout(store: &dyn ObjectStore) -> Check {
    Check::of(
        "layout",
        store.layout().await.map(|layout| match layout {
            Layout::Objects => "a rename is a copy and a deletion".to_owned(),
            Layout::FileSystem => "parallel file system: a rename is one request".to_owned(),
        }),
    )
}

async fn tags(store: &dyn ObjectStore, key: &str) -> Check {
    Check::of("tags", store.tags(key).await.map(support))
}

fn support(tags: TagSupport) -> String {
    match tags {
        TagSupport::Tags(tags) => format!("object tags, {} here", tags.len()),
        TagSupport::Unsupported => {
            "the bucket has no object tags: `as: auto` writes metadata".to_owned()
        }
    }
}

/// A small object that goes through the same requests as a recording.
struct Probe<'a> {
    bucket: &'a Bucket,
    store: &'a dyn ObjectStore,
    key: String,
}

impl Probe<'_> {
    async fn run(&self) -> Vec<Check> {
        let written = self
            .store
            .put(&self.key, "aftertake doctor".into(), &Attributes::default())
            .await;
        let put = Check::of("put", answered(&written, &self.key));
        let Ok(object) = written else {
            return vec![put];
        };
        let mut checks = vec![put, self.tag().await, self.share().await];
        let copied = format!("{}-copy", self.key);
        let copy = Copy {
            source: &self.bucket.name,
            from: &self.key,
            to: &copied,
            etag: &object.etag,
            size: object.size,
            mark: Some("doctor"),
        };
        checks.push(Check::of(
            "copy",
            answered(&self.store.copy(copy).await, &copied),
        ));
        if matches!(self.bucket.store, BucketStore::Obs(_)) {
            checks.push(self.unmark(&copied).await);
        }
        let mut keys = vec![self.key.clone(), copied.clone()];
        if matches!(self.store.layout().await, Ok(Layout::FileSystem)) {
            let renamed = format!("{}-renamed", self.key);
            let rename = Copy {
                to: &renamed,
                ..copy
            };
            let answer = self.store.rename(rename).await;
            checks.push(Check::of("rename", answered(&answer, &renamed)));
            keys.push(renamed);
        }
        checks.push(self.delete(&keys).await);
        checks
    }

    async fn tag(&self) -> Check {
        let tags = BTreeMap::from([("aftertake".to_owned(), "doctor".to_owned())]);
        let tagged = match self.store.tags(&self.key).await {
            Ok(TagSupport::Tags(_)) => self.store.set_tags(&self.key, &tags).await,
            Ok(TagSupport::Unsupported) => self.store.set_metadata(&self.key, &tags).await,
            Err(failure) => Err(failure),
        };
        Check::of("tag", tagged.map(|()| "written".to_owned()))
    }

    /// A copy may carry a mark, which is removed once its move is complete.
    async fn unmark(&self, key: &str) -> Check {
        let unmarked = self.store.set_metadata(key, &BTreeMap::new()).await;
        Check::of("metadata", unmarked.map(|()| "replaced".to_owned()))
    }

    /// A move copies access rights too, so we must be able to read and set them.
    async fn share(&self) -> Check {
        let shared = match self.store.rights(&self.key).await {
            Ok(rights) => self.store.set_rights(&self.key, &rights).await,
            Err(failure) => Err(failure),
        };
        Check::of("rights", shared.map(|()| "read and written".to_owned()))
    }

    /// Deletes the probe's objects, also those whose creation was not confirmed.
    async fn delete(&self, keys: &[String]) -> Check {
        let left = match self.store.delete(keys).await {
            Ok(left) => left,
            Err(failure) => keys
                .iter()
                .map(|key| (key.clone(), failure.clone()))
                .collect(),
        };
        match left.split_first() {
            None => Check::passed("delete", "nothing is left".to_owned()),
            Some(((key, failure), rest)) => {
                let detail = format!("{failure}; {key} and {} more may be left", rest.len());
                Check::new("delete", Outcome::Failed, detail)
            }
        }
    }
}

fn answered(answer: &Result<ObjectMeta, Failure>, key: &str) -> Result<String, Failure> {
    match answer {
        Ok(_) => Ok(key.to_owned()),
        Err(failure) => Err(failure.clone()),
    }
}
