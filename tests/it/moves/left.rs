//! Copies that a task could not remove: an operator sees them, and they are removed later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aftertake::clock;
use aftertake::model::bucket::Timeouts;
use aftertake::model::id::TaskId;

use super::film::Film;
use super::process::is_settled;
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Recorded, World};
use crate::support::obs_recording::{ARCHIVE, RECORDED};
use crate::support::operator::OneTask;

const RULES: &str = "[{ name: keep, steps: [{ rename: { to: 'kept/', bucket: archive } }] }]";

/// The copies that remain when the service is killed during them.
const COPIES: [&str; 3] = [
    "archive/kept/1.ts",
    "archive/kept/2.ts",
    "archive/kept/3.ts",
];

/// Asserts that `tasks show`, `tasks list --leaves` and the metrics report exactly these copies, each
/// list once.
fn assert_told(scene: &Scene, film: &Film, copies: &[&str], metrics: &str) {
    let task = scene.task(film);
    let shown = scene.show(&task);
    let leaves = shown.lines().find(|line| line.starts_with("  leaves "));
    let leaves = leaves.unwrap_or_else(|| panic!("{shown}"));
    let listed = scene.test_service.aftertake(&["tasks", "list", "--leaves"]);
    let listed = listed
        .lines()
        .find(|line| line.contains(&task.id.to_string()));
    let listed = listed.unwrap_or_else(|| panic!("{shown}"));
    for told in [leaves, listed] {
        for copy in copies {
            assert_eq!(told.matches(copy).count(), 1, "{copy}: {told}");
        }
        assert!(!told.contains("0 more"), "{told}");
    }
    let counts =
        |line: &str| line.contains("left") && !line.starts_with('#') && !line.ends_with(" 0");
    assert!(metrics.lines().any(counts), "{metrics}");
}

fn is_gone(scene: &Scene) -> bool {
    scene.objects().keys().all(|place| place.bucket != ARCHIVE)
}

/// Announces the film and kills the service after its third copy, so that all three remain; returns
/// the task.
async fn killed_amid_copies(scene: &Scene, film: &Film) -> TaskId {
    let gate = Gate::new();
    scene
        .obs
        .strike_after(2, Recorded::is_copy, Fault::HoldAfter(gate.clone()));
    let life = scene.serve().await;
    life.announce(film).await;
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    scene.task(film).id
}

#[tokio::test]
async fn copies_of_a_task_cancelled_while_their_bucket_is_gone_are_reported_and_removed() {
    let film = Film::hls("left", "r/x/i.m3u8", 3);
    let mut scene = Scene::new(RULES).await;
    scene.record(&film);
    scene.guard(std::slice::from_ref(&film));
    let id = killed_amid_copies(&scene, &film).await;
    scene
        .test_service
        .operator()
        .cancel_one(id, clock::now())
        .unwrap();

    let rules = std::mem::replace(
        &mut scene.rules,
        "[{ name: other, steps: [{ notify: lms }] }]".to_owned(),
    );
    scene.buckets = vec![RECORDED];
    let life = scene.serve().await;
    life.rest_or_wait("without the bucket").await;
    let metrics = life.front().ask("/metrics").await;
    assert!(!is_gone(&scene));
    assert_told(&scene, &film, &COPIES, &metrics);
    life.stop().await;

    (scene.rules, scene.buckets) = (rules, vec![RECORDED, ARCHIVE]);
    let life = scene.serve().await;
    life.until("with the bucket", |tasks| {
        tasks.iter().all(is_settled) && is_gone(&scene)
    })
    .await;
    life.stop().await;
    scene.account(std::slice::from_ref(&film), &[], "with the bucket");
    assert_eq!(scene.task(&film).state, "cancelled");
}

#[tokio::test]
async fn copies_of_a_dead_task_are_reported_and_removed_once_the_bucket_answers() {
    let film = Film::hls("left", "r/x/i.m3u8", 3);
    let scene = Scene::new(RULES).await;
    scene.record(&film);
    scene.guard(std::slice::from_ref(&film));
    let copied = AtomicBool::new(false);
    let denied = move |request: &Recorded| {
        let begun = copied.fetch_or(request.is_copy(), Ordering::SeqCst);
        begun && request.bucket == ARCHIVE && !request.is_copy()
    };
    scene
        .obs
        .strike_every(denied, Fault::Refuse(403, "AccessDenied"));
    let life = scene.serve().await;
    life.announce(&film).await;
    life.rest_or_wait("denied").await;
    let metrics = life.front().ask("/metrics").await;
    assert!(!is_gone(&scene));
    assert_told(&scene, &film, &COPIES, &metrics);
    life.stop().await;
    assert_retry_tells(&scene, &film, "dead");

    scene.obs.calm();
    let life = scene.serve().await;
    life.until("allowed again", |_| is_gone(&scene)).await;
    life.stop().await;
    scene.account(std::slice::from_ref(&film), &[], "allowed again");
}

