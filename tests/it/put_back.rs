//! SQLite's own: restoring a copy of a store manually, over the WAL of a crash, and with
//! `aftertake restore`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::service_process::{ServiceProcess, serve};

const STORE: &str = "aftertake.db";
const INDEX: &str = "aftertake.db-shm";
const LOCK: &str = "aftertake.db.lock";

/// Commands on a store, reading and writing ones.
const COMMANDS: [&[&str]; 11] = [
    &["tasks", "list"],
    &["tasks", "list", "--state", "dead"],
    &["tasks", "show", "task_00000000000000000000000000000000"],
    &["tasks", "retry", "--rule", "announce"],
    &["tasks", "cancel", "--rule", "announce"],
    &["events", "list"],
    &["events", "show", "evt_00000000000000000000000000000000"],
    &["events", "add", "callback.json"],
    &["events", "replay", "--rule", "announce"],
    &["destinations", "list"],
    &["backup", "another-copy.db"],
];

/// A folder with rules and a store in which the real program runs.
struct Folder(tempfile::TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let rules = "destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n\
                     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";
        fs::write(folder.path("rules.yaml"), rules).unwrap();
        fs::write(folder.path("callback.json"), callback("added")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn serve(&self) -> ServiceProcess {
        serve(self.0.path())
    }

    /// Serves while these objects are announced, then stops in order.
    async fn served(&self, objects: &[&str]) {
        let mut served = self.serve();
        post(&served, objects).await;
        served.stop();
    }

    /// Serves while these objects are announced, then crashes.
    async fn crashed(&self, objects: &[&str]) {
        let mut served = self.serve();
        post(&served, objects).await;
        served.kill();
        assert!(self.len("aftertake.db-wal") > 0);
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    fn len(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).map_or(0, |meta| meta.len())
    }

    fn run(&self, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn fine(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
        ran.out
    }

    /// Runs `serve` and every other command on the store: each exits with 78, prints nothing to
    /// stdout and `sentence` to stderr, and leaves the files unchanged.
    #[track_caller]
    fn refuses_everything(&self, sentence: &str) {
        let before = self.files();
        let listen = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ];
        for args in COMMANDS.into_iter().chain([&listen[..]]) {
            let ran = self.run(args);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (Some(78), ""),
                "{args:?}: {}",
                ran.err
            );
            assert!(ran.err.contains(sentence), "{args:?}: {}", ran.err);
            assert!(self.files() == before, "{args:?}");
        }
    }

    /// All non-empty files with their contents, except the lock and SQLite's `-shm`.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| ![LOCK, INDEX].contains(&name.as_str()))
            .map(|name| (name.clone(), fs::read(self.path(&name)).unwrap()))
            .filter(|(_, content)| !content.is_empty())
            .collect()
    }

    #[track_caller]
    fn objects(&self, store: &str) -> BTreeSet<String> {
        let store = format!("sqlite:{store}");
        let listed = self.fine(&["events", "list", "--json", "--store", &store]);
        let events: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let object = |event: &Value| {
            let id = event["id"].as_str().unwrap();
            let shown = self.fine(&["events", "show", id, "--json", "--store", &store]);
            let shown: Value = serde_json::from_str(&shown).unwrap();
            let body: Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
            body["obs_object"].as_str().unwrap().to_owned()
        };
        events.iter().map(object).collect()
    }

    fn restore(&self, file: &str) -> Vec<String> {
        let told: Value = serde_json::from_str(&self.fine(&["restore", file, "--json"])).unwrap();
        let aside = told["aside"].as_array().unwrap().iter();
        aside
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }
}

fn callback(object: &str) -> String {
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": object,
        "end_time": "2026-03-02T01:01:02Z",
    });
    body.to_string()
}

async fn post(served: &ServiceProcess, objects: &[&str]) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for object in objects {
        let request = client.post(served.callbacks()).body(callback(object));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

fn set<'a>(objects: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    objects.into_iter().map(str::to_owned).collect()
}

/// Damages the second half of the file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let pages = bytes.len() / 4096;
    bytes[pages / 2 * 4096..].fill(0xff);
    fs::write(path, bytes).unwrap();
}

/// A store that crashed, and `copy.db`, a copy of it from before.
async fn crashed_after_a_copy(how: &str) -> Folder {
    let folder = Folder::new();
    match how {
        "backup" => {
            let mut served = folder.serve();
            post(&served, &["kept"]).await;
            folder.fine(&["backup", "copy.db"]);
            post(&served, &["lost"]).await;
            served.kill();
        }
        "copy of the stopped store" => {
            folder.served(&["kept"]).await;
            folder.copy(STORE, "copy.db");
            folder.served(&["lost"]).await;
            folder.crashed(&["lost, too"]).await;
        }
        "copy of the served store" => {
            folder.served(&["kept"]).await;
            let mut served = folder.serve();
            post(&served, &["in the log"]).await;
            folder.copy(STORE, "copy.db");
            served.stop();
            folder.crashed(&["lost"]).await;
        }
        _ => {
            let other = Folder::new();
            other.served(&["kept"]).await;
            fs::copy(other.path(STORE), folder.path("copy.db")).unwrap();
            folder.crashed(&["lost"]).await;
        }
    }
    folder
}

