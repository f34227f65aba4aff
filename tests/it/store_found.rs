//! What the service logs about the store that it finds at its start.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::service_process::{ServiceProcess, heard, serve, serving, stop};
use crate::support::test_service::callback;

/// Serves and stops; returns what the program logged about its store.
fn says(folder: &Path) -> Value {
    let (mut child, log) = heard(&mut serving(folder));
    let mut lines = Vec::new();
    loop {
        let line: Value = serde_json::from_str(&log.recv().expect("the program serves")).unwrap();
        if line["listen"].is_string() {
            break;
        }
        lines.extend(line["store"].is_string().then_some(line));
    }
    stop(&mut child);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

async fn take_one(served: &ServiceProcess) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(served.callbacks()).body(callback("a.mp4"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn service_says_which_store_it_serves_and_whether_it_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n\
                 rules: [{ name: announce, steps: [{ notify: lms }] }]\n";
    fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    let store = folder.path().canonicalize().unwrap().join("aftertake.db");
    let assert_says = |level: &str, message: &str, waiting: Value| {
        let line = says(folder.path());
        let text = line["message"].as_str().unwrap();
        assert!(text.starts_with(message), "{line}");
        assert_eq!(
            (&line["level"], &line["store"], &line["waiting"]),
            (&json!(level), &json!(store.to_str()), &waiting)
        );
    };
    assert_says("INFO", "made a new store", Value::Null);
    assert_says("INFO", "opened the store", json!(0));
    let mut served = serve(folder.path());
    take_one(&served).await;
    served.stop();
    assert_says("INFO", "opened the store", json!(1));
    fs::write(&store, "").unwrap();
    assert_says(
        "WARN",
        "made a new store in a file that was empty",
        Value::Null,
    );
    fs::remove_file(&store).unwrap();
    assert_says(
        "WARN",
        "made a new store, although one of this name was served before and is gone",
        Value::Null,
    );
}
