//! Buckets and destinations that change or disappear while tasks need them.

use aftertake::model::task::Lane;
use aftertake::model::transition::Transition;
use aftertake::model::wait::Outside;

use crate::support::operator::why_waits;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, TestService};

/// One rule that notifies `destination`, which leads to `sink`, one request at a time.
fn rules(destination: &str, sink: &Sink, path: &str) -> String {
    format!(
        "destinations: {{ {destination}: {{ url: '{}', allow_private: true, timeout: 1h, concurrency: 1 }} }}\n\
         rules: [{{ name: announce, steps: [{{ notify: {{ destination: {destination}, path: '{path}' }} }}] }}]\n",
        sink.url("/"),
    )
}

#[tokio::test]
async fn request_under_way_to_a_destination_that_goes_ends_and_what_is_queued_waits_until_it_is_back()
 {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let (with, without) = (rules("lms", &sink, "/lms"), rules("chat", &sink, "/chat"));
    let running = test_service.start(&with, PATIENT).await;
    running.front.announce("a.mp4").await;
    running.front.announce("b.mp4").await;
    sink.received(1).await;
    test_service.reload(&running, &without).await;
    let metrics = running.front.ask("/metrics").await;
    assert!(metrics.contains("lane=\"destination/chat\",state=\"paused\"} 0\n"));
    assert!(!metrics.contains("lane=\"destination/lms\""), "{metrics}");
    sink.release(1);
    running.store.settled(1).await;
    running.front.announce("c.mp4").await;
    running.store.settled(2).await;

    let queued = [("done", 0, 1), ("ready", 0, 0), ("done", 0, 1)];
    assert_eq!(test_service.states(), queued);
    let note = why_waits(&test_service.tasks()[1]).unwrap();
    assert!(note.contains("lms is not in the rules file"), "{note}");

    test_service.reload(&running, &with).await;
    running.store.settled(3).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1); 3]);
    let targets: Vec<_> = sink.requests().into_iter().map(|one| one.target).collect();
    assert_eq!(targets, ["/lms", "/chat", "/lms"]);
}

#[tokio::test]
async fn queued_task_keeps_its_rules_and_goes_where_its_destination_leads_now() {
    let test_service = TestService::new();
    let old = Sink::start([Reply::status(200).held()]).await;
    let new = Sink::start([]).await;
    let running = test_service
        .start(&rules("lms", &old, "/old"), PATIENT)
        .await;
    running.front.announce("a.mp4").await;
    running.front.announce("b.mp4").await;
    old.received(1).await;
    test_service
        .reload(&running, &rules("lms", &new, "/new"))
        .await;
    old.release(1);
    running.store.settled(2).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1); 2]);
    let targets = |sink: &Sink| -> Vec<String> {
        sink.requests().into_iter().map(|one| one.target).collect()
    };
    assert_eq!(
        (targets(&old), targets(&new)),
        (vec!["/old".into()], vec!["/old".into()])
    );
}

#[tokio::test]
async fn destination_that_is_widened_takes_what_waited_for_it() {
    let test_service = TestService::new();
    let held = || Reply::status(200).held();
    let sink = Sink::start([held(), held(), held()]).await;
    let narrow = rules("lms", &sink, "/");
    let running = test_service.start(&narrow, PATIENT).await;
    for object in ["a.mp4", "b.mp4", "c.mp4"] {
        running.front.announce(object).await;
    }
    sink.received(1).await;
    test_service
        .reload(
            &running,
            &narrow.replace("concurrency: 1", "concurrency: 3"),
        )
        .await;
    sink.received(3).await;
    sink.release(3);
    running.store.settled(3).await;
    running.service.drain().await;
}

/// Rules whose only rule notifies and then renames into the archive, and the same file without
/// the archive.
fn archiving(test_service: &TestService, sink: &Sink) -> (String, String) {
    let folder = |name| {
        test_service
            .rules()
            .with_file_name(name)
            .display()
            .to_string()
    };
    let archive = format!("  archive: {{ store: folder, path: '{}' }}\n", folder("a"));
    let with = format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\n\
         buckets:\n  recorded: {{ store: folder, path: '{}' }}\n{archive}\
         rules: [{{ name: archive, steps: [{{ notify: lms }}, {{ rename: {{ to: x/, bucket: archive }} }}] }}]\n",
        sink.url("/"),
        folder("r"),
    );
    let without = with.replace(&archive, "").replace(", bucket: archive", "");
    (with, without)
}

/// Stores a recording where the callback says it is.
fn record(test_service: &TestService, object: &str) {
    for name in ["r", "a"] {
        std::fs::create_dir(test_service.rules().with_file_name(name)).unwrap();
    }
    let folder = test_service.rules().with_file_name("r");
    std::fs::write(folder.join(object), "x").unwrap();
}

#[tokio::test]
async fn rename_into_a_bucket_that_is_gone_waits_without_a_try_until_it_is_back() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let (with, without) = archiving(&test_service, &sink);
    record(&test_service, "a.mp4");
    let running = test_service.start(&with, PATIENT).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    test_service.reload(&running, &without).await;
    sink.release(1);
    let settled = running.store.settled(2).await;
    let Transition::Wait { on, why } = &settled[1] else {
        panic!("{settled:?}");
    };
    assert_eq!(*on, Outside::Lane(Lane::Bucket("archive".into())).into());
    assert_eq!(why, "bucket/archive is not in the rules file");
    let waits = test_service.tasks().remove(0);
    assert_eq!((waits.state, waits.step, waits.tries), ("ready", 1, 0));
    assert_eq!((waits.due, why_waits(&waits)), (None, Some(why.clone())));

    test_service.reload(&running, &with).await;
    let settled = running.store.settled(3).await;
    assert_eq!(settled[2], Transition::Finish);
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 1, 1)]);
}

#[tokio::test]
async fn bucket_that_comes_back_while_it_is_stored_that_a_task_waits_for_it_is_not_missed() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(200).held()]).await;
    let (with, without) = archiving(&test_service, &sink);
    record(&test_service, "a.mp4");
    let running = test_service.start(&with, PATIENT).await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    test_service.reload(&running, &without).await;
    let applying = &running.store.applying;
    applying.arm();
    sink.release(1);
    applying.reached().await;
    // Next is the settlement of the rename, which found no archive.
    applying.arm();
    applying.release();
    applying.reached().await;
    test_service.reload(&running, &with).await;
    applying.release();
    let settled = running.store.settled(3).await;
    assert_eq!(settled[2], Transition::Finish);
    running.service.drain().await;
}
