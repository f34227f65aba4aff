//! The recordings that the callbacks are about, and the rules for them.

use std::collections::BTreeMap;
use std::path::Path;

use aftertake::model::recording::Place;
use serde_json::json;

use crate::support::folder_buckets::FolderBuckets;
use crate::support::folder_in_memory;
use crate::support::recording::{Recording, place};
use crate::support::sink::Sink;

/// Rules by name, with the number of the step that notifies.
pub(crate) const RULES: [(&str, u16); 3] = [("announce", 0), ("archive", 2), ("in-order", 0)];

const ROOMS: usize = 2;

/// The store's folder, and two buckets elsewhere.
pub(crate) struct Recordings {
    folder: tempfile::TempDir,
    pub(crate) world: FolderBuckets,
}

/// Writes recordings as a recorder does.
pub(crate) struct Writer(std::path::PathBuf);

impl Recordings {
    pub(crate) fn new(sink: &Sink) -> Self {
        Self::with(sink, "")
    }

    /// With more keys of the destination.
    pub(crate) fn with(sink: &Sink, keys: &str) -> Self {
        let (folder, world) = (folder_in_memory(), FolderBuckets::new());
        let bucket = |name: &str| {
            format!(
                "{{ store: folder, path: '{}' }}",
                world.path(name).display()
            )
        };
        let rules = format!(
            "buckets: {{ recorded: {}, archive: {} }}\n\
             destinations:\n  lms: {{ url: '{}', allow_private: true, {keys}breaker: {{ failures: 1000, longest: 1s }} }}\n\
             rooms: [{{ room: '*', tags: {{ course: lectures }} }}]\n\
             retry: {{ first: 5ms, longest: 20ms, tries: 1000 }}\n\
             rules:\n  - {{ name: announce, steps: [{{ notify: lms }}] }}\n  \
             - name: archive\n    steps:\n      \
             - rename: {{ to: 'classes/{{{{ room_id }}}}/{{{{ object.stem }}}}/', bucket: archive }}\n      \
             - tag: by_room\n      - notify: lms\n  \
             - {{ name: in-order, order_by: room_id, steps: [{{ notify: lms }}] }}\n",
            bucket("recorded"),
            bucket("archive"),
            sink.url("/hook"),
        );
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        Self { folder, world }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer(self.world.path("recorded"))
    }
}

impl Writer {
    /// Creates the recording of the callback with this number, but not when the callback is
    /// resent: the recording may have moved by then.
    pub(crate) fn record(&self, lane: usize, number: usize) {
        let at = source(lane, number);
        let mark = self.0.with_extension("recorded").join(at.name());
        if mark.exists() {
            return;
        }
        let recording = recording(lane, number);
        for (object, content) in recording.at(&at) {
            let content = if object == at {
                recording.named.0.clone()
            } else {
                content
            };
            let path = self.0.join(&object.key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::create_dir_all(mark).unwrap();
    }
}

pub(crate) fn room(lane: usize, number: usize) -> String {
    format!("class-{lane}-{}", number % ROOMS)
}

/// Every third recording is a playlist whose segments are named by their recorded place.
fn is_playlist(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn name(lane: usize, number: usize) -> (String, &'static str) {
    let kind = if is_playlist(number) { "m3u8" } else { "mp4" };
    (format!("{lane}-{number}"), kind)
}

pub(crate) fn recording(lane: usize, number: usize) -> Recording {
    let (stem, _) = name(lane, number);
    if is_playlist(number) {
        return Recording::absolute_hls(&format!("Record/{stem}"));
    }
    let content = format!("recording {stem}");
    Recording::with(&content, &content, &[])
}

pub(crate) fn source(lane: usize, number: usize) -> Place {
    let (stem, kind) = name(lane, number);
    place("recorded", &format!("Record/{stem}/{stem}.{kind}"))
}

pub(crate) fn target(lane: usize, number: usize) -> Place {
    let (stem, kind) = name(lane, number);
    let room = room(lane, number);
    place("archive", &format!("classes/{room}/{stem}/{stem}.{kind}"))
}

pub(crate) fn tags(lane: usize, number: usize) -> BTreeMap<String, String> {
    let tag = |key: &str, value: String| (key.to_owned(), value);
    BTreeMap::from([
        tag("course", "lectures".to_owned()),
        tag("room", room(lane, number)),
    ])
}

pub(crate) fn body(lane: usize, number: usize) -> String {
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "recorded",
        "obs_object": source(lane, number).key, "room_id": room(lane, number),
        "end_time": "2026-03-02T01:01:02Z", "job_id": number.to_string(),
    });
    body.to_string()
}
