//! What tests need around the service: fakes, receivers, stores with signals.

pub(crate) mod backend;
pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod fake_obs;
pub(crate) mod faults;
pub(crate) mod folder_buckets;
pub(crate) mod journal;
pub(crate) mod mounts;
pub(crate) mod obs_recording;
pub(crate) mod obs_service;
pub(crate) mod operator;
pub(crate) mod raw;
pub(crate) mod recording;
pub(crate) mod service_process;
pub(crate) mod sink;
pub(crate) mod test_service;
pub(crate) mod test_workers;
pub(crate) mod wall;
pub(crate) mod watched_store;

use std::path::Path;
use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::recorder::Recorder;
use aftertake::model::time::Timestamp;
use aftertake::recorder;
use bytes::Bytes;
use http::HeaderMap;
use tempfile::TempDir;

/// A timeout that no test reaches: turns a hang into a failure.
pub(crate) const TOO_LONG: Duration = Duration::from_mins(3);

/// Awaits `signal`; panics after [`TOO_LONG`].
pub(crate) async fn in_time<T>(signal: impl Future<Output = T>) -> T {
    tokio::time::timeout(TOO_LONG, signal)
        .await
        .expect("the awaited signal arrives in time")
}

/// The event of a SparkRTC callback with this body.
pub(crate) fn event(body: impl Into<Bytes>, received: Timestamp) -> Event {
    let headers = HeaderMap::new();
    recorder::parse(Recorder::SparkRtc, &headers, body.into(), received).unwrap()
}

/// A folder in memory if possible: tests fsync thousands of files.
pub(crate) fn folder_in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    };
    folder.unwrap()
}
