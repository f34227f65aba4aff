//! SQLite's own: a store whose files are moved, removed or replaced while it is in use. No callback
//! gets a 200 that would then be lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aftertake::model::id::TaskId;
use aftertake::store::Store;
use aftertake::store::lists::{EventFilter, Page, TaskFilter};
use aftertake::store::operator::Operator;
use aftertake::store::sqlite::SqliteOperator;
use serde_json::{Value, json};

use crate::store_contract::{NOW, notify};
use crate::support::database::open;
use crate::support::operator::OneTask;
use crate::support::service_process::{ServiceProcess, serving};

const STORE: &str = "aftertake.db";
const LOG: &str = "aftertake.db-wal";

struct Stage {
    folder: tempfile::TempDir,
    client: reqwest::Client,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = "destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n\
                     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";
        fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { folder, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn post(&self, served: &ServiceProcess, object: &str) -> u16 {
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": object,
            "end_time": "2026-03-02T01:01:02Z",
        });
        let request = self.client.post(served.callbacks()).body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
        status
    }

    async fn ask(&self, served: &ServiceProcess, path: &str) -> String {
        let url = format!("http://{}{path}", served.admin);
        let answer = self.client.get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }

    async fn ready(&self, served: &ServiceProcess) -> (bool, String) {
        let said: Value = serde_json::from_str(&self.ask(served, "/readyz").await).unwrap();
        let store = said["store"].as_str().unwrap().to_owned();
        (said["ready"].as_bool().unwrap(), store)
    }

    fn events(&self) -> usize {
        let operator = SqliteOperator::open(&self.path(STORE)).unwrap();
        operator
            .events(&EventFilter::default(), Page::newest(usize::MAX))
            .unwrap()
            .len()
    }

    /// Commands find other files under the names, or none; they neither read nor create any.
    fn commands_say_so(&self, gone: &str) {
        for args in [["tasks", "list"], ["events", "list"], ["backup", "late.db"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
            let ran = command.args(args).current_dir(self.folder.path()).output();
            let ran = ran.unwrap();
            let said = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(
                (ran.status.code(), ran.stdout.len()),
                (Some(78), 0),
                "{said}"
            );
            let sentence = format!(
                "error: store {STORE}: {gone} is not the file that the process which serves this store has opened: it \
                 was moved, removed or replaced; "
            );
            assert!(said.starts_with(&sentence), "{said}");
        }
        assert!(!self.path("late.db").exists());
    }

    /// Serves and takes a callback. After `happens`, all further callbacks are refused, and the
    /// reason names the way out.
    async fn refused(&self, gone: &str, happens: impl FnOnce()) -> ServiceProcess {
        let served = ServiceProcess::start(serving(self.folder.path()).args(["--grace", "1s"]));
        assert_eq!(self.post(&served, "first").await, 200);
        happens();
        assert_eq!(self.post(&served, "second").await, 503);
        let (is_ready, why) = self.ready(&served).await;
        assert!(!is_ready);
        let sentence = format!(
            "{gone} is not the file that was opened: it was moved, removed or replaced, and nothing more is written to it; \
             move that file back, or end the process, put the store or a backup in its place, and start anew"
        );
        assert!(why.ends_with(&sentence), "{why}");
        let metrics = self.ask(&served, "/metrics").await;
        assert!(metrics.contains("\naftertake_store_up 0\n"), "{metrics}");
        self.commands_say_so(gone);
        served
    }
}

#[tokio::test]
async fn store_that_is_moved_takes_nothing_until_it_is_back() {
    for name in [STORE, LOG] {
        let stage = Stage::new();
        let away = || fs::rename(stage.path(name), stage.path("away")).unwrap();
        let mut served = stage.refused(name, away).await;
        fs::rename(stage.path("away"), stage.path(name)).unwrap();
        assert_eq!(stage.post(&served, "third").await, 200);
        assert_eq!(stage.ready(&served).await, (true, "open".to_owned()));
        served.kill();
        assert_eq!(stage.events(), 2);
    }
}

#[tokio::test]
async fn store_that_is_replaced_takes_nothing_and_leaves_the_other_file_as_it_is() {
    let stage = Stage::new();
    let replace = || {
        let copied = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(["backup", "copy.db"])
            .current_dir(stage.folder.path())
            .status();
        assert!(copied.unwrap().success());
        fs::copy(stage.path("copy.db"), stage.path("new.db")).unwrap();
        fs::rename(stage.path("new.db"), stage.path(STORE)).unwrap();
    };
    let mut served = stage.refused(STORE, replace).await;
    served.stop();
    let there = fs::read(stage.path(STORE)).unwrap();
    assert!(there == fs::read(stage.path("copy.db")).unwrap());
}

#[tokio::test]
async fn log_that_was_removed_is_in_the_store_after_an_orderly_end() {
    let stage = Stage::new();
    let remove = || fs::remove_file(stage.path(LOG)).unwrap();
    let mut served = stage.refused(LOG, remove).await;
    served.stop();
    assert_eq!(stage.events(), 1);
}

/// A bulk command that runs next to the service takes a while.
#[tokio::test]
async fn command_does_not_write_to_a_store_that_was_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    open(&path).record(notify("k", 1), vec![]).await.unwrap();
    let mut operator = SqliteOperator::open(&path).unwrap();
    let tasks = operator.tasks(&TaskFilter::default(), Page::newest(1));
    let id: TaskId = tasks.unwrap()[0].id;
    let away: &Path = &dir.path().join("away.db");
    fs::rename(&path, away).unwrap();
    let refused = operator.cancel_one(id, NOW).unwrap_err();
    assert!(
        refused
            .reason
            .contains("a.db is not the file that was opened"),
        "{refused}"
    );
    fs::rename(away, &path).unwrap();
    operator.cancel_one(id, NOW).unwrap();
}
