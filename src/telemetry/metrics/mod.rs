//! All metrics of the service, in one struct.
//!
//! Names begin with `aftertake_` and end with their unit. Labels are closed sets. Known label
//! values start at zero, so that the first failure is an increase that a query can see, and not a
//! new series.

mod labels;
mod register;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use self::labels::CallbackResult;
use self::labels::{
    ActionLabel, AttemptLabels, LaneLabels, ResultLabel, RevisionLabel, StateLabel,
};
use crate::model::attempt::{AttemptRecord, Outcome};
use crate::model::breaker::LaneState;
use crate::model::task::{Lane, RevisionId, TaskState};
use crate::model::time::Timestamp;

pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Called by the store after each commit, with the number of operations and the duration.
pub type OnCommit = Arc<dyn Fn(usize, Duration) + Send + Sync>;

const RELOAD_RESULTS: [&str; 2] = ["loaded", "refused"];

const LANE_STATES: [&str; 2] = ["paused", "open"];

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    callbacks: Family<ResultLabel, Counter>,
    tasks: Family<StateLabel, Gauge>,
    oldest_due_age: Gauge<f64, AtomicU64>,
    tasks_with_copies_left: Gauge,
    oldest_waiting_age: Gauge<f64, AtomicU64>,
    attempts: Family<AttemptLabels, Counter>,
    step_duration: Family<ActionLabel, Histogram, fn() -> Histogram>,
    commit_operations: Histogram,
    commit_duration: Histogram,
    store_up: Gauge,
    workers_paused: Gauge,
    rules: Family<RevisionLabel, Gauge>,
    rules_loaded: Gauge<f64, AtomicU64>,
    reloads: Family<ResultLabel, Counter>,
    reload_refused: Gauge,
    lanes: Family<LaneLabels, Gauge>,
    log_lines_lost: Counter,
    shown: Mutex<BTreeSet<String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("aftertake"),
            callbacks: Family::default(),
            tasks: Family::default(),
            oldest_due_age: Gauge::default(),
            tasks_with_copies_left: Gauge::default(),
            oldest_waiting_age: Gauge::default(),
            attempts: Family::default(),
            step_duration: Family::new_with_constructor(step_duration),
            // A commit holds everything that waited for the one before: up to some hundred
            // operations.
            commit_operations: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            // From a fast disk's sync (0.5 ms) to a stalling one's (4 s).
            commit_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            store_up: Gauge::default(),
            workers_paused: Gauge::default(),
            rules: Family::default(),
            rules_loaded: Gauge::default(),
            reloads: Family::default(),
            reload_refused: Gauge::default(),
            lanes: Family::default(),
            log_lines_lost: Counter::default(),
            shown: Mutex::default(),
        };
        metrics.register();
        for result in CallbackResult::ALL {
            drop(metrics.callbacks.get_or_create(&result.into()));
        }
        for result in RELOAD_RESULTS {
            drop(metrics.reloads.get_or_create(&ResultLabel { result }));
        }
        metrics.queue([0; TaskState::NAMES.len()], None, None);
        metrics
    }
}

impl Metrics {
    /// Counts a finished request to the callback listener.
    pub fn callback(&self, result: CallbackResult) {
        self.callbacks.get_or_create(&result.into()).inc();
    }

    /// Counts an attempt, and measures its duration unless the step was skipped.
    pub fn attempt(&self, attempt: &AttemptRecord) {
        let failure = match &attempt.outcome {
            Outcome::Failed(failure) => failure.kind.name(),
            Outcome::Succeeded | Outcome::Skipped(_) | Outcome::Interrupted => "",
        };
        self.attempts
            .get_or_create(&AttemptLabels {
                action: attempt.action.clone(),
                outcome: attempt.outcome.name(),
                failure,
            })
            .inc();
        if !matches!(attempt.outcome, Outcome::Skipped(_)) {
            self.step_duration
                .get_or_create(&ActionLabel {
                    action: attempt.action.clone(),
                })
                .observe(attempt.took.as_secs_f64());
        }
    }

