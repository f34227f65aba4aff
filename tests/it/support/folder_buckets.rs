//! Two folder buckets in a temporary directory, and checks of their content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::action::{OpenBucket, Reach};
use aftertake::model::bucket::{Bucket, BucketStore, TagLimits};
use aftertake::model::destination::Destination;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::recording::Place;
use aftertake::model::time::Timestamp;
use aftertake::object::folder::{self, FolderStore, Identities};
use aftertake::object::{Attributes, Copy, Names, ObjectMeta, ObjectStore, Page, Pair, TagSupport};
use aftertake::outbound::{Answer, NoAnswer, Outbound, Request};
use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;

use super::faults::Faults;
use super::folder_in_memory;
use super::recording::Recording;

/// Rules that move a recording into the archive. The bucket paths are not used.
pub(crate) const RENAMING: &str = "
buckets: { recorded: { store: folder, path: recorded }, archive: { store: folder, path: archive } }
retry: { first: 1ms, longest: 1ms, tries: 3 }
rules: [{ name: archive, steps: [{ rename: { to: 'classes/{{ room_id }}/', bucket: archive } }] }]
";

/// The buckets `recorded` and `archive`.
pub(crate) struct FolderBuckets {
    directory: TempDir,
    pub(crate) gate: Arc<Faults>,
    pub(crate) stores: BTreeMap<String, FolderStore>,
    configs: BTreeMap<String, Bucket>,
    notes: Option<Arc<dyn Identities>>,
    /// How long an unanswered request may still take effect.
    pub(crate) lingers: Duration,
}

/// What is at a directory's path while it is away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Instead {
    Nothing,
    /// An empty directory, such as a mount point.
    Empty,
}

impl Instead {
    pub(crate) const ALL: [Self; 2] = [Self::Nothing, Self::Empty];
}

/// Folder buckets that a service opens for the first time.
pub(crate) fn open_known(paths: BTreeMap<String, PathBuf>) -> BTreeMap<String, FolderStore> {
    let notes: Arc<dyn Identities> = Arc::new(Notes::default());
    folder::open(paths, Some(&notes))
}

