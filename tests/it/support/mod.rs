//! What tests need from the other side of the service.

pub(crate) mod disk;
pub(crate) mod fake_obs;
pub(crate) mod floor;
pub(crate) mod gate;
pub(crate) mod journal;
pub(crate) mod premises;
pub(crate) mod raw;
pub(crate) mod recording;
pub(crate) mod sink;
pub(crate) mod stage;
pub(crate) mod take;
pub(crate) mod watched;
pub(crate) mod world;

use std::time::Duration;

/// What no test takes: turns a hang into a failure.
const TOO_LONG: Duration = Duration::from_mins(1);

/// Waits for what has to come.
pub(crate) async fn in_time<T>(signal: impl Future<Output = T>) -> T {
    tokio::time::timeout(TOO_LONG, signal)
        .await
        .expect("what the test waits for comes")
}
