//! The limits that end a failing task.

use aftertake::model::transition::Transition;

use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, TestService};

#[tokio::test]
async fn dead_task_says_which_limit_ended_it() {
    for (retry, limit) in [
        ("tries: 2", "all 2 tries are spent (retry.tries)"),
        (
            "tries: 1000, give_up_after: 5ms",
            "5ms are over (retry.give_up_after)",
        ),
    ] {
        let test_service = TestService::new();
        let sink = Sink::start(std::iter::repeat_n(Reply::status(503), 1000)).await;
        let rules = format!(
            "destinations: {{ lms: {{ url: '{}', allow_private: true, breaker: {{ failures: 1000 }} }} }}\n\
             rules: [{{ name: announce, retry: {{ first: 1ms, longest: 1ms, {retry} }}, steps: [{{ notify: lms }}] }}]\n",
            sink.url("/"),
        );
        let running = test_service.start(&rules, PATIENT).await;
        running.front.announce("a.mp4").await;
        let mut settled = 1;
        while !matches!(
            running.store.settled(settled).await.last(),
            Some(Transition::Bury { .. })
        ) {
            settled += 1;
        }
        running.service.drain().await;
        let task = test_service.tasks().remove(0);
        let reason = format!("destination lms answered 503 Service Unavailable; gave up: {limit}");
        assert_eq!((task.state, task.failure.unwrap().reason), ("dead", reason));
    }
}

/// A recorder may announce an object minutes before it writes it. The bucket's `source_grace` limits the
/// wait, not the number of tries.
#[tokio::test]
async fn object_that_is_late_is_waited_for_however_few_tries_there_are() {
    let test_service = TestService::new();
    let folder = test_service.rules().parent().unwrap().join("recorded");
    std::fs::create_dir(&folder).unwrap();
    let rules = format!(
        "buckets: {{ recorded: {{ store: folder, path: '{}', source_grace: 1h }} }}\n\
         rules: [{{ name: keep, retry: {{ first: 1ms, longest: 1ms, tries: 2 }}, \
         steps: [{{ tag: {{ tags: {{ a: b }} }} }}, {{ rename: {{ to: 'kept/' }} }}] }}]\n",
        folder.display()
    );
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("r/a.mp4").await;
    for tries in running.store.settled(5).await {
        assert!(matches!(tries, Transition::Await { .. }), "{tries:?}");
    }
    std::fs::create_dir(folder.join("r")).unwrap();
    std::fs::write(folder.join("r/a.mp4"), "content").unwrap();
    let is_done = || test_service.tasks()[0].state == "done";
    assert!(running.store.comes_true(is_done).await);
    running.service.drain().await;
    assert!(folder.join("kept/a.mp4").exists());
}
