//! A rename that takes longer than its step may.

use std::time::Duration;

use super::film::Film;
use super::scene::Scene;
use crate::support::fake_obs::Recorded;

/// A scene whose renames are asked to end after 300 ms.
async fn hurried(film: &Film) -> Scene {
    let rules = "[{ name: keep, steps: [{ timeout: 300ms, rename: { to: 'kept/' } }] }]";
    let mut scene = Scene::new(rules).await;
    scene.tries = 60;
    scene.record(film);
    scene.guard(std::slice::from_ref(film));
    scene
}

/// It gets to its end, or the timeout is called too short.
async fn gets_there(scene: &Scene, film: &Film) {
    let life = scene.serve().await;
    life.announce(film).await;
    life.rest("hurried").await;
    life.stop().await;
    scene.assert_never_lost(std::slice::from_ref(film), "hurried");
    let task = scene.task(film);
    if task.state == "done" {
        let places = scene.account(std::slice::from_ref(film), &[], "hurried");
        assert!(places[0].key.starts_with("kept/"));
        return;
    }
    let why = task.failure.unwrap().reason;
    assert!(why.contains("too short"), "{}: {why}", task.state);
}

#[tokio::test]
async fn survey_that_takes_longer_than_the_step_may_gets_to_its_end() {
    let film = Film::hls("long", "r/x/i.m3u8", 40);
    let scene = hurried(&film).await;
    scene.obs.world(|world| world.page = Some(1));
    scene.obs.slow_answers(|request: &Recorded| {
        let lists = request.key.is_empty() && request.method == "GET";
        if lists {
            Duration::from_millis(20)
        } else {
            Duration::ZERO
        }
    });
    gets_there(&scene, &film).await;
}

#[tokio::test]
async fn copy_by_parts_that_takes_longer_than_the_step_may_gets_to_its_end() {
    let film = Film::mp4("long", "r/a.mp4", 6000);
    let scene = hurried(&film).await;
    scene.obs.slow_copies(|_| Duration::from_millis(100));
    gets_there(&scene, &film).await;
}
