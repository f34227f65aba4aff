//! The real program, started with a clock that is ten years ahead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aftertake::clock;
use aftertake::store::lists::{EventFilter, Page};
use aftertake::store::operator::Operator;
use serde_json::json;

use crate::service::arrival;
use crate::support::database::Database;
use crate::support::in_time;
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::test_service::{Env, parse};

const RULES: &str = "rules: [{ name: never, when: { room: none }, steps: [{ notify: lms }] }]\n\
                     destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n";

const DAY: Duration = Duration::from_hours(24);

/// The library that sets the clock, compiled with `cc`, which building the program needs anyway.
fn library() -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("wrong-clock-{}.so", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/wrong_clock/clock.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let ran = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&library, Path::new(source)])
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    library
}

fn body(object: &str, ended: Duration) -> String {
    let end = clock::now().minus(ended).to_string();
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": object, "end_time": end,
    });
    body.to_string()
}

async fn post(served: &ServiceProcess, body: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(served.callbacks()).body(body.to_owned());
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// The number of stored events, and the objects whose callback bodies are kept, oldest first.
fn kept(folder: &Path) -> (usize, Vec<String>) {
    let operator = Database::of_program(folder).operator();
    let events = operator
        .events(&EventFilter::default(), Page::newest(usize::MAX))
        .unwrap();
    let kept = events.iter().rev();
    let kept = kept.filter_map(|row| operator.event(row.id).unwrap().unwrap().event);
    let objects = kept.map(|event| event.fields.object.clone().unwrap());
    (events.len(), objects.collect())
}

#[tokio::test]
async fn start_by_a_clock_ten_years_ahead_forgets_what_is_old_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("rules.yaml"), RULES).unwrap();
    let mut right = serving(folder);
    right.args(["--retention", "40d"]);
    ServiceProcess::start(&mut right).stop();
    // Older than the retention: once it is gone, the sweep has run.
    let rules = parse(RULES, &Env::new());
    let mut old = arrival(&rules, &body("old", DAY * 60));
    Arc::make_mut(&mut old.event).received = clock::now().minus(DAY * 35);
    let mut operator = Database::of_program(folder).operator();
    operator.record(&old, &rules.rules.text).unwrap();
    let mut served = ServiceProcess::start(&mut right);
    let callbacks = ["a", "b", "c"].map(|object| body(object, Duration::ZERO));
    for callback in &callbacks {
        post(&served, callback).await;
    }
    served.stop();

    let is_kept = || {
        let old = operator.event(old.event.id).unwrap();
        old.unwrap().event.is_some()
    };
    assert!(is_kept());
    let mut ahead = serving(folder);
    ahead.env("LD_PRELOAD", library());
    ahead.env("CLOCK_AHEAD", (DAY * 3650).as_secs().to_string());
    let mut served = ServiceProcess::start(&mut ahead);
    let gone = async {
        while is_kept() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(gone).await;
    for callback in &callbacks {
        post(&served, callback).await;
    }
    served.stop();
    let objects = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(kept(folder), (4, objects));
}
