//! Everything that OBS or a proxy can answer once the copies are made.

use super::sweep::{PLAIN, from_last_copy, sweep_all};
use crate::support::fake_obs::Fault;

const POLICIES: [&str; 3] = ["fail", "overwrite", "keep_both"];

/// Whatever one request is answered: the recording is whole at its target or untouched at its
/// source, and the task is done, or is done once a person retries it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_answered_around_the_commit_the_recording_is_whole_and_the_move_can_be_ended() {
    sweep_all(&PLAIN, &POLICIES, from_last_copy, &Fault::every_answer()).await;
}
