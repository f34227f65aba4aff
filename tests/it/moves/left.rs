//! Copies that a task could not remove: an operator sees them, and they go when they can.

use std::sync::atomic::{AtomicBool, Ordering};

use aftertake::clock;
use aftertake::model::id::TaskId;

use super::film::Film;
use super::life::is_settled;
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Recorded, World};
use crate::support::take::{ARCHIVE, RECORDED};

const RULES: &str = "[{ name: keep, steps: [{ rename: { to: 'kept/', bucket: archive } }] }]";

/// What `tasks show` and the metrics say of copies in the archive.
fn assert_told(scene: &Scene, film: &Film, metrics: &str) {
    let task = scene.task(film);
    let leaves = task.leaves.clone().unwrap_or_default();
    assert!(leaves.contains("archive/kept/"), "{task:?}");
    let shown = scene.show(&task);
    let tells = |line: &str| line.contains("left") && line.contains("archive/kept/");
    assert!(shown.lines().any(tells), "{shown}");
    let counts =
        |line: &str| line.contains("left") && !line.starts_with('#') && !line.ends_with(" 0");
    assert!(metrics.lines().any(counts), "{metrics}");
}

fn is_gone(scene: &Scene) -> bool {
    scene.objects().keys().all(|place| place.bucket != ARCHIVE)
}

/// Announces the film, and kills the service once its third copy is made, so that all three are
/// left. The task.
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
async fn copies_of_a_task_that_is_cancelled_while_their_bucket_is_gone_are_told_and_removed() {
    let film = Film::hls("left", "r/x/i.m3u8", 3);
    let mut scene = Scene::new(RULES).await;
    scene.record(&film);
    scene.guard(std::slice::from_ref(&film));
    let id = killed_amid_copies(&scene, &film).await;
    scene.premises.desk().cancel(id, clock::now()).unwrap();

    let rules = std::mem::replace(
        &mut scene.rules,
        "[{ name: other, steps: [{ notify: lms }] }]".to_owned(),
    );
    scene.buckets = vec![RECORDED];
    let life = scene.serve().await;
    life.rest_or_wait("without the bucket").await;
    let metrics = life.front().ask("/metrics").await;
    assert!(!is_gone(&scene));
    assert_told(&scene, &film, &metrics);
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
async fn copies_of_a_dead_task_that_could_not_look_are_told_and_removed_once_it_can() {
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
    assert_told(&scene, &film, &metrics);
    life.stop().await;

    scene.obs.calm();
    let life = scene.serve().await;
    life.until("allowed again", |_| is_gone(&scene)).await;
    life.stop().await;
    scene.account(std::slice::from_ref(&film), &[], "allowed again");
}

/// Its source went away meanwhile: nothing removes it but a person.
#[tokio::test]
async fn copy_that_is_the_only_one_is_told_until_a_person_has_put_it_away() {
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
    scene.premises.desk().cancel(id, clock::now()).unwrap();
    let life = scene.serve().await;
    life.rest("cancelled").await;
    assert_eq!(scene.task(&film).state, "cancelled");
    assert_told(&scene, &film, &life.front().ask("/metrics").await);
    let listed = scene.premises.aftertake(&["tasks", "list", "--leaves"]);
    assert!(
        listed.contains(&id.to_string()) && listed.contains("archive/kept/1.ts"),
        "{listed}"
    );

    remove(ARCHIVE, "kept/1.ts");
    scene.premises.desk().cancel(id, clock::now()).unwrap();
    life.until("looked at again", |tasks| {
        tasks.iter().all(is_settled) && tasks[0].leaves.is_none()
    })
    .await;
    let metrics = life.front().ask("/metrics").await;
    assert!(
        metrics.contains("\naftertake_tasks_with_copies_left 0\n"),
        "{metrics}"
    );
    let listed = scene.premises.aftertake(&["tasks", "list", "--leaves"]);
    assert!(!listed.contains(&id.to_string()), "{listed}");
    life.stop().await;
    assert_eq!(scene.task(&film).state, "cancelled");
}
