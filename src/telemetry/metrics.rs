//! Every metric of the service, in one struct.
//!
//! Names begin with `aftertake_` and end with their unit. Labels are closed sets, and
//! those known beforehand start at zero, so that the first failure is a rise a query
//! can see and not a new series.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::model::attempt::{AttemptRecord, Outcome};
use crate::model::breaker::LaneState;
use crate::model::task::{Lane, RevisionId, TaskState};
use crate::model::time::Timestamp;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a store calls after each commit, with the number of operations in it and the
/// time it took.
pub type OnCommit = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// How a request to the callback listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackResult {
    /// A new event with at least one task.
    Stored,
    /// A new event that no rule matched.
    Unmatched,
    /// Stored before; changed nothing.
    Duplicate,
    /// `GET`, `HEAD` or an empty body.
    Probe,
    /// The signature is missing or wrong.
    RefusedSignature,
    /// Not a JSON object.
    Malformed,
    /// The body exceeds the limit.
    TooLarge,
    /// The body did not arrive in time.
    Timeout,
    /// It could not be stored; the sender was asked to come again.
    Unavailable,
    /// Callbacks come faster than the disk takes them; the sender was asked to come again.
    Overloaded,
}

impl CallbackResult {
    const ALL: [Self; 10] = [
        Self::Stored,
        Self::Unmatched,
        Self::Duplicate,
        Self::Probe,
        Self::RefusedSignature,
        Self::Malformed,
        Self::TooLarge,
        Self::Timeout,
        Self::Unavailable,
        Self::Overloaded,
    ];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Unmatched => "unmatched",
            Self::Duplicate => "duplicate",
            Self::Probe => "probe",
            Self::RefusedSignature => "refused_signature",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

/// How a reload can end: the rules file was loaded, or refused.
const RELOAD_RESULTS: [&str; 2] = ["loaded", "refused"];

/// The metrics of one running service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    callbacks: Family<ResultLabel, Counter>,
    tasks: Family<StateLabel, Gauge>,
    oldest_due_age: Gauge<f64, AtomicU64>,
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
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RevisionLabel {
    revision: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    lane: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    action: String,
    outcome: &'static str,
    /// The failure's kind; empty, which Prometheus takes as absent, without one.
    failure: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("aftertake"),
            callbacks: Family::default(),
            tasks: Family::default(),
            oldest_due_age: Gauge::default(),
            attempts: Family::default(),
            step_duration: Family::new_with_constructor(step_duration),
            // A commit holds what waited for the one before: up to some hundred operations.
            commit_operations: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            // From a fast disk's sync, 0.5 ms, to a stalling one's, 4 s.
            commit_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            store_up: Gauge::default(),
            workers_paused: Gauge::default(),
            rules: Family::default(),
            rules_loaded: Gauge::default(),
            reloads: Family::default(),
            reload_refused: Gauge::default(),
            lanes: Family::default(),
        };
        metrics.register();
        for result in CallbackResult::ALL {
            drop(metrics.callbacks.get_or_create(&result.into()));
        }
        for result in RELOAD_RESULTS {
            drop(metrics.reloads.get_or_create(&ResultLabel { result }));
        }
        metrics.queue([0; TaskState::NAMES.len()], None);
        metrics
    }
}

impl Metrics {
    /// Counts an ended request to the callback listener.
    pub fn callback(&self, result: CallbackResult) {
        self.callbacks.get_or_create(&result.into()).inc();
    }

    /// Counts an attempt, and measures it unless the step was skipped.
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

    /// Shows how many tasks are in each state, in the order of [`TaskState::NAMES`],
    /// and how long the longest-due one has been due.
    pub fn queue(&self, tasks: [u64; TaskState::NAMES.len()], oldest_due: Option<Duration>) {
        for (state, count) in TaskState::NAMES.into_iter().zip(tasks) {
            self.tasks
                .get_or_create(&StateLabel { state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.oldest_due_age
            .set(oldest_due.unwrap_or_default().as_secs_f64());
    }

    /// Shows whether the store answered when it was last asked.
    pub fn store_up(&self, up: bool) {
        self.store_up.set(up.into());
    }

    /// Shows whether the workers claim nothing for the time being.
    pub fn workers_paused(&self, paused: bool) {
        self.workers_paused.set(paused.into());
    }

    /// Shows the revision in force, instead of `replaced`, and when it was loaded.
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

    /// Counts a reload, and shows whether it was refused.
    pub fn reload(&self, refused: bool) {
        let result = RELOAD_RESULTS[usize::from(refused)];
        self.reloads.get_or_create(&ResultLabel { result }).inc();
        self.reload_refused.set(refused.into());
    }

    /// Shows whether the lane's tasks are claimed.
    pub fn lane(&self, lane: &Lane, state: &LaneState) {
        let (paused, open) = (state.paused.is_some(), state.open.is_some());
        for (state, is) in [("paused", paused), ("open", open && !paused)] {
            let lane = lane.to_string();
            let shown = self.lanes.get_or_create(&LaneLabels { lane, state });
            shown.set(is.into());
        }
    }

    /// What a store is given to report its commits.
    pub fn on_commit(self: &Arc<Self>) -> OnCommit {
        let metrics = Arc::clone(self);
        Arc::new(move |operations, took| {
            let operations = u32::try_from(operations).unwrap_or(u32::MAX);
            metrics.commit_operations.observe(operations.into());
            metrics.commit_duration.observe(took.as_secs_f64());
        })
    }

    /// Everything, as `OpenMetrics` text of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // The only error is the writer's, and a string has none.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// `_total`, `_info` and the units are appended by the registry.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "callbacks",
            "Requests to the callback listener by how they ended",
            self.callbacks.clone(),
        );
        registry.register(
            "tasks",
            "Tasks in the store by state, when last asked",
            self.tasks.clone(),
        );
        registry.register_with_unit(
            "oldest_due_age",
            "How long the longest-due task has been due, when last asked",
            Unit::Seconds,
            self.oldest_due_age.clone(),
        );
        registry.register(
            "attempts",
            "Attempts by action, outcome and kind of failure",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "step_duration",
            "How long attempts took",
            Unit::Seconds,
            self.step_duration.clone(),
        );
        registry.register_with_unit(
            "store_commit",
            "Operations that shared a commit",
            Unit::Other("operations".to_owned()),
            self.commit_operations.clone(),
        );
        registry.register_with_unit(
            "store_commit_duration",
            "How long commits took, the sync to disk included",
            Unit::Seconds,
            self.commit_duration.clone(),
        );
        registry.register(
            "store_up",
            "1 when the store answered when last asked, else 0",
            self.store_up.clone(),
        );
        registry.register(
            "workers_paused",
            "1 while no task is claimed, else 0",
            self.workers_paused.clone(),
        );
        registry.register(
            "lane",
            "1 while the bucket's or destination's tasks wait because its breaker is open, or because it is paused; else 0",
            self.lanes.clone(),
        );
        self.register_rules();
    }

    fn register_rules(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "rules_info",
            "The revision of the rules in force",
            self.rules.clone(),
        );
        registry.register_with_unit(
            "rules_loaded_timestamp",
            "When the rules in force were loaded, since 1970",
            Unit::Seconds,
            self.rules_loaded.clone(),
        );
        registry.register(
            "reloads",
            "Reloads of the rules file by how they ended",
            self.reloads.clone(),
        );
        registry.register(
            "reload_refused",
            "1 while the last reload was refused and the rules before it are in force, else 0",
            self.reload_refused.clone(),
        );
    }
}

