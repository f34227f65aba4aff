//! Disks mounted as folder buckets, and mounts below them. Needs a mount namespace; skipped where the
//! system does not allow one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;

use serde_json::Value;

use crate::support::TOO_LONG;
use crate::support::mounts::{after_mounts, may_mount};
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::sink::{Received, Sink};
use crate::support::test_service::callback;

const KEY: &str = "r/x.mp4";

/// A folder with rules and a recording, and the receiver that is notified of its move.
struct Stage {
    folder: tempfile::TempDir,
    sink: Sink,
    content: String,
}

impl Stage {
    /// A rule with these steps, and a last one that notifies.
    async fn new(steps: &str) -> Self {
        Self::with(&[("keep", steps)]).await
    }

    /// With these rules.
    async fn with(rules: &[(&str, &str)]) -> Self {
        let rule = |(name, steps): &(&str, &str)| {
            format!("{{ name: {name}, steps: [{steps}, {{ notify: lms }}] }}")
        };
        let rules: Vec<String> = rules.iter().map(rule).collect();
        let sink = Sink::start([]).await;
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
            content: "x".repeat(200_000),
            sink,
        };
        let rules = format!(
            "buckets: {{ recorded: {{ store: folder, path: recorded }}, archive: {{ store: folder, path: archive }} }}\n\
             destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\n\
             retry: {{ first: 1ms, longest: 1ms, tries: 2 }}\n\
             rules: [{}]\n",
            stage.sink.url("/hook"),
            rules.join(", ")
        );
        std::fs::write(stage.path("rules.yaml"), rules).unwrap();
        for folder in [
            "recorded/r",
            "recorded/disk",
            "recorded/twice",
            "elsewhere",
            "archive",
        ] {
            std::fs::create_dir_all(stage.path(folder)).unwrap();
        }
        std::fs::write(stage.path("recorded").join(KEY), &stage.content).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs these shell commands, which mount, and then serves.
    fn serve(&self, mounts: &str) -> (ServiceProcess, Receiver<String>) {
        let mut command = after_mounts(mounts, &serving(self.folder.path()));
        command.current_dir(self.folder.path());
        ServiceProcess::start_heard(&mut command)
    }

    async fn announce(&self, served: &ServiceProcess) {
        self.announce_one(served, KEY).await;
    }

    async fn announce_one(&self, served: &ServiceProcess, key: &str) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(served.callbacks()).body(callback(key));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// This path in the service's mount namespace.
    fn seen(&self, served: &ServiceProcess, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", served.child.id()));
        root.join(self.path(name).strip_prefix("/").unwrap())
    }

    fn aftertake(&self, args: &[&str]) -> String {
        let ran = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

#[tokio::test]
async fn recording_moves_to_and_from_disks_that_are_mounted_below_its_bucket() {
    if !may_mount() {
        return;
    }
    let stage = Stage::new(
        "{ rename: { to: 'disk/new/' } }, { id: again, rename: { to: 'twice/' } }, \
         { id: home, rename: { to: 'home/' } }",
    )
    .await;
    // One more file system, and a mount across which rename(2) fails although it is the same one.
    let (served, _log) =
        stage.serve("mount -t tmpfs tmpfs recorded/disk; mount --bind elsewhere recorded/twice");
    stage.announce(&served).await;
    stage.sink.received(1).await;
    let moved = std::fs::read_to_string(stage.path("recorded/home/x.mp4"));
    assert!(moved.unwrap() == stage.content);
    assert!(!stage.path("recorded").join(KEY).exists());
    for disk in ["recorded/disk", "recorded/twice"] {
        assert_eq!(names(&stage.seen(&served, disk)), [""; 0], "{disk}");
    }
}

/// Other work in the source's bucket goes on meanwhile.
#[tokio::test]
async fn bucket_whose_disk_is_full_is_left_alone_and_spends_no_tries_nor_holds_up_another_one() {
    if !may_mount() {
        return;
    }
    let stage = Stage::with(&[
        ("keep", "{ rename: { to: 'kept/', bucket: archive } }"),
        ("label", "{ tag: { tags: { a: b } } }"),
    ])
    .await;
    let (mut served, log) = stage.serve("mount -t tmpfs -o size=64k tmpfs archive");
    stage.announce(&served).await;
    let failed = |line: &String| line.contains("No space left on device");
    while !failed(&log.recv_timeout(TOO_LONG).unwrap()) {}
    std::fs::write(stage.path("recorded/r/y.mp4"), &stage.content).unwrap();
    stage.announce_one(&served, "r/y.mp4").await;
    let of_second = |one: &Received| String::from_utf8_lossy(&one.body).contains("r/y.mp4");
    for count in 1.. {
        if stage.sink.received(count).await.iter().any(of_second) {
            break;
        }
    }
    let id = stage.seen(&served, "archive/.aftertake/bucket-id");
    let id = std::fs::read_to_string(id).unwrap();
    served.stop();
    let listed = stage.aftertake(&["destinations", "list"]);
    let line = |lane: &str| {
        let mut lines = listed.lines();
        lines
            .find(|line| line.starts_with(lane))
            .unwrap_or_default()
    };
    let archive = line("bucket/archive");
    assert!(
        archive.contains("open") && archive.contains("No space left on device"),
        "{listed}"
    );
    assert!(!line("bucket/recorded").contains("open"), "{listed}");
    let tasks: Value =
        serde_json::from_str(&stage.aftertake(&["tasks", "list", "--json"])).unwrap();
    let mut waiting = tasks.as_array().unwrap().clone();
    waiting.retain(|task| task["rule"] == "keep");
    assert_eq!(waiting.len(), 2);
    for task in waiting {
        assert_eq!(
            (&task["state"], &task["tries"]),
            (&"ready".into(), &0.into())
        );
        let shown = stage.aftertake(&["tasks", "show", task["id"].as_str().unwrap()]);
        assert!(shown.contains("No space left on device"), "{shown}");
    }

    // A larger disk, which takes the place of the full one.
    let (served, _log) = stage.serve(&format!(
        "mount -t tmpfs -o size=1m tmpfs archive; mkdir archive/.aftertake; echo {} >archive/.aftertake/bucket-id",
        id.trim()
    ));
    stage.aftertake(&["destinations", "resume", "bucket/archive"]);
    stage.aftertake(&["tasks", "retry", "--state", "ready", "--yes"]);
    stage.sink.received(4).await;
    for name in ["x", "y"] {
        let moved = stage.seen(&served, &format!("archive/kept/{name}.mp4"));
        assert!(std::fs::read_to_string(moved).unwrap() == stage.content);
    }
}
