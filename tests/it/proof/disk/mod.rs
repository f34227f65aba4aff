//! The program on a disk that records its writes and fails on command.

mod disk_model;
mod fault;
mod flood;
mod power;
mod power_cut;
mod preload;
mod trace;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::proof::load::Load;
use crate::support::folder_in_memory;
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::sink::Sink;
use preload::Preload;

/// A service on such a disk, and a receiver of its notifications.
struct Stage {
    folder: tempfile::TempDir,
    sink: Sink,
}

struct Run {
    served: ServiceProcess,
    disk: Preload,
}

impl Stage {
    /// Two rules that announce every recording, one of them in order.
    const RULES: [&str; 2] = ["announce", "in-order"];

    async fn set() -> Self {
        let (folder, sink) = (folder_in_memory(), Sink::start([]).await);
        let [announce, in_order] = Self::RULES;
        let rules = format!(
            "destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\n\
             retry: {{ first: 10ms, longest: 50ms, tries: 1000 }}\n\
             rules:\n  - {{ name: {announce}, steps: [{{ notify: lms }}] }}\n  \
             - {{ name: {in_order}, order_by: room_id, steps: [{{ notify: lms }}] }}\n",
            sink.url("/hook"),
        );
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        Self { folder, sink }
    }

    /// The store's folder, which holds nothing else.
    fn store(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("store")
    }

    fn run(&self) -> Run {
        self.run_on(Preload::new(&self.store()))
    }

    fn run_on(&self, disk: Preload) -> Run {
        let mut command = serving(self.folder.path());
        let store = format!("sqlite:{}", self.store().join("aftertake.db").display());
        let served = ServiceProcess::start(disk.beneath(command.args(["--store", &store])));
        Run { served, disk }
    }

    /// Waits until every rule has notified the receiver of all these objects.
    async fn announced(&self, objects: &[String]) {
        let due = |object: &String| Self::RULES.map(|rule| json!([object, rule]).to_string());
        let mut due: BTreeSet<String> = objects.iter().flat_map(due).collect();
        let mut read = 0;
        while !due.is_empty() {
            let received = self.sink.received(read + 1).await;
            for one in &received[read..] {
                let data = &serde_json::from_slice::<Value>(&one.body).unwrap()["data"];
                due.remove(&json!([data["obs_object"], data["rule"]]).to_string());
            }
            read = received.len();
        }
    }
}

impl Run {
    /// Callers that post bodies of at least `filler` bytes, starting with number `first`.
    fn load(&self, callers: usize, first: usize, filler: usize) -> Load {
        Load::start(&self.served, callers, first, move |lane, number| {
            body(lane, number, filler)
        })
    }
}

/// A callback with a message of `filler` bytes.
fn body(lane: usize, number: usize, filler: usize) -> String {
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": object(lane, number),
        "room_id": format!("class-{lane}"), "end_time": "2026-03-02T01:01:02Z",
        "detail_message": "x".repeat(filler),
    });
    body.to_string()
}

fn object(lane: usize, number: usize) -> String {
    format!("{lane}-{number}.mp4")
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
