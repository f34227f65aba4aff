//! Name, unit and help text of every metric.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;

use super::Metrics;

impl Metrics {
    /// The registry appends `_total`, `_info` and the units.
    pub(super) fn register(&mut self) {
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
        registry.register_with_unit(
            "oldest_waiting_age",
            "How long a task has waited for a rule, bucket or destination that is not there, when last asked",
            Unit::Seconds,
            self.oldest_waiting_age.clone(),
        );
        registry.register(
            "tasks_with_copies_left",
            "Tasks whose rename was given up and whose copies could not be removed yet, when last asked",
            self.tasks_with_copies_left.clone(),
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
            "1 when the store took a write and answered when last asked, else 0",
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
        registry.register(
            "log_lines_lost",
            "Lines of the log that nobody took in time, or that could not be written",
            self.log_lines_lost.clone(),
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