/// Ids of buckets, in memory.
#[derive(Debug, Default)]
struct Notes(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl Identities for Notes {
    async fn noted(&self, bucket: &str, found: Option<&str>) -> Result<Option<String>, Failure> {
        let mut notes = self.0.lock().unwrap();
        if let Some(found) = found {
            let id = notes.entry(bucket.to_owned());
            id.or_insert_with(|| found.to_owned());
        }
        Ok(notes.get(bucket).cloned())
    }
}

impl FolderBuckets {
    pub(crate) fn new() -> Self {
        let directory = folder_in_memory();
        let path = |name: &&str| ((*name).to_owned(), directory.path().join(name));
        let paths: BTreeMap<_, _> = ["recorded", "archive"].iter().map(path).collect();
        for path in paths.values() {
            std::fs::create_dir(path).unwrap();
        }
        let configs = paths
            .iter()
            .map(|(name, path)| (name.clone(), config(name, path)));
        Self {
            configs: configs.collect(),
            stores: folder::open(paths, None),
            gate: Arc::default(),
            directory,
            notes: None,
            lingers: Duration::ZERO,
        }
    }

    /// With directories that are known by their ids.
    pub(crate) fn known(mut self) -> Self {
        self.notes = Some(Arc::new(Notes::default()));
        self.reopen();
        self
    }

    /// Opens the buckets again, as after a restart.
    pub(crate) fn reopen(&mut self) {
        self.stores = folder::open(self.paths(), self.notes.as_ref());
    }

    /// The same directories as another service opens them.
    pub(crate) fn elsewhere(&self) -> BTreeMap<String, FolderStore> {
        open_known(self.paths())
    }

    fn paths(&self) -> BTreeMap<String, PathBuf> {
        let path = |name: &String| (name.clone(), self.path(name));
        self.configs.keys().map(path).collect()
    }

    /// From now on, the directory is the bucket's.
    pub(crate) async fn use_once(&self, bucket: &str) {
        let (store, key) = (&self.stores[bucket], "once".to_owned());
        let plain = Attributes::default();
        store.put(&key, "x".into(), &plain).await.unwrap();
        assert_eq!(store.delete(&[key]).await.unwrap(), []);
    }

    pub(crate) fn take_away(&self, bucket: &str, instead: Instead) {
        std::fs::rename(self.path(bucket), self.aside(bucket)).unwrap();
        if instead == Instead::Empty {
            std::fs::create_dir(self.path(bucket)).unwrap();
        }
    }

    /// Fails if anything was written in its place.
    pub(crate) fn bring_back(&self, bucket: &str) {
        if self.path(bucket).exists() {
            std::fs::remove_dir(self.path(bucket)).unwrap();
        }
        std::fs::rename(self.aside(bucket), self.path(bucket)).unwrap();
    }

    fn aside(&self, bucket: &str) -> PathBuf {
        self.path(&format!("{bucket}-away"))
    }

    /// The files at a bucket's path, in the order of their names, except of the store's own.
    pub(crate) fn files(&self, bucket: &str) -> Vec<String> {
        let mut files = files(&self.path(bucket));
        files.retain(|file| !file.starts_with(".aftertake"));
        files.sort();
        files
    }

    pub(crate) fn configure(&mut self, bucket: &str, change: impl FnOnce(&mut Bucket)) {
        change(self.configs.get_mut(bucket).unwrap());
    }

    /// The buckets as a step sees them. Their operations can fail.
    pub(crate) fn reach(&self) -> Reach {
        self.reach_with(false)
    }

    /// Like `reach`, with buckets that do not support object tags.
    pub(crate) fn reach_without_tags(&self) -> Reach {
        self.reach_with(true)
    }

    fn reach_with(&self, no_tags: bool) -> Reach {
        let open = |(name, config): (&String, &Bucket)| {
            let store = Gated {
                store: self.stores[name].clone(),
                gate: Arc::clone(&self.gate),
                no_tags,
                lingers: self.lingers,
            };
            let config = Arc::new(config.clone());
            (
                name.clone(),
                OpenBucket {
                    config,
                    store: Arc::new(store),
                },
            )
        };
        Reach {
            buckets: self.configs.iter().map(open).collect(),
            destinations: BTreeMap::new(),
            outbound: Arc::new(NoOutbound),
        }
    }

    pub(crate) fn path(&self, bucket: &str) -> PathBuf {
        self.directory.path().join(bucket)
    }

    pub(crate) fn path_of(&self, place: &Place) -> PathBuf {
        self.path(&place.bucket).join(&place.key)
    }

    /// Writes an object without the store.
    pub(crate) fn write(&self, place: &Place, content: &str) {
        let path = self.path_of(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, place: &Place) {
        std::fs::remove_file(self.path_of(place)).unwrap();
    }

    /// Records: every object gets content type, metadata and tags.
    pub(crate) async fn record(&self, recording: &Recording, place: &Place) {
        let store = &self.stores[&place.bucket];
        for (object, mut content) in recording.at(place) {
            if object == *place {
                content.clone_from(&recording.named.0);
            }
            let (attributes, tags) = extras(object.name());
            store
                .put(&object.key, content.into(), &attributes)
                .await
                .unwrap();
            store.set_tags(&object.key, &tags).await.unwrap();
        }
    }

    /// Whether every object of the recording is at `place`. During a move the playlist may be
    /// the old or the new one.
    pub(crate) fn is_whole(&self, recording: &Recording, place: &Place) -> bool {
        is_whole(self.directory.path(), recording, place)
    }

    /// A check that the recording is whole at one of these places.
    pub(crate) fn whole_somewhere(
        &self,
        recording: &Recording,
        places: [Place; 2],
    ) -> impl Fn(&str) + Send + Sync + 'static {
        let (directory, recording) = (self.directory.path().to_owned(), recording.clone());
        move |after| {
            let whole = places
                .iter()
                .any(|place| is_whole(&directory, &recording, place));
            assert!(whole, "after {after} the recording is whole nowhere");
        }
    }

    /// All objects of both buckets with their contents.
    pub(crate) fn objects(&self) -> BTreeMap<Place, String> {
        let mut objects = BTreeMap::new();
        for bucket in self.stores.keys() {
            for key in files(&self.path(bucket)) {
                if !key.starts_with(".aftertake") {
                    let place = Place {
                        bucket: bucket.clone(),
                        key,
                    };
                    let content = std::fs::read(self.path_of(&place)).unwrap();
                    objects.insert(place, String::from_utf8(content).unwrap());
                }
            }
        }
        objects
    }

    /// Asserts that the buckets hold exactly this recording with its metadata and tags, and that
    /// the stores keep nothing else.
    pub(crate) async fn assert_only(&self, recording: &Recording, place: &Place) {
        assert_eq!(self.objects(), recording.at(place));
        for object in recording.at(place).keys() {
            let store = &self.stores[&object.bucket];
            let (attributes, tags) = extras(object.name());
            let meta = store.head(&object.key).await.unwrap().unwrap();
            if object == place {
                assert_eq!(meta.attributes.metadata.len(), 1);
                let TagSupport::Tags(tags) = store.tags(&object.key).await.unwrap() else {
                    panic!("a folder has tags");
                };
                assert_eq!(tags.len(), 1);
            } else {
                assert_eq!(meta.attributes, attributes, "{object}");
                assert_eq!(
                    store.tags(&object.key).await.unwrap(),
                    TagSupport::Tags(tags)
                );
            }
        }
        let own: usize = self
            .stores
            .keys()
            .flat_map(|b| files(&self.path(b).join(".aftertake")))
            .filter(|file| file != "bucket-id")
            .count();
        assert_eq!(
            own,
            recording.objects(),
            "one sidecar for each object and no more"
        );
    }
}

/// The metadata and tags of the object of this name.
fn extras(name: &str) -> (Attributes, BTreeMap<String, String>) {
    let map = |key: &str| BTreeMap::from([(key.to_owned(), name.to_owned())]);
    let attributes = Attributes {
        content_type: Some("video/mp2t".into()),
        metadata: map("made-for"),
        storage_class: Some("WARM".into()),
        headers: BTreeMap::new(),
    };
    (attributes, map("tagged"))
}

fn is_whole(directory: &Path, recording: &Recording, place: &Place) -> bool {
    let read = |object: &Place| {
        std::fs::read_to_string(directory.join(&object.bucket).join(&object.key)).ok()
    };
    recording.at(place).into_iter().all(|(object, content)| {
        let found = read(&object);
        found.as_ref() == Some(&content)
            || (object == *place && found.as_ref() == Some(&recording.named.0))
    })
}

/// Paths of the files below a directory, relative to it.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(directory).unwrap();
                found.push(relative.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn config(name: &str, path: &Path) -> Bucket {
    Bucket {
        name: name.to_owned(),
        store: BucketStore::Folder {
            path: path.to_owned(),
        },
        only_under: Vec::new(),
        concurrency: 8,
        source_grace: Duration::from_mins(15),
        tag_limits: TagLimits::HUAWEI,
    }
}

/// A bucket whose operations can fail.
struct Gated {
    store: FolderStore,
    gate: Arc<Faults>,
    no_tags: bool,
    lingers: Duration,
}

macro_rules! gated {
    ($self:ident, $name:literal, $store:ident => $effect:expr) => {{
        let $store = $self.store.clone();
        $self.gate.pass($name, async move { $effect.await }).await?
    }};
}

#[async_trait]
impl ObjectStore for Gated {
    async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, Failure> {
        let key = key.to_owned();
        gated!(self, "head", store => store.head(&key))
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Bytes, Failure> {
        let key = key.to_owned();
        gated!(self, "get", store => store.get(&key, limit))
    }

    async fn put(
        &self,
        key: &str,
        content: Bytes,
        attributes: &Attributes,
    ) -> Result<ObjectMeta, Failure> {
        let (key, attributes) = (key.to_owned(), attributes.clone());
        gated!(self, "put", store => store.put(&key, content, &attributes))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        gated!(self, "list", store => store.list(&prefix, after.as_deref()))
    }

    async fn list_folder(&self, folder: &str, after: Option<&str>) -> Result<Names, Failure> {
        let (folder, after) = (folder.to_owned(), after.map(str::to_owned));
        gated!(self, "list", store => store.list_folder(&folder, after.as_deref()))
    }

    async fn copy(&self, copy: Copy<'_>) -> Result<ObjectMeta, Failure> {
        let [source, from, to, etag] =
            [copy.source, copy.from, copy.to, copy.etag].map(str::to_owned);
        let size = copy.size;
        gated!(self, "copy", store => store.copy(Copy {
            source: &source,
            from: &from,
            to: &to,
            etag: &etag,
            size,
            mark: None,
        }))
    }

    async fn abandon(&self, to: &str, note: Option<&str>) -> Result<Option<ObjectMeta>, Failure> {
        let (to, note) = (to.to_owned(), note.map(str::to_owned));
        gated!(self, "abandon", store => store.abandon(&to, note.as_deref()))
    }

    async fn delete(&self, keys: &[String]) -> Result<Vec<(String, Failure)>, Failure> {
        let keys = keys.to_vec();
        gated!(self, "delete", store => store.delete(&keys))
    }

    async fn delete_keeping(&self, pairs: &[Pair]) -> Result<Vec<(String, Failure)>, Failure> {
        let pairs = pairs.to_vec();
        gated!(self, "delete", store => store.delete_keeping(&pairs))
    }

    async fn tags(&self, key: &str) -> Result<TagSupport, Failure> {
        let key = key.to_owned();
        if self.no_tags {
            return Ok(TagSupport::Unsupported);
        }
        gated!(self, "tags", store => store.tags(&key))
    }

    async fn set_tags(&self, key: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
        let (key, tags) = (key.to_owned(), tags.clone());
        gated!(self, "set_tags", store => store.set_tags(&key, &tags))
    }

    async fn set_metadata(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let (key, metadata) = (key.to_owned(), metadata.clone());
        gated!(self, "set_metadata", store => store.set_metadata(&key, &metadata))
    }

    fn lingers(&self) -> Duration {
        self.lingers
    }

    fn url(&self, key: &str) -> String {
        self.store.url(key)
    }

    fn signed_url(&self, key: &str, lifetime: Duration, now: Timestamp) -> String {
        self.store.signed_url(key, lifetime, now)
    }

    fn copy_domain(&self) -> String {
        self.store.copy_domain()
    }
}

struct NoOutbound;

#[async_trait]
impl Outbound for NoOutbound {
    async fn send(&self, destination: &Destination, _: Request) -> Result<Answer, NoAnswer> {
        let reason = format!("nothing is sent to {} here", destination.name);
        Err(Failure::new(FailureKind::Unreachable, reason).into())
    }
}
