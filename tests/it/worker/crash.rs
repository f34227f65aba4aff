//! Steps that panic, and a rename that dies after its commit.

use std::sync::Arc;

use aftertake::clock;
use aftertake::model::attempt::Outcome;
use aftertake::model::destination::Destination;
use aftertake::model::failure::FailureKind;
use aftertake::model::transition::Transition;
use aftertake::outbound::{Answer, NoAnswer, Outbound, Request};
use aftertake::store::operator::Operator;
use async_trait::async_trait;
use http::{HeaderMap, StatusCode};

use crate::support::faults::{How, Which};
use crate::support::folder_buckets::{FolderBuckets, RENAMING};
use crate::support::operator::OneTask;
use crate::support::recording::{Recording, place};
use crate::support::test_service::PATIENT;
use crate::support::test_workers::{TestWorkers, reach};

/// Panics for the destination `broken`; all others accept everything.
struct Fragile;

#[async_trait]
impl Outbound for Fragile {
    async fn send(&self, destination: &Destination, _: Request) -> Result<Answer, NoAnswer> {
        assert_ne!(destination.name, "broken", "a bug");
        Ok(Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
        })
    }
}

const RULES: &str = "
destinations: { broken: { url: 'https://a.example.com', concurrency: 1 }, lms: { url: 'https://b.example.com' } }
retry: { first: 1ms, longest: 1ms, tries: 2 }
rules: [{ name: a, steps: [{ notify: broken }] }, { name: b, steps: [{ notify: lms }] }]
";

#[tokio::test]
async fn step_that_panics_fails_that_try_and_nothing_else() {
    let test_workers = TestWorkers::new(RULES, reach(RULES, Arc::new(Fragile))).await;
    let tasks = test_workers.record("a.mp4").await;
    test_workers.workers.start();
    test_workers.store.settled(3).await;
    // The lane has room for one; it is free again after each panic.
    test_workers.record("b.mp4").await;
    test_workers.store.settled(6).await;
    test_workers.workers.drain(PATIENT).await;

    let states: Vec<_> = test_workers
        .test_service
        .tasks()
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, ["dead", "done", "dead", "done"]);
    let dead = test_workers
        .test_service
        .operator()
        .task(tasks[0])
        .unwrap()
        .unwrap();
    assert_eq!(dead.attempts.len(), 2);
    for attempt in &dead.attempts {
        let Outcome::Failed(failure) = &attempt.outcome else {
            panic!("{attempt:?} has not failed");
        };
        assert_eq!(failure.kind, FailureKind::Panic);
        assert!(
            failure.reason.starts_with("the step crashed: "),
            "{failure}"
        );
        // The panic's message is left out: it may contain parts of the request.
        assert!(!failure.reason.contains("a bug"), "{failure}");
    }
}

#[tokio::test]
async fn rename_that_panics_is_taken_up_by_the_next_try() {
    let (recording, from) = (Recording::hls(), place("recorded", "r/a.m3u8"));
    let world = FolderBuckets::new();
    world.record(&recording, &from).await;
    world.gate.break_at(Which::First("copy"), How::Panics);
    let test_workers = TestWorkers::new(RENAMING, world.reach()).await;
    test_workers.record(&from.key).await;
    test_workers.workers.start();
    let settled = test_workers.store.settled(2).await;
    test_workers.workers.drain(PATIENT).await;

    let [Transition::RetryAfter { why, .. }, Transition::Finish] = &settled[..] else {
        panic!("{settled:?}");
    };
    assert_eq!(why.kind, FailureKind::Panic);
    let to = place("archive", "classes/class-7/a.m3u8");
    world.assert_only(&recording, &to).await;
}

#[tokio::test]
async fn copies_are_kept_when_the_last_try_fails_after_its_commit() {
    let (recording, from) = (Recording::hls(), place("recorded", "r/a.m3u8"));
    let to = place("archive", "classes/class-7/a.m3u8");
    let world = FolderBuckets::new();
    world.record(&recording, &from).await;
    world.gate.break_at(Which::First("delete"), How::Fails);
    let rules = RENAMING.replace("tries: 3", "tries: 1");
    let test_workers = TestWorkers::new(&rules, world.reach()).await;
    let task = test_workers.record(&from.key).await[0];
    test_workers.workers.start();
    let settled = test_workers.store.settled(1).await;
    assert!(matches!(&settled[..], [Transition::Bury { .. }]));
    assert!(world.is_whole(&recording, &to));

    world.gate.mend();
    let operator = &mut test_workers.test_service.operator();
    operator.retry_one(task, clock::now()).unwrap();
    test_workers.workers.lanes().waker().wake();
    test_workers.store.settled(2).await;
    test_workers.workers.drain(PATIENT).await;
    world.assert_only(&recording, &to).await;
}
