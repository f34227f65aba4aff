//! Many cases of one test: all of them run, and the test fails with all that failed.

use futures_util::future::BoxFuture;
use tokio::task::{JoinError, JoinSet};

/// The cases of one group, one after the other.
pub(crate) type Group = Vec<BoxFuture<'static, ()>>;

/// Failures that are told whole.
const SHOWN: usize = 20;

/// Runs groups side by side.
pub(crate) async fn run(groups: impl IntoIterator<Item = Group>) {
    let mut running = JoinSet::new();
    for group in groups {
        running.spawn(async move {
            let mut failures = Vec::new();
            for case in group {
                failures.extend(tokio::spawn(case).await.err().map(message));
            }
            failures
        });
    }
    let failures = running.join_all().await.concat();
    let shown = failures[..failures.len().min(SHOWN)].join("\n---\n");
    assert!(failures.is_empty(), "{} failed:\n{shown}", failures.len());
}

fn message(error: JoinError) -> String {
    let panic = error.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| "failed without a message".to_owned())
}
