//! A store that can be reached under a second name: a hard link, or a mount of the file itself. SQLite
//! would keep a WAL beside each name.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::mounts::{after_mounts, may_mount};
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::test_service::callback;

/// Everything that opens a store, except `serve`.
const COMMANDS: [&[&str]; 5] = [
    &["tasks", "list"],
    &["tasks", "cancel", "--rule", "announce"],
    &["events", "add", "callback.json"],
    &["backup", "another-copy.db"],
    &["restore", "copy.db"],
];

/// A folder with rules, a served store, a backup of it, and two more folders.
struct Stage {
    folder: tempfile::TempDir,
    served: ServiceProcess,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = "destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n\
                     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";
        fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        fs::write(folder.path().join("callback.json"), callback("added.mp4")).unwrap();
        for name in ["store", "other"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut serving = serving(folder.path());
        serving.args(["--store", "sqlite:store/a.db"]);
        let served = ServiceProcess::start(&mut serving);
        let stage = Self { folder, served };
        stage.takes("first.mp4").await;
        let copied = stage.run(&["backup", "copy.db"], "store/a.db");
        assert!(copied.status.success(), "{copied:?}");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn takes(&self, object: &str) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(self.served.callbacks()).body(callback(object));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    fn program(&self, args: &[&str], store: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
        command
            .args(args)
            .args(["--store", &format!("sqlite:{store}")]);
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str], store: &str) -> Output {
        self.program(args, store).output().unwrap()
    }

    fn serving(&self, store: &str) -> Command {
        let mut command = serving(self.folder.path());
        command.args(["--store", &format!("sqlite:{store}")]);
        command
    }

    /// `serve` and every command, to be run on this store.
    fn everything(&self, store: &str) -> Vec<Command> {
        let commands = COMMANDS.map(|args| self.program(args, store));
        commands.into_iter().chain([self.serving(store)]).collect()
    }

    /// The number of callbacks in the store.
    #[track_caller]
    fn events(&self) -> usize {
        let listed = self.run(&["events", "list", "--json"], "store/a.db");
        assert!(listed.status.success(), "{listed:?}");
        let events: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
        events.len()
    }
}

#[track_caller]
fn assert_refused(mut command: Command, why: &str) {
    let ran = command.output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(78), "{command:?}: {err}");
    assert!(err.contains(why), "{command:?}: {err}");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

#[tokio::test]
async fn store_with_a_hard_link_is_opened_under_neither_name() {
    let mut stage = Stage::new().await;
    fs::hard_link(stage.path("store/a.db"), stage.path("other/b.db")).unwrap();
    let refused = |store: &str| {
        let why = format!(
            "store {store} has 2 names, which are hard links to one file, and SQLite keeps the newest callbacks in a \
             file -wal beside the name that was used: what is stored under one name is lost under another; remove the \
             other names, which `find / -samefile {store}` lists, and keep the one with a -wal beside it"
        );
        for command in stage.everything(store) {
            assert_refused(command, &why);
        }
    };
    refused("other/b.db");
    assert_eq!(names(&stage.path("other")), BTreeSet::from(["b.db".into()]));
    // A link that was made meanwhile stops neither the service nor the commands next to it.
    stage.takes("second.mp4").await;
    assert_eq!(stage.events(), 2);
    let added = stage.run(&["events", "add", "callback.json"], "store/a.db");
    assert!(added.status.success(), "{added:?}");

    stage.served.kill();
    let before = names(&stage.path("store"));
    let refused = |store: &str| {
        for command in stage.everything(store) {
            assert_refused(command, &format!("store {store} has 2 names"));
        }
    };
    refused("store/a.db");
    refused("other/b.db");
    assert_eq!(names(&stage.path("store")), before);
    assert_eq!(names(&stage.path("other")), BTreeSet::from(["b.db".into()]));
    fs::remove_file(stage.path("other/b.db")).unwrap();
    ServiceProcess::start(&mut stage.serving("store/a.db")).stop();
    assert_eq!(stage.events(), 3);
}

#[tokio::test]
async fn store_that_is_mounted_by_itself_is_refused_and_one_in_a_mounted_folder_is_not() {
    if !may_mount() {
        return;
    }
    let mut stage = Stage::new().await;
    stage.served.stop();
    let why = "store other/b.db is a file that is mounted by itself, as with `docker run -v FILE:FILE`, and SQLite keeps \
               the newest callbacks in a file -wal beside it, which is not at the file's other place and may go with \
               the container; mount the folder that contains the store instead";
    fs::write(stage.path("other/b.db"), "").unwrap();
    for command in stage.everything("other/b.db") {
        let mut command = after_mounts("mount --bind store/a.db other/b.db", &command);
        command.current_dir(stage.folder.path());
        assert_refused(command, why);
    }
    assert_eq!(names(&stage.path("other")), BTreeSet::from(["b.db".into()]));
    fs::remove_file(stage.path("other/b.db")).unwrap();
    let mut serving = after_mounts("mount --bind store other", &stage.serving("other/a.db"));
    serving.current_dir(stage.folder.path());
    let mut served = ServiceProcess::start(&mut serving);
    // Both names are in one folder, and so is the lock.
    let second = stage.serving("store/a.db").output().unwrap();
    assert_eq!(second.status.code(), Some(69), "{second:?}");
    served.stop();
    assert_eq!(stage.events(), 1);
}

#[tokio::test]
async fn link_to_a_store_in_use_is_no_backup() {
    let stage = Stage::new().await;
    symlink("store/a.db", stage.path("link.db")).unwrap();
    let ran = stage.run(&["restore", "link.db"], "other/new.db");
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{err}");
    assert!(err.contains("is no backup but a store in use"), "{err}");
    assert!(!stage.path("other/new.db").exists());
}
