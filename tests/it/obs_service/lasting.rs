//! Permanent faults: the task is dead, says which objects are left where, and can be retried.

use std::sync::atomic::{AtomicBool, Ordering};

use aftertake::clock;

use super::TAKES;
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::obs_service::ObsService;
use crate::support::operator::OneTask;

/// A service whose matching requests are always refused.
async fn refusing(take: usize, wanted: fn(&Recorded) -> bool) -> ObsService {
    let mut obs_service = ObsService::new(TAKES[take]).await;
    obs_service.tries = 2;
    let denied = Fault::Refuse(403, "AccessDenied");
    obs_service.obs.strike_every(wanted, denied);
    let service = obs_service.serve().await;
    obs_service.announce(&service).await;
    obs_service.obs.asked(wanted).await;
    service.drain().await;
    obs_service
}

/// Removes all faults and retries the task as a person does.
async fn retried(obs_service: &ObsService) {
    obs_service.obs.calm();
    let mut operator = obs_service.operator();
    operator
        .retry_one(obs_service.task().row.id, clock::now())
        .unwrap();
    let service = obs_service.serve().await;
    obs_service.told(1, "retried").await;
    service.drain().await;
    obs_service.assert_done("retried");
}

/// The task is not dead while its copies exist: it says what is left. Once the fault is removed it
/// deletes the copies and dies with the original failure.
async fn ends_once_nothing_is_left(obs_service: &ObsService, left: &str) {
    let row = obs_service.task().row;
    assert_eq!(row.state, "ready");
    let leaves = row.leaves.unwrap_or_default();
    assert!(leaves.contains(left), "{leaves}");
    assert!(row.failure.unwrap().reason.contains("AccessDenied"));
    obs_service.obs.calm();
    let ended = Gate::new();
    let removes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
    obs_service
        .obs
        .strike_first(removes, Fault::HoldAfter(ended.clone()));
    let service = obs_service.serve().await;
    ended.reached().await;
    ended.open();
    service.drain().await;
    assert!(obs_service.reason().contains("AccessDenied"));
    assert_eq!(obs_service.task().row.leaves, None);
    obs_service
        .obs
        .world(|world| obs_service.take.assert_untouched(world, "dead"));
    retried(obs_service).await;
}

#[tokio::test]
async fn refused_deletion_is_dead_with_the_recording_at_its_target_and_the_old_objects_named() {
    for (take, left) in [
        (0, "its old object may be left at recorded/r/录 1.mp4"),
        (2, "but old objects may be left at recorded/r/x/"),
    ] {
        let deletes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
        let obs_service = refusing(take, deletes).await;
        let (reason, target) = (obs_service.reason(), &obs_service.take.to);
        let at = format!("the recording is at {}/{target}", obs_service.take.bucket);
        assert!(reason.contains(&at), "{reason}");
        assert!(reason.contains(left), "{reason}");
        assert!(reason.contains("request id FAKE"), "{reason}");
        assert_eq!(obs_service.task().place.unwrap().key, *target);
        retried(&obs_service).await;
    }
}

#[tokio::test]
async fn refused_tagging_is_dead_after_the_move() {
    let tags = |request: &Recorded| request.method == "PUT" && request.has("tagging");
    let obs_service = refusing(0, tags).await;
    let reason = obs_service.reason();
    assert!(
        reason.contains("tag \"classes/class-7/b.mp4\" in bucket \"recorded\""),
        "{reason}"
    );
    assert_eq!(obs_service.task().place.unwrap().key, obs_service.take.to);
    retried(&obs_service).await;
}

#[tokio::test]
async fn refused_copy_leaves_everything_where_it_was() {
    for take in [0, 1, 2] {
        let copies = |request: &Recorded| request.line().ends_with("(copy)");
        let obs_service = refusing(take, copies).await;
        let reason = obs_service.reason();
        assert!(reason.contains("AccessDenied"), "{reason}");
        obs_service
            .obs
            .world(|world| obs_service.take.assert_untouched(world, "dead"));
        retried(&obs_service).await;
    }
}

