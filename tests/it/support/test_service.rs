//! The service under test on real ports, and the folder that outlives it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aftertake::app::Service;
use aftertake::config::{Admin, LogFormat, Retention, Settings, StoreUrl};
use aftertake::rules::file::{self, Lookup, RulesFile};
use aftertake::store::Store;
use aftertake::store::lists::{Page, TaskDetail, TaskFilter, TaskRow};
use aftertake::store::operator::Operator;
use serde_json::{Value, json};

use super::database::{AroundCommit, Database, plain};
use super::sink::Sink;
use super::watched_store::WatchedStore;
use super::{folder_in_memory, in_time};

pub(crate) type Env = BTreeMap<&'static str, &'static str>;

/// A grace period that no test reaches.
pub(crate) const PATIENT: Duration = Duration::from_hours(1);

pub(crate) fn settings(folder: &Path, grace: Duration) -> Settings {
    let day = Duration::from_hours(24);
    Settings {
        rules: folder.join("rules.yaml"),
        watch: false,
        store: StoreUrl::Sqlite(folder.join("a.db")),
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: Admin::new("127.0.0.1:0".parse().unwrap(), None).unwrap(),
        retention: Retention::new(day, day).unwrap(),
        grace,
        log: LogFormat::Text,
        log_filter: "warn".to_owned(),
    }
}

pub(crate) fn parse(text: &str, env: &Env) -> RulesFile {
    file::parse("rules.yaml", text, Path::new(""), env).unwrap_or_else(|error| panic!("{error}"))
}

/// One rule that notifies `sink`, one request at a time; `steps` as in a rules file.
pub(crate) fn announcing(sink: &Sink, steps: &str) -> String {
    format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true, concurrency: 1 }} }}\n\
         retry: {{ first: 1ms, longest: 1ms, tries: 3 }}\n\
         rules: [{{ name: announce, steps: [{steps}] }}]\n",
        sink.url("/hook"),
    )
}

pub(crate) fn callback(object: &str) -> String {
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "recorded", "obs_object": object,
        "room_id": "class-7", "end_time": "2026-03-02T01:01:02Z",
    });
    body.to_string()
}

/// The folder with store and rules file.
pub(crate) struct TestService {
    folder: tempfile::TempDir,
}

pub(crate) struct Running {
    pub(crate) service: Service,
    pub(crate) store: Arc<WatchedStore>,
    pub(crate) front: Front,
}

/// The service's listeners, seen from outside.
pub(crate) struct Front {
    pub(crate) public: SocketAddr,
    admin: SocketAddr,
    client: reqwest::Client,
}

impl TestService {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder in memory, where fsync is fast.
    pub(crate) fn in_memory() -> Self {
        Self {
            folder: folder_in_memory(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> Database {
        Database::at(self.folder().join("a.db"))
    }

    /// Opens the store, as a process does at its start.
    pub(crate) fn open(&self) -> Arc<WatchedStore> {
        self.open_around(plain())
    }

    /// Opens the store with commits that go through `around`.
    pub(crate) fn open_around(&self, around: AroundCommit) -> Arc<WatchedStore> {
        WatchedStore::watch(self.database().open_around(around))
    }

    pub(crate) fn write(&self, rules: impl AsRef<[u8]>) {
        std::fs::write(self.rules(), rules).unwrap();
    }

    pub(crate) fn rules(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    pub(crate) async fn start(&self, rules: &str, grace: Duration) -> Running {
        self.start_in(rules, &Env::new(), grace).await
    }

    pub(crate) async fn start_in(&self, rules: &str, env: &Env, grace: Duration) -> Running {
        self.start_on(parse(rules, env), Arc::new(env.clone()), grace)
            .await
    }

    pub(crate) async fn start_on(
        &self,
        rules: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
        grace: Duration,
    ) -> Running {
        self.start_with(self.open(), rules, lookup, grace).await
    }

    /// Starts the service on a store of this folder that is already open.
    pub(crate) async fn start_with(
        &self,
        store: Arc<WatchedStore>,
        rules: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
        grace: Duration,
    ) -> Running {
        let settings = settings(self.folder.path(), grace);
        let open = |_: &Settings, _: &Arc<_>| Ok(Arc::clone(&store) as Arc<dyn Store>);
        let service = Service::start_on(&settings, rules, lookup, open)
            .await
            .unwrap();
        let front = Front {
            public: service.public(),
            admin: service.admin(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        Running {
            service,
            store,
            front,
        }
    }

    pub(crate) fn operator(&self) -> impl Operator + use<> {
        self.database().operator()
    }

    /// Runs a command that must succeed on the store, and returns its output.
    pub(crate) fn aftertake(&self, args: &[&str]) -> String {
        let store = format!("sqlite:{}", self.database().path().display());
        let ran = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(args)
            .args(["--store", &store])
            .env_clear()
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{args:?}: {told}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Runs a command on the store and returns all its output, whatever its exit code.
    pub(crate) fn tells(&self, args: &[&str]) -> String {
        let store = format!("sqlite:{}", self.database().path().display());
        let ran = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(args)
            .args(["--store", &store])
            .env_clear()
            .output()
            .unwrap();
        let (out, told) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        format!("{out}{told}")
    }

    pub(crate) fn tasks(&self) -> Vec<TaskRow> {
        let mut tasks = self
            .operator()
            .tasks(&TaskFilter::default(), Page::newest(100_000))
            .unwrap();
        tasks.reverse();
        tasks
    }

    /// State, step and tries of all tasks, oldest first.
    pub(crate) fn states(&self) -> Vec<(&'static str, u16, u32)> {
        let tasks = self.tasks();
        let state = |task: &TaskRow| (task.state, task.step, task.tries);
        tasks.iter().map(state).collect()
    }

    pub(crate) fn only(&self) -> TaskDetail {
        let tasks = self.tasks();
        assert_eq!(tasks.len(), 1);
        self.operator().task(tasks[0].id).unwrap().unwrap()
    }
}

impl Front {
    pub(crate) async fn post(&self, body: String) -> reqwest::Response {
        let url = format!("http://{}/callbacks/sparkrtc", self.public);
        self.client.post(url).body(body).send().await.unwrap()
    }

    /// Posts a callback about this object and asserts that it is stored.
    pub(crate) async fn announce(&self, object: &str) {
        assert_eq!(self.post(callback(object)).await.status(), 200);
    }

    /// GETs a path of the operator listener.
    pub(crate) async fn ask(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.admin);
        let answer = self.client.get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// Requests a reload; status and document of the response.
    pub(crate) async fn reload(&self) -> (u16, Value) {
        let url = format!("http://{}/-/reload", self.admin);
        let answer = self.client.post(url).send().await.unwrap();
        let status = answer.status().as_u16();
        let document = answer.text().await.unwrap();
        (status, serde_json::from_str(&document).unwrap())
    }

    /// Polls `/readyz` until what it reports of the workers is `expected`.
    pub(crate) async fn readyz_says(&self, expected: impl Fn(&Value) -> bool) -> Value {
        let ask = async {
            loop {
                let said: Value = serde_json::from_str(&self.ask("/readyz").await).unwrap();
                if expected(&said["workers_paused"]) {
                    return said;
                }
            }
        };
        in_time(ask).await
    }
}
