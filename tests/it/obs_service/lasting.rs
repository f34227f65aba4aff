//! Permanent faults: the task is dead, says which objects are left where, and can be retried.

use std::sync::atomic::{AtomicBool, Ordering};

use aftertake::clock;
use aftertake::store::sqlite::SqliteOperator;

use super::TAKES;
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::operator::OneTask;
use crate::support::stage::Stage;

/// A service whose matching requests are always refused.
async fn refusing(take: usize, wanted: fn(&Recorded) -> bool) -> Stage {
    let mut stage = Stage::new(TAKES[take]).await;
    stage.tries = 2;
    let denied = Fault::Refuse(403, "AccessDenied");
    stage.obs.strike_every(wanted, denied);
    let service = stage.serve().await;
    stage.announce(&service).await;
    stage.obs.asked(wanted).await;
    service.drain().await;
    stage
}

/// Removes all faults and retries the task as a person does.
async fn retried(stage: &Stage) {
    stage.obs.calm();
    let mut operator = SqliteOperator::open(&stage.store()).unwrap();
    operator
        .retry_one(stage.task().row.id, clock::now())
        .unwrap();
    let service = stage.serve().await;
    stage.told(1, "retried").await;
    service.drain().await;
    stage.assert_done("retried");
}

/// The task is not dead while its copies exist: it says what is left. Once the fault is removed it
/// deletes the copies and dies with the original failure.
async fn ends_once_nothing_is_left(stage: &Stage, left: &str) {
    let row = stage.task().row;
    assert_eq!(row.state, "ready");
    let leaves = row.leaves.unwrap_or_default();
    assert!(leaves.contains(left), "{leaves}");
    assert!(row.failure.unwrap().reason.contains("AccessDenied"));
    stage.obs.calm();
    let ended = Gate::new();
    let removes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
    stage
        .obs
        .strike_first(removes, Fault::HoldAfter(ended.clone()));
    let service = stage.serve().await;
    ended.reached().await;
    ended.open();
    service.drain().await;
    assert!(stage.reason().contains("AccessDenied"));
    assert_eq!(stage.task().row.leaves, None);
    stage
        .obs
        .world(|world| stage.take.assert_untouched(world, "dead"));
    retried(stage).await;
}

#[tokio::test]
async fn refused_deletion_is_dead_with_the_recording_at_its_target_and_the_old_objects_named() {
    for (take, left) in [
        (0, "its old object may be left at recorded/r/录 1.mp4"),
        (2, "but old objects may be left at recorded/r/x/"),
    ] {
        let deletes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
        let stage = refusing(take, deletes).await;
        let (reason, target) = (stage.reason(), &stage.take.to);
        let at = format!("the recording is at {}/{target}", stage.take.bucket);
        assert!(reason.contains(&at), "{reason}");
        assert!(reason.contains(left), "{reason}");
        assert!(reason.contains("request id FAKE"), "{reason}");
        assert_eq!(stage.task().place.unwrap().key, *target);
        retried(&stage).await;
    }
}

#[tokio::test]
async fn refused_tagging_is_dead_after_the_move() {
    let tags = |request: &Recorded| request.method == "PUT" && request.has("tagging");
    let stage = refusing(0, tags).await;
    let reason = stage.reason();
    assert!(
        reason.contains("tag \"classes/class-7/b.mp4\" in bucket \"recorded\""),
        "{reason}"
    );
    assert_eq!(stage.task().place.unwrap().key, stage.take.to);
    retried(&stage).await;
}

#[tokio::test]
async fn refused_copy_leaves_everything_where_it_was() {
    for take in [0, 1, 2] {
        let copies = |request: &Recorded| request.line().ends_with("(copy)");
        let stage = refusing(take, copies).await;
        let reason = stage.reason();
        assert!(reason.contains("AccessDenied"), "{reason}");
        stage
            .obs
            .world(|world| stage.take.assert_untouched(world, "dead"));
        retried(&stage).await;
    }
}

#[tokio::test]
async fn copies_that_cannot_be_removed_are_named() {
    // The third segment cannot be copied, and the copies cannot be deleted.
    let refused = |request: &Recorded| {
        let third = request.line().ends_with("(copy)") && request.key.ends_with("/3.ts");
        third || request.has("delete") || request.method == "DELETE"
    };
    let stage = refusing(2, refused).await;
    let left = "the recording is at recorded/r/x/a.m3u8, but copies may be left at archive/classes/class-7/";
    ends_once_nothing_is_left(&stage, left).await;
}

