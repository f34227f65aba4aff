//! Recordings of many segments.

use crate::support::fake_obs::Fault;
use crate::support::stage::Stage;
use crate::support::take::Take;

/// A recording of 14 hours, at 2 s per segment.
const SEGMENTS: usize = 25_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_of_25000_segments_moves_with_one_request_each_and_goes_on_where_it_stopped() {
    let mut stage = Stage::new(|_| Take::long_hls(SEGMENTS)).await;
    stage.obs.keep_nothing();
    // Tests with small recordings check after every mutation.
    stage.obs.after_every_mutation(|_| {});
    stage.bucket = "concurrency: 8";
    stage.part_above = "1MiB";
    let stopped = |line: &str| line.ends_with("/20000.ts (copy)");
    stage.obs.strike_first(
        move |request| stopped(&request.line()),
        Fault::Refuse(503, "ServiceUnavailable"),
    );
    stage.play("long").await;
    stage.assert_done("long");
    let lines = stage.obs.lines(0);
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
        (2..=8).contains(&stage.obs.most()),
        "{} at a time",
        stage.obs.most()
    );
}