/// Asserts that `tasks retry` of a task that gives up its move says so, and how it ends.
fn assert_retry_tells(scene: &Scene, film: &Film, end: &str) {
    let task = scene.task(film);
    assert_eq!(task.state, "ready", "{task:?}");
    let id = task.id.to_string();
    for _ in 0..2 {
        let told = scene.test_service.tells(&["tasks", "retry", &id]);
        let says = |text: &str| assert!(told.contains(text), "{text}: {told}");
        says("is given up");
        says(&format!("once the task is {end}"));
    }
}

/// A request that was sent for a copy may still create it.
#[tokio::test]
async fn copies_that_may_still_arrive_are_all_reported() {
    let film = Film::hls("left", "r/x/i.m3u8", 3);
    let mut scene = Scene::new(RULES).await;
    scene.timeouts = Timeouts {
        lifetime: Duration::from_mins(10),
        ..Timeouts::default()
    };
    scene.record(&film);
    let id = killed_amid_copies(&scene, &film).await;
    scene
        .test_service
        .operator()
        .cancel_one(id, clock::now())
        .unwrap();
    let life = scene.serve().await;
    life.rest_or_wait("cancelled").await;
    assert!(!is_gone(&scene));
    assert_told(&scene, &film, &COPIES, &life.front().ask("/metrics").await);
    life.stop().await;
    assert_retry_tells(&scene, &film, "cancelled");
}

/// Their deletion is refused, and the task is cancelled.
#[tokio::test]
async fn copies_that_may_not_be_deleted_are_all_reported() {
    let film = Film::hls("left", "r/x/i.m3u8", 3);
    let scene = Scene::new(RULES).await;
    scene.record(&film);
    let id = killed_amid_copies(&scene, &film).await;
    let deletes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
    scene
        .obs
        .strike_every(deletes, Fault::Refuse(403, "AccessDenied"));
    scene
        .test_service
        .operator()
        .cancel_one(id, clock::now())
        .unwrap();
    let life = scene.serve().await;
    life.rest_or_wait("cancelled").await;
    assert_told(&scene, &film, &COPIES, &life.front().ask("/metrics").await);
    life.stop().await;
    assert_retry_tells(&scene, &film, "cancelled");
}

/// Its source was deleted meanwhile: only a person removes it.
#[tokio::test]
async fn only_copy_is_reported_until_a_person_removes_it() {
    let film = Film::hls("left", "r/x/i.m3u8", 3);
    let mut scene = Scene::new(RULES).await;
    scene.more = "concurrency: 1";
    scene.record(&film);
    let id = killed_amid_copies(&scene, &film).await;
    let remove = |bucket, key: &str| {
        let removed = |world: &mut World| world.bucket(bucket).objects.remove(key);
        assert!(scene.obs.world(removed).is_some(), "{key}");
    };
    remove(RECORDED, "r/x/1.ts");
    scene
        .test_service
        .operator()
        .cancel_one(id, clock::now())
        .unwrap();
    let life = scene.serve().await;
    life.rest("cancelled").await;
    assert_eq!(scene.task(&film).state, "cancelled");
    assert_told(
        &scene,
        &film,
        &COPIES[..1],
        &life.front().ask("/metrics").await,
    );
    // A person retries it all the same.
    scene
        .test_service
        .operator()
        .retry_one(id, clock::now())
        .unwrap();
    life.rest("retried").await;
    assert_eq!(scene.task(&film).state, "dead");
    assert_told(
        &scene,
        &film,
        &COPIES[..1],
        &life.front().ask("/metrics").await,
    );

    remove(ARCHIVE, "kept/1.ts");
    scene
        .test_service
        .operator()
        .cancel_one(id, clock::now())
        .unwrap();
    life.until("looked at again", |tasks| {
        tasks.iter().all(is_settled) && tasks[0].leaves.is_none()
    })
    .await;
    let metrics = life.front().ask("/metrics").await;
    assert!(
        metrics.contains("\naftertake_tasks_with_copies_left 0\n"),
        "{metrics}"
    );
    let listed = scene.test_service.aftertake(&["tasks", "list", "--leaves"]);
    assert!(!listed.contains(&id.to_string()), "{listed}");
    life.stop().await;
    assert_eq!(scene.task(&film).state, "cancelled");
}
