//! The real service with a fake OBS behind it and a webhook receiver in front.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aftertake::app::Service;
use aftertake::config::Settings;
use aftertake::model::bucket::{BucketStore, Timeouts};
use aftertake::rules::file::{Lookup, RulesFile};
use aftertake::store::lists::{Page, TaskDetail, TaskFilter};
use aftertake::store::operator::Operator;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::database::Database;
use super::fake_obs::{ACCESS_KEY, FakeObs, SECRET_KEY};
use super::obs_recording::{ARCHIVE, ObsRecording, RECORDED};
use super::sink::{Received, Sink};
use super::test_service::{Env, PATIENT, parse, settings};

/// How long to wait for a task before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pools no connection: a pooled one dies with the runtime of the test that opened it.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder().no_proxy();
    client.pool_max_idle_per_host(0).build().unwrap()
});

/// A recording, and everything needed to process it.
pub(crate) struct ObsService {
    pub(crate) obs: FakeObs,
    pub(crate) sink: Sink,
    pub(crate) take: ObsRecording,
    folder: TempDir,
    /// Steps of the only rule, as YAML.
    pub(crate) steps: String,
    pub(crate) tries: u32,
    /// The size in bytes above which objects are copied in parts of 300.
    pub(crate) part_above: &'static str,
    /// Additional settings of both buckets, as YAML.
    pub(crate) bucket: &'static str,
    pub(crate) timeouts: Timeouts,
}

/// A service on its own runtime, so that it can be killed.
pub(crate) struct Killable {
    runtime: Runtime,
    service: Service,
}

impl ObsService {
    /// A new recording, and a rule that renames, tags and notifies.
    pub(crate) async fn new(take: impl FnOnce(&FakeObs) -> ObsRecording) -> Self {
        let obs = FakeObs::start().await;
        let take = take(&obs);
        take.record(&obs);
        let checked = take.clone();
        obs.after_every_mutation(move |world| {
            assert!(checked.is_whole(world), "the recording is whole nowhere");
        });
        let steps = format!(
            "[{{ rename: {{ to: '{}', bucket: {} }} }}, {{ tag: {{ tags: {{ room: '{{{{ room_id }}}}' }} }} }}, \
             {{ notify: lms }}]",
            take.to, take.bucket
        );
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        };
        Self {
            sink: Sink::start([]).await,
            folder: folder.unwrap(),
            obs,
            take,
            steps,
            tries: 8,
            part_above: "1000B",
            bucket: "",
            timeouts: Timeouts {
                lifetime: Duration::ZERO,
                ..Timeouts::default()
            },
        }
    }

    fn rules(&self) -> RulesFile {
        let bucket = format!(
            "{{ store: obs, endpoint: 'http://{}', access_key: {ACCESS_KEY}, secret_key: {SECRET_KEY}, \
             addressing: path, copy_part_above: {}, part_size: 300B, {} }}",
            self.obs.address, self.part_above, self.bucket
        );
        let text = format!(
            "buckets:\n  {RECORDED}: {bucket}\n  {ARCHIVE}: {bucket}\n\
             destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\n\
             retry: {{ first: 1ms, longest: 1ms, jitter: none, tries: {} }}\n\
             rules: [{{ name: keep, steps: {} }}]\n",
            self.sink.url("/"),
            self.tries,
            self.steps
        );
        let mut rules = parse(&text, &Env::new());
        for bucket in rules.buckets.values_mut() {
            if let BucketStore::Obs(obs) = &mut bucket.store {
                obs.timeouts = self.timeouts;
            }
        }
        rules
    }

    fn settings(&self) -> Settings {
        settings(self.folder.path(), PATIENT)
    }

    pub(crate) async fn serve(&self) -> Service {
        let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(Env::new());
        let started = Service::start(&self.settings(), self.rules(), lookup).await;
        started.unwrap()
    }

    pub(crate) async fn serve_killable(&self) -> Killable {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let (settings, rules) = (self.settings(), self.rules());
        let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(Env::new());
        let started = runtime.spawn(async move { Service::start(&settings, rules, lookup).await });
        Killable {
            service: started.await.unwrap().unwrap(),
            runtime,
        }
    }

    /// Announces the recording; its task is running when this returns.
    pub(crate) async fn announce(&self, service: &Service) {
        self.announce_in(service, "class-7", 2).await;
    }

    /// Announces the recording for a room, ended at this second.
    pub(crate) async fn announce_in(&self, service: &Service, room: &str, second: usize) {
        let end_time = format!("2026-03-02T01:01:{second:02}Z");
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": RECORDED, "obs_object": self.take.from,
            "room_id": room, "end_time": end_time,
        });
        let to = format!("http://{}/callbacks/sparkrtc", service.public());
        let answer = CLIENT.post(to).body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Waits until the rule has sent its notification `times` times.
    pub(crate) async fn told(&self, times: usize, at: &str) -> Vec<Received> {
        let told = tokio::time::timeout(PATIENCE, self.sink.received(times)).await;
        told.unwrap_or_else(|_| panic!("{at}: no notification arrived: {:#?}", self.task()))
    }

    /// Serves until the task, announced before or now, has notified.
    pub(crate) async fn play(&self, at: &str) {
        let service = self.serve().await;
        self.announce(&service).await;
        self.told(1, at).await;
        service.drain().await;
    }

    /// Serves until the task's first try has ended.
    pub(crate) async fn play_once(&self) {
        let service = self.serve().await;
        self.announce(&service).await;
        service.drain().await;
    }

    pub(crate) fn operator(&self) -> impl Operator + use<> {
        Database::at(self.folder.path().join("a.db")).operator()
    }

    pub(crate) fn task(&self) -> TaskDetail {
        let operator = self.operator();
        let tasks = operator
            .tasks(&TaskFilter::default(), Page::newest(2))
            .unwrap();
        assert_eq!(tasks.len(), 1);
        operator.task(tasks[0].id).unwrap().unwrap()
    }

    pub(crate) fn reason(&self) -> String {
        let task = self.task();
        assert_eq!(task.row.state, "dead", "{task:#?}");
        task.row.failure.unwrap().reason
    }

    /// Asserts that the task is done and the recording is at its target.
    pub(crate) fn assert_done(&self, at: &str) {
        let task = self.task();
        assert_eq!(task.row.state, "done", "{at}: {task:#?}");
        assert!(
            task.moves.iter().all(|one| one.upload.is_none()),
            "{at}: {task:#?}"
        );
        self.obs.world(|world| self.take.assert_moved(world, at));
    }

    /// All bytes that the service has written.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

impl Killable {
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    pub(crate) async fn kill(self) {
        let Self { runtime, service } = self;
        drop(service);
        let dead = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE));
        dead.await.unwrap();
    }
}
