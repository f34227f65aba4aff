//! A wrong clock that is corrected while the workers run.

use std::sync::Arc;
use std::time::Duration;

use aftertake::clock::Clock;
use aftertake::model::attempt::{AttemptRecord, Outcome};
use aftertake::model::breaker::LaneChange;
use aftertake::model::failure::FailureKind;
use aftertake::outbound::Guarded;

use crate::support::folder_buckets::FolderBuckets;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::PATIENT;
use crate::support::test_workers::{TestWorkers, reach};
use crate::support::wall::Wall;

const YEAR: i64 = 24 * 365;

/// One destination whose breaker stays open for at most an hour, and tasks that are retried after
/// an hour.
fn rules(sink: &Sink, failures: u32) -> String {
    format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true, breaker: {{ failures: {failures}, longest: 1h }} }} }}\n\
         retry: {{ first: 1h, factor: 1, longest: 1h, jitter: none }}\n\
         rules: [{{ name: announce, steps: [{{ notify: lms }}] }}]\n",
        sink.url("/hook"),
    )
}

async fn test_workers(rules: &str, wall: &Arc<Wall>) -> TestWorkers {
    let reach = reach(rules, Arc::new(Guarded::new()));
    TestWorkers::timed(rules, reach, Arc::clone(wall) as Arc<dyn Clock>).await
}

#[tokio::test]
async fn retry_comes_on_time_although_the_clock_was_a_year_ahead() {
    let wall = Wall::ahead(YEAR);
    let sink = Sink::start([Reply::status(503)]).await;
    let test_workers = test_workers(&rules(&sink, 5), &wall).await;
    test_workers.workers.start();
    test_workers.record("a.mp4").await;
    test_workers.store.settled(1).await;
    wall.set(0);
    let in_an_hour = || wall.now().plus(Duration::from_hours(1));
    // A poll that began before the task was stored sees it slightly in the future.
    let mut corrections = 0;
    while test_workers.test_service.tasks()[0].due.unwrap() > in_an_hour() {
        corrections += 1;
        test_workers.store.corrected(corrections).await;
    }
    wall.set(1);
    sink.received(2).await;
    test_workers.workers.drain(PATIENT).await;
    assert_eq!(test_workers.test_service.states(), [("done", 0, 2)]);
}

/// It is waited for as if it had arrived when the clock was corrected, and not for a year.
#[tokio::test]
async fn recording_of_a_clock_that_was_ahead_is_missing_once_its_grace_is_over() {
    let wall = Wall::ahead(YEAR);
    let mut world = FolderBuckets::new();
    world.configure("recorded", |bucket| {
        bucket.source_grace = Duration::from_mins(30);
    });
    let rules = format!(
        "buckets: {{ recorded: {{ store: folder, path: {:?} }} }}\n\
         retry: {{ first: 1h, factor: 1, longest: 1h, jitter: none }}\n\
         rules: [{{ name: keep, steps: [{{ rename: {{ to: kept/ }} }}] }}]\n",
        world.path("recorded"),
    );
    let test_workers =
        TestWorkers::timed(&rules, world.reach(), Arc::clone(&wall) as Arc<dyn Clock>).await;
    test_workers.workers.start();
    test_workers.record("a.mp4").await;
    test_workers.store.settled(1).await;
    wall.set(0);
    let in_an_hour = || wall.now().plus(Duration::from_hours(1));
    let due = || test_workers.test_service.only().row.due;
    let is_corrected = || due().is_some_and(|due| due <= in_an_hour());
    assert!(test_workers.store.comes_true(is_corrected).await);
    for (hour, tries) in [(1, 2), (2, 3)] {
        wall.set(hour);
        test_workers.store.settled(tries).await;
    }
    test_workers.workers.drain(PATIENT).await;
    let task = test_workers.test_service.only();
    assert_eq!(task.row.state, "dead", "{task:?}");
    let kinds: Vec<_> = task.attempts.iter().map(failure).collect();
    let waits = Some(FailureKind::NotThereYet);
    assert_eq!(kinds, [waits, waits, Some(FailureKind::Missing)]);
}

fn failure(attempt: &AttemptRecord) -> Option<FailureKind> {
    match &attempt.outcome {
        Outcome::Failed(failure) => Some(failure.kind),
        _ => None,
    }
}

#[tokio::test]
async fn next_probe_follows_the_clock_after_it_was_set() {
    let wall = Wall::ahead(YEAR);
    let later = Reply::status(503).header("retry-after", "1800");
    let sink = Sink::start([later]).await;
    let test_workers = test_workers(&rules(&sink, 1), &wall).await;
    test_workers.workers.start();
    test_workers.record("a.mp4").await;
    test_workers.store.settled(1).await;
    wall.set(0);
    let told = loop {
        let mut changes = test_workers.store.lane_changes(1).await;
        match changes.pop() {
            Some(LaneChange::Opened(open)) if open.probe_at < wall.now().plus(open.wait * 2) => {
                break open;
            }
            _ => tokio::task::yield_now().await,
        }
    };
    assert!(told.probe_at > wall.now());
    test_workers.workers.drain(PATIENT).await;
    assert_eq!(sink.count(), 1);
}
