//! Every response that OBS or a proxy can give once the copies are made.
//!
//! Whatever the response to one request, the recording is whole at its target or untouched at its
//! source, and the task is done, if necessary after a retry by a person.

use super::sweep::{PLAIN, from_last_copy, sweep_all};
use crate::support::fake_obs::Fault;

/// By default, one of this many pairs of response and request is tested.
const ONE_OF: usize = 5;

async fn whatever_is_answered(policies: &'static [&'static str]) {
    let answers = Fault::every_answer();
    sweep_all(&PLAIN, policies, from_last_copy, &answers, ONE_OF).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_completes_whatever_the_responses_around_its_commit() {
    whatever_is_answered(&["fail"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_that_replaces_completes_whatever_the_responses_around_its_commit() {
    whatever_is_answered(&["overwrite"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_that_keeps_both_completes_whatever_the_responses_around_its_commit() {
    whatever_is_answered(&["keep_both"]).await;
}
