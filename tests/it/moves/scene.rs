//! Buckets with recordings, and the rules to move them.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::model::bucket::{BucketStore, Timeouts};
use aftertake::model::recording::Place;
use aftertake::rules::file::RulesFile;
use bytes::Bytes;
use tempfile::TempDir;

use super::film::Film;
use super::process::Process;
use crate::support::fake_obs::{ACCESS_KEY, Content, FakeObs, Kind, Object, SECRET_KEY};
use crate::support::folder_in_memory;
use crate::support::obs_recording::{ARCHIVE, RECORDED};
use crate::support::sink::Sink;
use crate::support::test_service::{Env, TestService, parse};

pub(crate) struct Scene {
    pub(crate) obs: FakeObs,
    pub(crate) sink: Sink,
    pub(crate) test_service: Arc<TestService>,
    /// The folder of folder buckets.
    pub(super) folder: Option<TempDir>,
    /// The list of rules, as YAML.
    pub(crate) rules: String,
    /// The buckets that the rules file names.
    pub(crate) buckets: Vec<&'static str>,
    /// Further settings of each bucket, as YAML.
    pub(crate) more: &'static str,
    pub(crate) tries: u32,
    /// By default, no request takes effect after its response.
    pub(crate) timeouts: Timeouts,
    /// Films that were whole nowhere at some moment.
    pub(super) lost: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn rule(room: &str, steps: &str) -> String {
    format!("{{ name: of-{room}, when: {{ room: '{room}' }}, steps: [{steps}] }}")
}

impl Scene {
    /// Two buckets at OBS with these rules: a list, as YAML.
    pub(crate) async fn new(rules: &str) -> Self {
        let obs = FakeObs::start().await;
        obs.keep_nothing();
        obs.world(|world| {
            world.make(RECORDED, Kind::Objects);
            world.make(ARCHIVE, Kind::Objects);
        });
        Self {
            obs,
            sink: Sink::start([]).await,
            test_service: Arc::new(TestService::in_memory()),
            folder: None,
            rules: rules.to_owned(),
            buckets: vec![RECORDED, ARCHIVE],
            more: "",
            tries: 8,
            timeouts: Timeouts {
                lifetime: Duration::ZERO,
                ..Timeouts::default()
            },
            lost: Arc::default(),
        }
    }

    /// Two folder buckets with these rules.
    pub(crate) async fn in_folders(rules: &str) -> Self {
        let folder = folder_in_memory();
        for bucket in [RECORDED, ARCHIVE] {
            std::fs::create_dir(folder.path().join(bucket)).unwrap();
        }
        Self {
            folder: Some(folder),
            ..Self::new(rules).await
        }
    }

    /// With both buckets of this kind.
    pub(crate) fn of_kind(self, kind: Kind) -> Self {
        self.obs.world(|world| {
            world.make(RECORDED, kind);
            world.make(ARCHIVE, kind);
        });
        self
    }

    pub(crate) fn text(&self) -> String {
        let mut text = "buckets:\n".to_owned();
        for name in &self.buckets {
            let bucket = match &self.folder {
                Some(folder) => {
                    format!(
                        "store: folder, path: '{}'",
                        folder.path().join(name).display()
                    )
                }
                None => format!(
                    "store: obs, endpoint: 'http://{}', access_key: {ACCESS_KEY}, secret_key: {SECRET_KEY}, \
                     addressing: path, copy_part_above: 1000B, part_size: 300B",
                    self.obs.address
                ),
            };
            let _ = writeln!(text, "  {name}: {{ {bucket}, {} }}", self.more);
        }
        let _ = write!(
            text,
            "destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\n\
             retry: {{ first: 1ms, longest: 20ms, jitter: none, tries: {} }}\nrules: {}\n",
            self.sink.url("/"),
            self.tries,
            self.rules
        );
        text
    }

    pub(crate) fn parsed(&self) -> RulesFile {
        let mut rules = parse(&self.text(), &Env::new());
        for bucket in rules.buckets.values_mut() {
            if let BucketStore::Obs(obs) = &mut bucket.store {
                obs.timeouts = self.timeouts;
            }
        }
        rules
    }

    pub(crate) async fn serve(&self) -> Process {
        Process::begin(Arc::clone(&self.test_service), self.parsed()).await
    }

    /// Stores the film where its recorder does.
    pub(crate) fn record(&self, film: &Film) {
        self.record_as(film, |object| object);
    }

    /// Like `record`, with changed objects.
    pub(crate) fn record_as(&self, film: &Film, change: impl Fn(Object) -> Object) {
        for (at, content) in film.objects() {
            if let Some(folder) = &self.folder {
                write(folder.path(), &at, &content);
            } else {
                let object = change(Object::of(Content::Bytes(content)));
                self.obs
                    .world(|world| world.put(&at.bucket, &at.key, object));
            }
        }
    }

    pub(crate) fn record_all(&self, films: &[Film]) {
        for film in films {
            self.record(film);
        }
    }

    /// The recorder appends: it writes the named object and all new ones.
    pub(crate) fn append(&self, film: &Film) {
        self.append_to(film, film.before().unwrap_or(film));
    }

    /// Writes the film's named object, and its other objects that `other` does not have.
    pub(crate) fn append_to(&self, film: &Film, other: &Film) {
        let there = other.objects();
        for (at, content) in film.objects() {
            if at == film.at || !there.contains_key(&at) {
                let object = Object::of(Content::Bytes(content));
                self.obs
                    .world(|world| world.put(&at.bucket, &at.key, object));
            }
        }
    }

    /// Puts an object that belongs to no film.
    pub(crate) fn put(&self, at: &Place, text: &str) {
        let object = Object::text(text);
        self.obs
            .world(|world| world.put(&at.bucket, &at.key, object));
    }
}

fn write(folder: &Path, at: &Place, content: &Bytes) {
    let path = folder.join(&at.bucket).join(&at.key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}