const COPIES: [&str; 4] = [
    "backup",
    "copy of the stopped store",
    "copy of the served store",
    "another store",
];

#[tokio::test]
async fn wal_of_a_crash_is_not_applied_to_a_copy_that_replaces_the_store() {
    for how in COPIES {
        let folder = crashed_after_a_copy(how).await;
        folder.copy("copy.db", STORE);
        folder.refuses_everything(
            "store aftertake.db and its log aftertake.db-wal do not belong together, as after a copy was put in the \
             store's place; nothing was changed. `aftertake restore FILE` puts a backup back and moves the old files \
             aside; to go on with aftertake.db as it is, without what aftertake.db-wal holds, move aftertake.db-wal away",
        );

        fs::rename(folder.path("aftertake.db-wal"), folder.path("away")).unwrap();
        folder.served(&["new"]).await;
        assert_eq!(folder.objects(STORE), set(["kept", "new"]), "{how}");
    }
}

#[tokio::test]
async fn restore_puts_a_copy_back_and_keeps_the_store_that_had_crashed() {
    for how in COPIES {
        let folder = crashed_after_a_copy(how).await;
        let (old, log) = (
            folder.files()[STORE].clone(),
            folder.files()["aftertake.db-wal"].clone(),
        );
        let aside = folder.restore("copy.db");
        assert!(
            aside[0].starts_with("aftertake.db-replaced-20"),
            "{aside:?}"
        );
        assert_eq!(aside[1], format!("{}-wal", aside[0]));
        let files = folder.files();
        assert!(files[&aside[0]] == old && files[&aside[1]] == log, "{how}");
        assert!(!files.contains_key("aftertake.db-wal"));
        assert_eq!(folder.objects(STORE), set(["kept"]), "{how}");

        folder.served(&["new"]).await;
        assert_eq!(folder.objects(STORE), set(["kept", "new"]), "{how}");
        // The old store can be read, including its WAL.
        assert!(!folder.objects(&aside[0]).is_empty(), "{how}");
    }
}

#[tokio::test]
async fn store_that_crashed_after_a_backup_was_put_back_goes_on_with_all_it_took() {
    let folder = crashed_after_a_copy("backup").await;
    folder.restore("copy.db");
    folder.crashed(&["new"]).await;
    folder.crashed(&["newer"]).await;
    assert_eq!(folder.objects(STORE), set(["kept", "new", "newer"]));
    // Restoring the same backup again: the WAL written since the first time does not belong to it.
    folder.crashed(&["newest"]).await;
    folder.copy("copy.db", STORE);
    folder.refuses_everything("do not belong together");
    folder.restore("copy.db");
    assert_eq!(folder.objects(STORE), set(["kept"]));
}

#[tokio::test]
async fn wal_without_its_store_is_not_discarded_by_a_new_store() {
    let folder = Folder::new();
    folder.served(&["first"]).await;
    folder.crashed(&["second"]).await;
    fs::rename(folder.path(STORE), folder.path("moved.db")).unwrap();
    folder.refuses_everything(
        "store aftertake.db is gone, and its log aftertake.db-wal is still there; put the file back that belongs to \
         it, or a backup with `aftertake restore FILE`; to begin anew, move aftertake.db-wal away",
    );
    fs::rename(folder.path("moved.db"), folder.path(STORE)).unwrap();
    assert_eq!(folder.objects(STORE), set(["first", "second"]));
}

#[tokio::test]
async fn malformed_store_ends_every_command_with_78_after_a_crash() {
    let folder = Folder::new();
    let objects: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    folder.served(&objects).await;
    folder.fine(&["backup", "copy.db"]);
    folder.crashed(&["one more"]).await;
    damage(&folder.path(STORE));
    folder.refuses_everything("; put a backup back with `aftertake restore FILE`");
    // Also if somebody has moved the WAL away.
    fs::rename(folder.path("aftertake.db-wal"), folder.path("away")).unwrap();
    folder.refuses_everything("; put a backup back with `aftertake restore FILE`");

    folder.restore("copy.db");
    folder.served(&["new"]).await;
    assert_eq!(folder.objects(STORE).len(), 101);
}

