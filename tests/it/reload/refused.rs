//! A refused file changes nothing, and the reason is reported.

use aftertake::rules::file;
use serde_json::Value;

use crate::support::sink::Sink;
use crate::support::test_service::{Env, PATIENT, Running, TestService, announcing};

async fn readyz(running: &Running) -> Value {
    serde_json::from_str(&running.front.ask("/readyz").await).unwrap()
}

/// Asserts that a reload is refused for `reason`, that operators see the reason, and that callbacks
/// are still accepted and processed.
async fn assert_refused(running: &Running, sink: &Sink, number: usize, reason: &str) {
    let before = readyz(running).await;
    let (status, said) = running.front.reload().await;
    assert_eq!((status, said["error"].as_str()), (422, Some(reason)));
    let after = readyz(running).await;
    assert_eq!(after["reload_error"]["reason"], reason);
    for unchanged in ["ready", "revision", "loaded"] {
        assert_eq!(before[unchanged], after[unchanged]);
    }
    let metrics = running.front.ask("/metrics").await;
    for line in [
        "aftertake_reload_refused 1".to_owned(),
        format!("aftertake_reloads_total{{result=\"refused\"}} {number}"),
        format!("aftertake_rules_info{{revision={}}} 1", after["revision"]),
    ] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }
    running.front.announce(&format!("{number}.mp4")).await;
    sink.received(number).await;
}

#[tokio::test]
async fn file_that_cannot_be_loaded_changes_nothing_and_says_why_until_one_can() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let good = announcing(&sink, "{ notify: lms }");
    let running = test_service.start(&good, PATIENT).await;
    let path = test_service.rules().display().to_string();
    let unset = good.replace("/hook", "/${UNSET}");
    let unknown = good.replace("notify: lms", "notify: ims");
    let truncated = &good[..good.len() - 10];
    let mut number = 0;
    let room = format!(
        "when: {{ room: '{}x{}' }}, steps",
        "{".repeat(250),
        "}".repeat(250)
    );
    let braces = good.replace("steps", &room);
    for text in [truncated, &unset, &unknown, &braces, ""] {
        test_service.write(text);
        let told = file::parse(
            &path,
            text,
            test_service.rules().parent().unwrap(),
            &Env::new(),
        );
        number += 1;
        assert_refused(&running, &sink, number, &told.unwrap_err().to_string()).await;
    }
    test_service.write(b"rules: \xff");
    let reason = format!("read rules file {path}: invalid utf-8 sequence of 1 bytes from index 7");
    assert_refused(&running, &sink, number + 1, &reason).await;
    std::fs::remove_file(test_service.rules()).unwrap();
    let reason = format!("read rules file {path}: No such file or directory (os error 2)");
    assert_refused(&running, &sink, number + 2, &reason).await;

    test_service
        .reload(&running, &good.replace("announce", "tell"))
        .await;
    let after = readyz(&running).await;
    assert_eq!(after["reload_error"], Value::Null);
    let metrics = running.front.ask("/metrics").await;
    assert!(
        metrics.contains("\naftertake_reload_refused 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("{{revision={}}} 1\n", after["revision"])),
        "{metrics}"
    );
    running.service.drain().await;
}

#[tokio::test]
async fn reload_that_cannot_be_stored_gets_retry_after_and_changes_nothing() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let good = announcing(&sink, "{ notify: lms }");
    let running = test_service.start(&good, PATIENT).await;
    let before = readyz(&running).await;
    running.store.fill().await;
    // The text of the rules needs a page more than there is room for.
    let long = "x".repeat(100_000);
    test_service.write(good.replace("announce", &long));
    assert_eq!(running.front.reload().await.0, 503);
    running.store.free().await;
    let after = readyz(&running).await;
    assert_eq!(before["revision"], after["revision"]);
    running.front.announce("a.mp4").await;
    assert_eq!(test_service.only().row.rule, "announce");
    assert_eq!(running.front.reload().await.0, 200);
    running.service.drain().await;
}
