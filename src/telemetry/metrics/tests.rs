//! What a scrape shows.

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
    let (due, waiting) = (Duration::from_millis(1500), Duration::from_mins(1));
    metrics.queue([1, 2, 3, 4, 5], Some(due), Some(waiting));
    metrics.on_commit()(3, Duration::from_millis(2));
    metrics.workers_paused(true);
    metrics.leaving(6);
    assert_shows(
        &metrics,
        &[
            "aftertake_tasks{state=\"dead\"} 4",
            "aftertake_oldest_due_age_seconds 1.5",
            "aftertake_oldest_waiting_age_seconds 60.0",
            "aftertake_store_commit_operations_sum 3.0",
            "aftertake_store_commit_duration_seconds_count 1",
            "aftertake_workers_paused 1",
            "aftertake_tasks_with_copies_left 6",
            concat!(
                "aftertake_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ],
    );
}

#[test]
fn lane_that_is_gone_is_not_shown() {
    let metrics = Metrics::default();
    let state = |name: &str| (Lane::Bucket(name.into()), LaneState::default());
    metrics.lanes(&[state("gone"), state("stays")]);
    metrics.lanes(&[state("stays"), state("new")]);
    assert_shows(
        &metrics,
        &[
            "aftertake_lane{lane=\"bucket/stays\",state=\"open\"} 0",
            "aftertake_lane{lane=\"bucket/new\",state=\"paused\"} 0",
        ],
    );
    assert!(!metrics.encode().contains("bucket/gone"));
}
