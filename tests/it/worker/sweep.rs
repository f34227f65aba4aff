//! What the sweep logs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aftertake::clock;
use aftertake::model::time::Timestamp;
use aftertake::rules::file::RulesFile;
use aftertake::store::lists::{EventFilter, Page};
use aftertake::store::operator::Operator;
use serde_json::Value;

use crate::service::arrival;
use crate::support::TOO_LONG;
use crate::support::database::Database;
use crate::support::service_process::{heard, serving, stop};
use crate::support::test_service::{Env, callback, parse};

const RULES: &str = "rules: [{ name: never, when: { room: none }, steps: [{ notify: lms }] }]\n\
                     destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n";

/// Stores events that match no rule, received this many days ago.
fn store(operator: &mut impl Operator, objects: std::ops::Range<usize>, days: u64) {
    let rules = parse(RULES, &Env::new());
    for number in objects {
        let at = clock::now().minus(Duration::from_hours(24 * days));
        put(operator, &rules, &format!("{days}/{number}.mp4"), at);
    }
}

fn put(operator: &mut impl Operator, rules: &RulesFile, object: &str, at: Timestamp) {
    let mut arrival = arrival(rules, &callback(object));
    Arc::make_mut(&mut arrival.event).received = at;
    operator.record(&arrival, &rules.rules.text).unwrap();
}

/// Serves until the sweep has logged this many removed bodies, then stops; returns all it logged.
fn swept(folder: &Path, retention: &str, bodies: u64) -> Vec<u64> {
    let (mut served, log) = heard(serving(folder).args(["--retention", retention]));
    let pruned = |line: String| {
        let line: Value = serde_json::from_str(&line).unwrap();
        let is_told = line["message"] == "pruned old history";
        is_told.then(|| line["bodies"].as_u64().unwrap())
    };
    let mut told = Vec::new();
    while told.iter().sum::<u64>() < bodies {
        told.extend(pruned(log.recv_timeout(TOO_LONG).unwrap()));
    }
    stop(&mut served);
    told.extend(log.iter().filter_map(pruned));
    told
}

fn bodies(operator: &impl Operator) -> usize {
    let events = operator.events(&EventFilter::default(), Page::newest(1_000));
    let detail = |id| operator.event(id).unwrap().unwrap();
    let events = events.unwrap().into_iter().map(|row| detail(row.id));
    events.filter(|detail| detail.event.is_some()).count()
}

#[test]
fn sweep_logs_what_it_has_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    let mut operator = Database::of_program(folder.path()).create();
    // More than one step of a sweep processes.
    store(&mut operator, 0..501, 60);
    store(&mut operator, 0..1, 35);
    store(&mut operator, 0..1, 0);
    let told = swept(folder.path(), "40d", 501);
    assert_eq!((told, bodies(&operator)), (vec![501], 2), "it is said once");
    assert_eq!(swept(folder.path(), "30d", 1), [1]);
    assert_eq!(bodies(&operator), 1);
}

#[test]
fn sweep_that_waits_for_a_clock_which_is_behind_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    let rules = parse(RULES, &Env::new());
    let mut operator = Database::of_program(folder.path()).create();
    let ahead = clock::now().plus(Duration::from_hours(1));
    for object in ["1.mp4", "2.mp4"] {
        put(&mut operator, &rules, object, ahead);
    }
    drop(operator);
    let (mut served, log) = heard(&mut serving(folder.path()));
    loop {
        let line: Value = serde_json::from_str(&log.recv_timeout(TOO_LONG).unwrap()).unwrap();
        let told = line["message"].as_str().unwrap_or_default();
        if told.contains("behind; set it right") {
            break;
        }
    }
    stop(&mut served);
}
