//! Files in `contrib` must match the program.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aftertake::cli::Exit;
use aftertake::model::attempt::{AttemptRecord, Outcome};
use aftertake::model::breaker::LaneState;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::task::Lane;
use aftertake::model::time::Timestamp;
use aftertake::telemetry::Metrics;

fn contrib(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Words that look like our metric names.
fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("aftertake_"))
        .collect()
}

/// Metrics output in which every metric has a sample.
fn exposition() -> String {
    let metrics = Arc::new(Metrics::default());
    metrics.attempt(&AttemptRecord {
        step: 0,
        step_id: "notify".into(),
        action: "notify".into(),
        started: Timestamp::from_millis(0),
        took: Duration::from_millis(1),
        outcome: Outcome::Failed(Failure::new(FailureKind::Timeout, "r")),
        exchange: None,
    });
    let lane = Lane::Destination("lms".into());
    metrics.lane(&lane, &LaneState::default());
    metrics.on_commit()(1, Duration::from_millis(1));
    metrics.encode()
}

#[test]
fn alerts_watch_metrics_that_exist() {
    let exposition = exposition();
    let exposed = metric_names(&exposition);
    let alerts = contrib("prometheus-alerts.yaml");
    let watched = metric_names(&alerts);
    assert!(watched.len() >= 4, "{watched:?}");
    let unknown: Vec<_> = watched.difference(&exposed).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn alerts_name_label_values_that_exist() {
    let exposition = exposition();
    let alerts = contrib("prometheus-alerts.yaml");
    let mut checked = 0;
    for matcher in alerts.split(['{', ',', '}']) {
        let Some((label, values)) = matcher.split_once("=~").or(matcher.split_once('=')) else {
            continue;
        };
        if !["result", "state"].contains(&label) {
            continue;
        }
        for value in values.trim_matches('"').split('|') {
            let series = format!("{label}=\"{value}\"");
            assert!(exposition.contains(&series), "{series}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

#[test]
fn unit_restarts_what_a_restart_may_mend_and_nothing_else() {
    let unit = contrib("aftertake.service");
    let prevents = unit
        .lines()
        .find_map(|line| line.strip_prefix("RestartPreventExitStatus="))
        .unwrap();
    let prevented: Vec<u8> = prevents
        .split(' ')
        .map(|code| code.parse().unwrap())
        .collect();
    for (exit, mends) in [
        (Exit::Usage, false),
        (Exit::BadInput, false),
        (Exit::NoInput, false),
        (Exit::BadSettings, false),
        (Exit::Unavailable, true),
        (Exit::Crashed, true),
    ] {
        assert_eq!(!prevented.contains(&(exit as u8)), mends, "{exit:?}");
    }
}
