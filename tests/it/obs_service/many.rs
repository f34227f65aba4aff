//! Recordings of many segments.

use crate::support::fake_obs::Fault;
use crate::support::obs_recording::ObsRecording;
use crate::support::obs_service::ObsService;

/// A recording of 14 hours, at 2 s per segment.
const SEGMENTS: usize = 25_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_of_25000_segments_moves_with_one_request_each_and_goes_on_where_it_stopped() {
    let mut obs_service = ObsService::new(|_| ObsRecording::long_hls(SEGMENTS)).await;
    obs_service.obs.keep_nothing();
    // Tests with small recordings check after every mutation.
    obs_service.obs.after_every_mutation(|_| {});
    obs_service.bucket = "concurrency: 8";
    obs_service.part_above = "1MiB";
    let stopped = |line: &str| line.ends_with("/20000.ts (copy)");
    obs_service.obs.strike_first(
        move |request| stopped(&request.line()),
        Fault::Refuse(503, "ServiceUnavailable"),
    );
    obs_service.play("long").await;
    obs_service.assert_done("long");
    let lines = obs_service.obs.lines(0);
    let count = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    // The playlist is copied, too, and one segment twice.
    assert_eq!(count("(copy)"), SEGMENTS + 2);
    // For up to 16 copies in flight at the stop, the ACL is set again.
    let others = lines.len() - count("(copy)") - count("?acl");
    assert!(
        others < SEGMENTS / 80,
        "{others} requests in addition to the copies"
    );
    assert!(
        (2..=8).contains(&obs_service.obs.most()),
        "{} at a time",
        obs_service.obs.most()
    );
}