#[tokio::test]
async fn limit_that_ended_a_task_is_named_also_while_its_copies_cannot_be_removed() {
    let mut stage = Stage::new(TAKES[2]).await;
    stage.tries = 2;
    let third =
        |request: &Recorded| request.line().ends_with("(copy)") && request.key.ends_with("/3.ts");
    let deletes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
    let busy = Fault::Refuse(503, "ServiceUnavailable");
    stage.obs.strike_every(third, busy);
    stage
        .obs
        .strike_every(deletes, Fault::Refuse(403, "AccessDenied"));
    let service = stage.serve().await;
    stage.announce(&service).await;
    stage.obs.asked(deletes).await;
    service.drain().await;
    let row = stage.task().row;
    assert!(row.leaves.is_some());
    let reason = row.failure.unwrap().reason;
    let limit = "; gave up: all 2 tries are spent (retry.tries)";
    assert!(reason.ends_with(limit), "{reason}");
}

#[tokio::test]
async fn upload_that_cannot_be_ended_is_named_and_ended_by_the_retry() {
    let refused = |request: &Recorded| {
        request.has("partNumber") || (request.method == "DELETE" && request.has("uploadId"))
    };
    let stage = refusing(1, refused).await;
    assert_eq!(stage.obs.world(|world| world.open_uploads()), 1);
    let left = "an upload to archive/classes/class-7/b.mp4 is open";
    ends_once_nothing_is_left(&stage, left).await;
}

#[tokio::test]
async fn wrong_credentials_are_tried_again_later_and_not_final() {
    let denied = Fault::Refuse(403, "InArrearOrInsufficientBalance");
    let mut stage = Stage::new(TAKES[0]).await;
    stage.tries = 20;
    stage.obs.strike_first(|_| true, denied);
    stage.play("arrears").await;
    stage.assert_done("arrears");
    let failure = format!("{:?}", stage.task().attempts[0].outcome);
    assert!(
        failure.contains("Credentials") && failure.contains("topped up"),
        "{failure}"
    );
}

#[tokio::test]
async fn cancelled_copy_leaves_nothing() {
    let stage = Stage::new(TAKES[1]).await;
    let (third, ended) = (Gate::new(), Gate::new());
    stage.obs.strike_first(
        |request| request.value("partNumber") == Some("3"),
        Fault::HoldAfter(third.clone()),
    );
    let service = stage.serve_killable().await;
    stage.announce(service.service()).await;
    third.reached().await;
    service.kill().await;
    let mut operator = SqliteOperator::open(&stage.store()).unwrap();
    operator
        .cancel_one(stage.task().row.id, clock::now())
        .unwrap();

    let ends = |request: &Recorded| request.method == "DELETE" && request.has("uploadId");
    stage
        .obs
        .strike_first(ends, Fault::HoldAfter(ended.clone()));
    let service = stage.serve().await;
    ended.reached().await;
    ended.open();
    service.drain().await;
    assert_eq!(stage.task().row.state, "cancelled");
    stage
        .obs
        .world(|world| stage.take.assert_untouched(world, "cancelled"));
}

#[tokio::test]
async fn rename_whose_task_dies_before_its_answer_is_known_is_at_its_target() {
    let mut stage = Stage::new(TAKES[3]).await;
    stage.tries = 1;
    // The response is lost, and the request after it is refused.
    let renamed = AtomicBool::new(false);
    let looks = move |request: &Recorded| renamed.fetch_or(request.has("rename"), Ordering::SeqCst);
    let denied = Fault::Refuse(403, "AccessDenied");
    stage.obs.strike_first(looks, denied);
    let lost = Fault::RefuseAfter(500, "InternalError");
    stage
        .obs
        .strike_first(|request| request.has("rename"), lost);
    stage.play_once().await;
    assert!(stage.reason().contains("AccessDenied"));
    assert!(!stage.reason().contains("copies are left"));
    assert_eq!(stage.task().place.unwrap().key, stage.take.to);
    retried(&stage).await;
}
