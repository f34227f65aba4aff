//! What the sweep tells in the log.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aftertake::callback::sparkrtc;
use aftertake::clock;
use aftertake::store::sqlite::Desk;
use serde_json::Value;

use crate::service::arrival;
use crate::store_contract::open;
use crate::support::in_time;
use crate::support::premises::{Env, callback, parse};
use crate::support::served::serving;

const RULES: &str = "rules: [{ name: never, when: { room: none }, steps: [{ notify: lms }] }]\n\
                     destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n";

/// Stores events that no rule matches, so many days ago.
fn store(path: &Path, objects: std::ops::Range<usize>, days: u64) {
    let rules = parse(RULES, &Env::new());
    let mut desk = Desk::open(path, sparkrtc::decode).unwrap();
    for number in objects {
        let mut arrival = arrival(&rules, &callback(&format!("{days}/{number}.mp4")));
        let event = Arc::make_mut(&mut arrival.event);
        let ago = Duration::from_hours(24 * days);
        event.received = clock::now().minus(ago);
        desk.record(&arrival, &rules.rules.text).unwrap();
    }
}

/// Serves until that many events have their bodies; what the sweep told.
async fn swept(folder: &Path, retention: &str, left: i64) -> Vec<Value> {
    let log = folder.join("log");
    let mut served = serving(folder)
        .args(["--retention", retention])
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let conn = rusqlite::Connection::open(folder.join("aftertake.db")).unwrap();
    let bodies = || {
        conn.query_row("SELECT count(*) FROM bodies", [], |row| {
            row.get::<_, i64>(0)
        })
    };
    let gone = async {
        while bodies().unwrap() > left {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(gone).await;
    let asked = Command::new("kill")
        .args(["-TERM", &served.id().to_string()])
        .status();
    assert!(asked.unwrap().success() && served.wait().unwrap().success());
    let told = std::fs::read_to_string(&log).unwrap();
    let lines = told.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line.to_string().contains("pruned old history"))
        .collect()
}

#[tokio::test]
async fn sweep_tells_of_what_it_has_forgotten_and_of_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    let path = folder.path().join("aftertake.db");
    drop(open(&path));
    // More than one step of a sweep looks at.
    store(&path, 0..501, 60);
    store(&path, 0..1, 35);
    store(&path, 0..1, 0);
    let told = swept(folder.path(), "40d", 2).await;
    let bodies = told.iter().map(|line| line["bodies"].as_u64().unwrap());
    assert_eq!(bodies.sum::<u64>(), 501);

    let told = swept(folder.path(), "30d", 1).await;
    let bodies: Vec<_> = told.iter().map(|line| line["bodies"].as_u64()).collect();
    assert_eq!(bodies, [Some(1)]);
}
