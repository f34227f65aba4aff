//! Runs many cases in one test, which fails with all failed cases.

use futures_util::future::BoxFuture;
use tokio::task::{JoinError, JoinSet};

/// Cases that run one after the other.
pub(crate) type Group = Vec<BoxFuture<'static, ()>>;

/// Failures to print in full.
const SHOWN: usize = 20;

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
