//! The directory of a folder bucket is away while a recording is half moved: nobody knows what is in
//! it, so nothing counts as gone or undone, and the move goes on when it is back.

use std::time::Duration;

use aftertake::clock;
use aftertake::model::moves::MovePhase;
use aftertake::model::recording::Place;
use aftertake::store::Store;
use aftertake::store::lists::TaskDetail;
use aftertake::store::operator::CancelOutcome;

use crate::support::folder_buckets::{FolderBuckets, Instead, RENAMING};
use crate::support::in_time;
use crate::support::operator::OneTask;
use crate::support::recording::{Recording, place};
use crate::support::test_service::PATIENT;
use crate::support::test_workers::TestWorkers;

fn from() -> Place {
    place("recorded", "r/a.m3u8")
}

fn to() -> Place {
    place("archive", "classes/class-7/a.m3u8")
}

/// A rename that is held before its first operation of a name, while a directory is taken away.
struct Away {
    world: FolderBuckets,
    test_workers: TestWorkers,
    bucket: &'static str,
}

impl Away {
    async fn amid(operation: &'static str, bucket: &'static str, instead: Instead) -> Self {
        let world = FolderBuckets::new().known();
        world.use_once("archive").await;
        world.record(&Recording::hls(), &from()).await;
        // What is given up is not tried again before the directory is back.
        let rules = RENAMING.replace("longest: 1ms", "longest: 1h");
        let test_workers = TestWorkers::new(&rules, world.reach()).await;
        let states = test_workers.workers.lanes().states();
        let known = states.into_iter().map(|(lane, _)| lane).collect();
        test_workers.store.mark_unknown_lanes(known).await.unwrap();
        test_workers.record(&from().key).await;
        world.gate.hold(operation);
        test_workers.workers.start();
        world.gate.held().await;
        world.take_away(bucket, instead);
        Self {
            world,
            test_workers,
            bucket,
        }
    }

    async fn cancel(&self) {
        let service = &self.test_workers.test_service;
        let task = service.only().row.id;
        let asked = service.operator().cancel_one(task, clock::now()).unwrap();
        assert_eq!(asked, CancelOutcome::Requested);
        self.test_workers.store.cancels(1).await;
    }

    /// Lets the rename go on, and asserts that it waits and nothing counts as undone.
    async fn waiting(&self, at: &str) -> TaskDetail {
        self.world.gate.release();
        self.test_workers.store.settled(1).await;
        let task = self.test_workers.test_service.only();
        assert_eq!(task.row.state, "ready", "{at}: {task:?}");
        let undone = task
            .moves
            .iter()
            .filter(|one| one.phase == MovePhase::Undone);
        assert_eq!(undone.count(), 0, "{at}: {task:?}");
        assert_eq!(self.world.files(self.bucket), [""; 0], "{at}");
        task
    }

    fn assert_held(&self, at: &str) {
        let listed = self.aftertake(&["destinations", "list"]);
        let lane = format!("bucket/{}", self.bucket);
        let row = listed.lines().find(|row| row.starts_with(&lane));
        let row = row.unwrap_or_else(|| panic!("{at}: {listed}"));
        assert!(row.contains("open") && row.contains("director"), "{row}");
    }

    fn resume(&self) {
        self.aftertake(&["destinations", "resume", &format!("bucket/{}", self.bucket)]);
    }

    /// Waits for the task's end; returns its state.
    async fn end(&self) -> &'static str {
        let workers = &self.test_workers.workers;
        let ended = async {
            loop {
                let state = self.test_workers.test_service.only().row.state;
                if !matches!(state, "ready" | "running") {
                    return state;
                }
                // It is due within an hour; a person need not wait for that.
                let later = clock::present().plus(Duration::from_hours(2));
                workers.claim_once(later).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let state = in_time(ended).await;
        workers.drain(PATIENT).await;
        state
    }

    fn aftertake(&self, args: &[&str]) -> String {
        self.test_workers.test_service.aftertake(args)
    }
}

fn cases() -> impl Iterator<Item = (&'static str, Instead)> {
    let buckets = ["recorded", "archive"].into_iter();
    buckets.flat_map(|bucket| Instead::ALL.map(|instead| (bucket, instead)))
}

#[tokio::test]
async fn half_moved_recording_goes_on_when_its_bucket_is_back() {
    for operation in ["copy", "delete"] {
        for (bucket, instead) in cases() {
            let at = format!("{operation}, {bucket}, {instead:?}");
            let away = Away::amid(operation, bucket, instead).await;
            let task = away.waiting(&at).await;
            assert_eq!(task.row.tries, 0, "{at}: {task:?}");
            away.assert_held(&at);
            away.world.bring_back(bucket);
            away.resume();
            assert_eq!(away.end().await, "done", "{at}");
            away.world.assert_only(&Recording::hls(), &to()).await;
        }
    }
}

#[tokio::test]
async fn copies_that_cannot_be_seen_are_undone_when_their_bucket_is_back() {
    for (bucket, instead) in cases() {
        let at = format!("{bucket}, {instead:?}");
        let away = Away::amid("copy", bucket, instead).await;
        away.cancel().await;
        let task = away.waiting(&at).await;
        assert!(task.row.leaves.is_some(), "{at}: {task:?}");
        away.world.bring_back(bucket);
        assert_eq!(away.end().await, "cancelled", "{at}");
        away.world.assert_only(&Recording::hls(), &from()).await;
    }
}