#[tokio::test]
async fn damaged_copy_is_not_served_where_no_store_was() {
    let folder = Folder::new();
    let objects: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
    folder.served(&objects).await;
    folder.fine(&["backup", "copy.db"]);
    damage(&folder.path("copy.db"));
    let args = ["serve", "--store", "sqlite:copy.db"];
    let ran = folder.run(&args);
    assert_eq!(ran.code, Some(78), "{}", ran.err);
    assert!(
        ran.err.contains("store copy.db is malformed ("),
        "{}",
        ran.err
    );
}

/// Lists use an index: one that has lost entries would hide rows.
#[tokio::test]
async fn index_that_lacks_rows_is_found_after_a_crash() {
    let folder = Folder::new();
    folder.served(&["first"]).await;
    let conn = rusqlite::Connection::open(folder.path(STORE)).unwrap();
    conn.execute_batch(
        "DROP INDEX tasks_state; CREATE INDEX tasks_state ON tasks (state) WHERE state = 9; \
         PRAGMA writable_schema = 1; \
         UPDATE sqlite_schema SET sql = 'CREATE INDEX tasks_state ON tasks (state) WHERE state <> 2' WHERE name = 'tasks_state'",
    )
    .unwrap();
    drop(conn);
    assert_eq!(
        folder.fine(&["tasks", "list", "--state", "ready", "--json"]),
        "[]\n"
    );
    fs::write(folder.path(LOCK), "4242\n").unwrap();
    folder.refuses_everything("is malformed (row 1 missing from index tasks_state)");
}

#[tokio::test]
async fn refused_restore_says_why_and_changes_nothing() {
    let folder = Folder::new();
    folder.served(&["first"]).await;
    folder.fine(&["backup", "copy.db"]);
    fs::write(folder.path("text"), "something else's").unwrap();
    fs::write(folder.path("empty"), "").unwrap();
    folder.copy("copy.db", "damaged.db");
    damage(&folder.path("damaged.db"));
    folder.copy("copy.db", "newer.db");
    let newer = rusqlite::Connection::open(folder.path("newer.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    folder.copy("copy.db", "open.db");
    fs::write(folder.path("open.db-wal"), "a log").unwrap();
    let before = folder.files();
    for (file, code, err) in [
        (
            "none.db",
            66,
            "error: none.db does not exist; name a file that `aftertake backup` made\n",
        ),
        (
            ".",
            66,
            "error: . is not a file; name a file that `aftertake backup` made\n",
        ),
        (
            "text",
            78,
            "error: text is not a store of aftertake; name a file that `aftertake backup` made\n",
        ),
        (
            "empty",
            78,
            "error: empty is not a store of aftertake; name a file that `aftertake backup` made\n",
        ),
        ("damaged.db", 78, "error: damaged.db is malformed ("),
        (
            "newer.db",
            78,
            "error: newer.db was written by a newer version of aftertake (schema 99, ",
        ),
        (
            "open.db",
            1,
            "error: open.db is no backup but a store in use, or one that was not closed: open.db-wal ",
        ),
        (
            STORE,
            2,
            "error: aftertake.db is the store itself; name a file that `aftertake backup` made\n",
        ),
    ] {
        let ran = folder.run(&["restore", file]);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(code), ""),
            "{file}: {}",
            ran.err
        );
        assert!(ran.err.starts_with(err), "{file}: {}", ran.err);
        let misleads = code == 78
            && ["--store", "restore FILE"]
                .iter()
                .any(|way| ran.err.contains(way));
        assert!(!misleads, "{file}: {}", ran.err);
        assert!(folder.files() == before, "{file}");
    }

    let mut served = folder.serve();
    let ran = folder.run(&["restore", "copy.db"]);
    let err = "error: store aftertake.db is already served by another process; stop it, or use another --store\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(69), err));
    // Nor can a served store be restored from: it is no backup.
    let ran = folder.run(&["restore", STORE, "--store", "sqlite:other.db"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(
        ran.err
            .contains("`aftertake backup --store sqlite:aftertake.db FILE`"),
        "{}",
        ran.err
    );
    post(&served, &["second"]).await;
    served.stop();
    assert_eq!(folder.objects(STORE), set(["first", "second"]));
}

#[tokio::test]
async fn backup_is_restored_where_no_store_is_and_over_others_within_a_second() {
    let folder = Folder::new();
    folder.served(&["first"]).await;
    folder.fine(&["backup", "copy.db"]);
    let store = ["--store", "sqlite:new.db"];
    let told = folder.fine(&[&["restore", "copy.db"][..], &store].concat());
    assert!(
        told.starts_with("sqlite:new.db is what copy.db holds, "),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1);
    assert_eq!(folder.objects("new.db"), set(["first"]));
    for _ in 0..3 {
        folder.fine(&[&["restore", "copy.db"][..], &store].concat());
    }
    let kept = folder.files().into_keys();
    assert_eq!(
        kept.filter(|name| name.starts_with("new.db-replaced-"))
            .count(),
        3
    );
}