    /// Sets the number of tasks in each state (in the order of [`TaskState::NAMES`]), how long the
    /// longest-due task has been due, and how long one has waited for something outside it.
    pub fn queue(
        &self,
        tasks: [u64; TaskState::NAMES.len()],
        oldest_due: Option<Duration>,
        oldest_waiting: Option<Duration>,
    ) {
        for (state, count) in TaskState::NAMES.into_iter().zip(tasks) {
            self.tasks
                .get_or_create(&StateLabel { state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.oldest_due_age
            .set(oldest_due.unwrap_or_default().as_secs_f64());
        self.oldest_waiting_age
            .set(oldest_waiting.unwrap_or_default().as_secs_f64());
    }

    /// Sets the number of tasks that have left something in buckets.
    pub fn leaving(&self, tasks: u64) {
        let tasks = i64::try_from(tasks).unwrap_or(i64::MAX);
        self.tasks_with_copies_left.set(tasks);
    }

    /// Sets whether the store answered the last time.
    pub fn store_up(&self, up: bool) {
        self.store_up.set(up.into());
    }

    /// Sets whether the workers have stopped claiming.
    pub fn workers_paused(&self, paused: bool) {
        self.workers_paused.set(paused.into());
    }

    /// Sets the revision in force and when it was loaded, and removes `replaced`.
    pub fn rules(&self, revision: RevisionId, loaded: Timestamp, replaced: Option<RevisionId>) {
        let label = |revision: RevisionId| RevisionLabel {
            revision: revision.to_string(),
        };
        self.rules.get_or_create(&label(revision)).set(1);
        if let Some(replaced) = replaced.filter(|replaced| *replaced != revision) {
            self.rules.remove(&label(replaced));
        }
        let loaded = loaded.since(Timestamp::from_millis(0));
        self.rules_loaded.set(loaded.as_secs_f64());
    }

    pub fn reload(&self, refused: bool) {
        let result = RELOAD_RESULTS[usize::from(refused)];
        self.reloads.get_or_create(&ResultLabel { result }).inc();
        self.reload_refused.set(refused.into());
    }

    /// Sets the states of these lanes, and removes all others.
    pub fn lanes(&self, states: &[(Lane, LaneState)]) {
        let present: BTreeSet<String> = states.iter().map(|(lane, _)| lane.to_string()).collect();
        self.shown().retain(|lane| {
            let stays = present.contains(lane);
            for state in LANE_STATES.into_iter().filter(|_| !stays) {
                let lane = lane.clone();
                self.lanes.remove(&LaneLabels { lane, state });
            }
            stays
        });
        for (lane, state) in states {
            self.lane(lane, state);
        }
    }

    pub fn lane(&self, lane: &Lane, state: &LaneState) {
        let (paused, open) = (state.paused.is_some(), state.open.is_some());
        for (state, is) in LANE_STATES.into_iter().zip([paused, open && !paused]) {
            let lane = lane.to_string();
            let shown = self.lanes.get_or_create(&LaneLabels { lane, state });
            shown.set(is.into());
        }
        self.shown().insert(lane.to_string());
    }

    fn shown(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn on_commit(self: &Arc<Self>) -> OnCommit {
        let metrics = Arc::clone(self);
        Arc::new(move |operations, took| {
            let operations = u32::try_from(operations).unwrap_or(u32::MAX);
            metrics.commit_operations.observe(operations.into());
            metrics.commit_duration.observe(took.as_secs_f64());
        })
    }

    /// All metrics as `OpenMetrics` text of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let lost = super::log::lost();
        self.log_lines_lost.inner().store(lost, Ordering::Relaxed);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// From a quick notice (10 ms) to the copy of a large recording (half an hour).
fn step_duration() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 3.0, 12))
}
