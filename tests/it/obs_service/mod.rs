//! A recording at OBS end to end: callback, rename, tag, notification.

mod belongings;
mod faults;
mod grown;
mod lasting;
mod links;
mod many;
mod refused;

use crate::support::fake_obs::{FakeObs, Kind};
use crate::support::stage::Stage;
use crate::support::take::{ARCHIVE, RECORDED, Take};

type Make = fn(&FakeObs) -> Take;

/// Every kind of recording on every kind of bucket.
const TAKES: [Make; 6] = [
    |_| Take::mp4(Kind::Objects, RECORDED),
    |_| Take::large(Kind::Objects, ARCHIVE),
    |obs| Take::hls(Kind::Objects, ARCHIVE, obs),
    |_| Take::mp4(Kind::FileSystem, RECORDED),
    |_| Take::large(Kind::FileSystem, ARCHIVE),
    |obs| Take::hls(Kind::FileSystem, RECORDED, obs),
];

#[tokio::test]
async fn recording_moves_whole_and_with_all_that_belongs_to_it() {
    for make in TAKES {
        let stage = Stage::new(make).await;
        let at = format!("{} on {:?}", stage.take.name, stage.take.kind);
        stage.play(&at).await;
        stage.assert_done(&at);
        let task = stage.task();
        assert_eq!(task.outputs["rename"]["objects"], stage.take.objects());
        assert_eq!(task.row.tries, 1, "{at}");
    }
}

#[tokio::test]
async fn single_object_takes_three_requests_besides_copy_verification_and_deletion() {
    let stage = Stage::new(TAKES[0]).await;
    stage.play("mp4").await;
    assert_eq!(
        stage.obs.lines(0),
        [
            "HEAD recorded/r/录 1.mp4",
            // Once per bucket and process.
            "HEAD recorded/",
            "GET recorded/r/录 1.mp4?acl",
            // Directly before the copy.
            "HEAD recorded/classes/class-7/b.mp4",
            "PUT recorded/classes/class-7/b.mp4 (copy)",
            "PUT recorded/classes/class-7/b.mp4?acl",
            // Both ends, directly before the deletion. In between, the mark is removed from the copy; only
            // a process's first copy carries one.
            "HEAD recorded/classes/class-7/b.mp4",
            "HEAD recorded/classes/class-7/b.mp4",
            "PUT recorded/classes/class-7/b.mp4?metadata",
            "HEAD recorded/r/录 1.mp4",
            "DELETE recorded/r/录 1.mp4",
            // The next step.
            "GET recorded/classes/class-7/b.mp4?tagging",
            "PUT recorded/classes/class-7/b.mp4?tagging",
        ]
    );
}

#[tokio::test]
async fn large_file_on_a_file_system_is_renamed_like_any_other() {
    let stage = Stage::new(|_| Take::large(Kind::StrictFileSystem, RECORDED)).await;
    stage.play("large mp4").await;
    stage.assert_done("large mp4");
}

#[tokio::test]
async fn file_on_a_file_system_is_renamed_by_one_request() {
    let stage = Stage::new(TAKES[3]).await;
    stage.play("mp4").await;
    let lines = stage.obs.lines(0);
    let renames = lines.iter().filter(|line| line.ends_with("&rename"));
    assert_eq!(renames.count(), 1, "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.ends_with("(copy)")),
        "{lines:#?}"
    );
}
