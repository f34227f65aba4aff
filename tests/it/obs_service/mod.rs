//! A recording at OBS end to end: callback, rename, tag, notification.

mod extras;
mod faults;
mod grown;
mod lasting;
mod links;
mod many;
mod refused;

use crate::support::fake_obs::{FakeObs, Kind};
use crate::support::obs_recording::{ARCHIVE, ObsRecording, RECORDED};
use crate::support::obs_service::ObsService;

type Make = fn(&FakeObs) -> ObsRecording;

/// Every kind of recording on every kind of bucket.
const TAKES: [Make; 6] = [
    |_| ObsRecording::mp4(Kind::Objects, RECORDED),
    |_| ObsRecording::large(Kind::Objects, ARCHIVE),
    |obs| ObsRecording::hls(Kind::Objects, ARCHIVE, obs),
    |_| ObsRecording::mp4(Kind::FileSystem, RECORDED),
    |_| ObsRecording::large(Kind::FileSystem, ARCHIVE),
    |obs| ObsRecording::hls(Kind::FileSystem, RECORDED, obs),
];

#[tokio::test]
async fn recording_moves_whole_and_with_all_that_belongs_to_it() {
    for make in TAKES {
        let obs_service = ObsService::new(make).await;
        let at = format!("{} on {:?}", obs_service.take.name, obs_service.take.kind);
        obs_service.play(&at).await;
        obs_service.assert_done(&at);
        let task = obs_service.task();
        assert_eq!(
            task.outputs["rename"]["objects"],
            obs_service.take.objects()
        );
        assert_eq!(task.row.tries, 1, "{at}");
    }
}

#[tokio::test]
async fn single_object_takes_three_requests_besides_copy_verification_and_deletion() {
    let obs_service = ObsService::new(TAKES[0]).await;
    obs_service.play("mp4").await;
    assert_eq!(
        obs_service.obs.lines(0),
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
    let obs_service =
        ObsService::new(|_| ObsRecording::large(Kind::StrictFileSystem, RECORDED)).await;
    obs_service.play("large mp4").await;
    obs_service.assert_done("large mp4");
}

#[tokio::test]
async fn file_on_a_file_system_is_renamed_by_one_request() {
    let obs_service = ObsService::new(TAKES[3]).await;
    obs_service.play("mp4").await;
    let lines = obs_service.obs.lines(0);
    let renames = lines.iter().filter(|line| line.ends_with("&rename"));
    assert_eq!(renames.count(), 1, "{lines:#?}");
    assert!(
        !lines.iter().any(|line| line.ends_with("(copy)")),
        "{lines:#?}"
    );
}