#[tokio::test]
async fn copies_that_cannot_be_removed_are_named() {
    // The third segment cannot be copied, and the copies cannot be deleted.
    let refused = |request: &Recorded| {
        let third = request.line().ends_with("(copy)") && request.key.ends_with("/3.ts");
        third || request.has("delete") || request.method == "DELETE"
    };
    let obs_service = refusing(2, refused).await;
    let left = "the recording is at recorded/r/x/a.m3u8, but copies may be left at archive/classes/class-7/";
    ends_once_nothing_is_left(&obs_service, left).await;
}

#[tokio::test]
async fn limit_that_ended_a_task_is_named_also_while_its_copies_cannot_be_removed() {
    let mut obs_service = ObsService::new(TAKES[2]).await;
    obs_service.tries = 2;
    let third =
        |request: &Recorded| request.line().ends_with("(copy)") && request.key.ends_with("/3.ts");
    let deletes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
    let busy = Fault::Refuse(503, "ServiceUnavailable");
    obs_service.obs.strike_every(third, busy);
    obs_service
        .obs
        .strike_every(deletes, Fault::Refuse(403, "AccessDenied"));
    let service = obs_service.serve().await;
    obs_service.announce(&service).await;
    obs_service.obs.asked(deletes).await;
    service.drain().await;
    let row = obs_service.task().row;
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
    let obs_service = refusing(1, refused).await;
    assert_eq!(obs_service.obs.world(|world| world.open_uploads()), 1);
    let left = "an upload to archive/classes/class-7/b.mp4 is open";
    ends_once_nothing_is_left(&obs_service, left).await;
}

#[tokio::test]
async fn wrong_credentials_are_tried_again_later_and_not_final() {
    let denied = Fault::Refuse(403, "InArrearOrInsufficientBalance");
    let mut obs_service = ObsService::new(TAKES[0]).await;
    obs_service.tries = 20;
    obs_service.obs.strike_first(|_| true, denied);
    obs_service.play("arrears").await;
    obs_service.assert_done("arrears");
    let failure = format!("{:?}", obs_service.task().attempts[0].outcome);
    assert!(
        failure.contains("Credentials") && failure.contains("topped up"),
        "{failure}"
    );
}

#[tokio::test]
async fn cancelled_copy_leaves_nothing() {
    let obs_service = ObsService::new(TAKES[1]).await;
    let (third, ended) = (Gate::new(), Gate::new());
    obs_service.obs.strike_first(
        |request| request.value("partNumber") == Some("3"),
        Fault::HoldAfter(third.clone()),
    );
    let service = obs_service.serve_killable().await;
    obs_service.announce(service.service()).await;
    third.reached().await;
    service.kill().await;
    let mut operator = obs_service.operator();
    operator
        .cancel_one(obs_service.task().row.id, clock::now())
        .unwrap();

    let ends = |request: &Recorded| request.method == "DELETE" && request.has("uploadId");
    obs_service
        .obs
        .strike_first(ends, Fault::HoldAfter(ended.clone()));
    let service = obs_service.serve().await;
    ended.reached().await;
    ended.open();
    service.drain().await;
    assert_eq!(obs_service.task().row.state, "cancelled");
    obs_service
        .obs
        .world(|world| obs_service.take.assert_untouched(world, "cancelled"));
}

#[tokio::test]
async fn rename_whose_task_dies_before_its_answer_is_known_is_at_its_target() {
    let mut obs_service = ObsService::new(TAKES[3]).await;
    obs_service.tries = 1;
    // The response is lost, and the request after it is refused.
    let renamed = AtomicBool::new(false);
    let looks = move |request: &Recorded| renamed.fetch_or(request.has("rename"), Ordering::SeqCst);
    let denied = Fault::Refuse(403, "AccessDenied");
    obs_service.obs.strike_first(looks, denied);
    let lost = Fault::RefuseAfter(500, "InternalError");
    obs_service
        .obs
        .strike_first(|request| request.has("rename"), lost);
    obs_service.play_once().await;
    assert!(obs_service.reason().contains("AccessDenied"));
    assert!(!obs_service.reason().contains("copies are left"));
    assert_eq!(obs_service.task().place.unwrap().key, obs_service.take.to);
    retried(&obs_service).await;
}