impl From<CallbackResult> for ResultLabel {
    fn from(result: CallbackResult) -> Self {
        Self {
            result: result.name(),
        }
    }
}

/// From a quick notice, 10 ms, to the copy of a large recording, half an hour.
fn step_duration() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 3.0, 12))
}

#[cfg(test)]
mod tests {
    use crate::model::failure::{Failure, FailureKind};

    use super::*;

    fn attempt(outcome: Outcome) -> AttemptRecord {
        AttemptRecord {
            step: 0,
            step_id: "notify".into(),
            action: "notify".into(),
            started: Timestamp::from_millis(0),
            took: Duration::from_millis(20),
            outcome,
            exchange: None,
        }
    }

    #[track_caller]
    fn assert_shows(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.encode();
        for line in lines {
            assert!(text.lines().any(|shown| shown == *line), "{line}\n{text}");
        }
    }

    #[test]
    fn known_series_start_at_zero() {
        let metrics = Metrics::default();
        for result in CallbackResult::ALL {
            let line = format!(
                "aftertake_callbacks_total{{result=\"{}\"}} 0",
                result.name()
            );
            assert_shows(&metrics, &[&line]);
        }
        for state in TaskState::NAMES {
            assert_shows(
                &metrics,
                &[&format!("aftertake_tasks{{state=\"{state}\"}} 0")],
            );
        }
    }

    #[test]
    fn failed_attempt_is_counted_with_its_kind_and_skipped_one_is_not_measured() {
        let metrics = Metrics::default();
        metrics.attempt(&attempt(Outcome::Failed(Failure::new(
            FailureKind::Timeout,
            "r",
        ))));
        metrics.attempt(&attempt(Outcome::Skipped("r".into())));
        assert_shows(
            &metrics,
            &[
                "aftertake_attempts_total{action=\"notify\",outcome=\"failed\",failure=\"timeout\"} 1",
                "aftertake_attempts_total{action=\"notify\",outcome=\"skipped\",failure=\"\"} 1",
                "aftertake_step_duration_seconds_count{action=\"notify\"} 1",
            ],
        );
    }

    #[test]
    fn revision_in_force_is_the_only_one_shown() {
        let metrics = Metrics::default();
        let [old, new] = ["old", "new"].map(RevisionId::of);
        metrics.rules(old, Timestamp::from_millis(1000), None);
        metrics.rules(new, Timestamp::from_millis(2500), Some(old));
        metrics.rules(new, Timestamp::from_millis(3500), Some(new));
        metrics.reload(true);
        let line = format!("aftertake_rules_info{{revision=\"{new}\"}} 1");
        assert_shows(
            &metrics,
            &[
                &line,
                "aftertake_rules_loaded_timestamp_seconds 3.5",
                "aftertake_reloads_total{result=\"refused\"} 1",
                "aftertake_reloads_total{result=\"loaded\"} 0",
                "aftertake_reload_refused 1",
            ],
        );
        assert!(!metrics.encode().contains(&old.to_string()));
    }

    #[test]
    fn queue_and_commits_are_shown_with_their_units() {
        let metrics = Arc::new(Metrics::default());
        metrics.queue([1, 2, 3, 4, 5], Some(Duration::from_millis(1500)));
        metrics.on_commit()(3, Duration::from_millis(2));
        metrics.workers_paused(true);
        assert_shows(
            &metrics,
            &[
                "aftertake_tasks{state=\"dead\"} 4",
                "aftertake_oldest_due_age_seconds 1.5",
                "aftertake_store_commit_operations_sum 3.0",
                "aftertake_store_commit_duration_seconds_count 1",
                "aftertake_workers_paused 1",
                concat!(
                    "aftertake_build_info{version=\"",
                    env!("CARGO_PKG_VERSION"),
                    "\"} 1"
                ),
            ],
        );
    }
}
