//! Renames that exceed their step's timeout.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::film::Film;
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;

/// A scene whose renames time out after this.
async fn hurried(film: &Film, policy: &str, timeout: &str) -> Scene {
    let rules = format!(
        "[{{ name: keep, steps: [{{ timeout: {timeout}, rename: {{ to: 'kept/', on_conflict: {policy} }} }}] }}]"
    );
    let mut scene = Scene::new(&rules).await;
    scene.tries = 600;
    scene.record(film);
    scene.guard(std::slice::from_ref(film));
    scene
}

/// Asserts that the film reaches this target; returns the tries that ended early.
async fn gets_there(scene: &Scene, film: &Film, target: &str) -> Vec<String> {
    let life = scene.serve().await;
    life.announce(film).await;
    life.rest("hurried").await;
    life.stop().await;
    let task = scene.task(film);
    assert_eq!(task.state, "done", "{}", scene.told());
    scene.assert_never_lost(std::slice::from_ref(film), "hurried");
    let places = film.places(&scene.objects());
    assert!(places[0].key.starts_with(target), "{places:?}");
    let shown = scene.show(&task);
    let failed = shown.lines().filter(|line| line.contains("timeout"));
    failed.map(str::to_owned).collect()
}

/// Delays every listing by this until the first copy.
fn slow_listings(scene: &Scene, time: Duration) {
    let copies = AtomicBool::new(false);
    scene.obs.slow_answers(move |request: &Recorded| {
        let copies = copies.fetch_or(request.is_copy(), Ordering::SeqCst);
        let lists = request.key.is_empty() && request.method == "GET";
        if lists && !copies {
            time
        } else {
            Duration::ZERO
        }
    });
}

#[tokio::test]
async fn survey_that_exceeds_the_steps_timeout_completes() {
    let film = Film::hls("long", "r/x/i.m3u8", 40);
    let scene = hurried(&film, "fail", "300ms").await;
    scene.obs.world(|world| world.page = Some(1));
    slow_listings(&scene, Duration::from_millis(20));
    let early = gets_there(&scene, &film, "kept/").await;
    assert!(!early.is_empty());
    scene.account(std::slice::from_ref(&film), &[], "hurried");
}

/// Each try surveys one more page of the objects, and no page is surveyed twice.
#[tokio::test]
async fn survey_of_many_objects_continues_where_the_last_try_stopped() {
    let film = Film::hls("long", "r/x/i.m3u8", 1050);
    let scene = hurried(&film, "fail", "1s").await;
    // Checking so many objects after each change would take too long.
    scene.obs.after_every_mutation(|_| {});
    slow_listings(&scene, Duration::from_millis(600));
    let early = gets_there(&scene, &film, "kept/").await;
    assert!(early.len() > 1, "{early:?}");
    let requests = scene.obs.requests();
    let before_copies = requests.iter().take_while(|one| !one.is_copy());
    let mut listings = BTreeMap::new();
    for listing in before_copies.filter(|one| one.key.is_empty() && one.method == "GET") {
        *listings.entry(format!("{:?}", listing.query)).or_insert(0) += 1;
    }
    // Once by the survey, and the first page again by the copying.
    assert!(listings.values().all(|times| *times <= 2), "{listings:#?}");
    scene.account(std::slice::from_ref(&film), &[], "hurried");
}

/// The free name is determined only once.
#[tokio::test]
async fn survey_of_many_objects_that_keeps_both_completes() {
    let film = Film::hls("long", "r/x/i.m3u8", 1050);
    let scene = hurried(&film, "keep_both", "1s").await;
    let taken = place(RECORDED, "kept/i.m3u8");
    scene.put(&taken, "a stranger's");
    // Checking so many objects after each change would take too long.
    scene.obs.after_every_mutation(|_| {});
    slow_listings(&scene, Duration::from_millis(600));
    gets_there(&scene, &film, "kept-").await;
    assert!(scene.objects().contains_key(&taken));
}

/// The drafted manifest is of a set that no longer exists: the survey starts again.
#[tokio::test]
async fn survey_of_a_changed_set_starts_again() {
    let film = Film::hls("long", "r/x/i.m3u8", 1500);
    let scene = hurried(&film, "fail", "300ms").await;
    let gate = Gate::new();
    // The second page of the survey is held, and the service is killed.
    let later = |request: &Recorded| {
        let marker = request.value("marker").unwrap_or_default();
        marker.starts_with("r/x/") && marker > "r/x/19"
    };
    scene.obs.strike_first(later, Fault::Hold(gate.clone()));
    let life = scene.serve().await;
    life.announce(&film).await;
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    let other = Film::hls("other", "r/x/i.m3u8", 1400).in_room(&film.room);
    scene
        .obs
        .world(|world| world.bucket(RECORDED).objects.clear());
    scene.record(&other);
    scene.obs.after_every_mutation(|_| {});
    let life = scene.serve().await;
    life.rest("changed").await;
    life.stop().await;
    assert_eq!(scene.task(&film).state, "done", "{}", scene.told());
    let places = scene.account(std::slice::from_ref(&other), &[], "changed");
    assert!(places[0].key.starts_with("kept/"), "{places:?}");
}

#[tokio::test]
async fn copy_in_parts_that_exceeds_the_steps_timeout_completes() {
    let film = Film::mp4("long", "r/a.mp4", 6000);
    let scene = hurried(&film, "fail", "300ms").await;
    scene.obs.slow_copies(|_| Duration::from_millis(100));
    let early = gets_there(&scene, &film, "kept/").await;
    assert!(!early.is_empty());
    let goes_on = |why: &String| why.contains("continues where it stopped");
    assert!(early.iter().all(goes_on), "{early:?}");
    let requests = scene.obs.requests();
    let parts = requests.iter().filter(|one| one.has("partNumber"));
    assert_eq!(parts.count(), 20, "each part is copied once");
    scene.account(std::slice::from_ref(&film), &[], "hurried");
}

/// Before the deletions every copy is checked, which takes longer than the step's timeout.
#[tokio::test]
async fn check_before_the_deletions_that_exceeds_the_steps_timeout_completes() {
    let film = Film::hls("long", "r/x/i.m3u8", 40);
    let scene = hurried(&film, "fail", "300ms").await;
    let life = scene.serve().await;
    let deletes = |request: &Recorded| request.method == "DELETE" || request.has("delete");
    scene
        .obs
        .strike_every(deletes, Fault::Refuse(403, "AccessDenied"));
    life.announce(&film).await;
    life.rest("nothing may be deleted").await;
    life.stop().await;
    assert_eq!(scene.task(&film).state, "dead", "{}", scene.told());
    scene.obs.calm();
    scene.obs.world(|world| world.page = Some(1));
    slow_listings(&scene, Duration::from_millis(20));
    scene.retry_dead();
    let life = scene.serve().await;
    life.rest("hurried").await;
    life.stop().await;
    assert_eq!(scene.task(&film).state, "done", "{}", scene.told());
    scene.account(std::slice::from_ref(&film), &[], "hurried");
}

#[tokio::test]
async fn try_without_progress_says_which_timeout_is_too_short() {
    let film = Film::hls("long", "r/x/i.m3u8", 12);
    let rules = "[{ name: keep, steps: [{ id: label, timeout: 300ms, tag: { objects: all, tags: { a: b } } }] }]";
    let mut scene = Scene::new(rules).await;
    scene.tries = 20;
    scene.record(&film);
    // Each try checks again what is already tagged.
    scene
        .obs
        .slow_answers(|_: &Recorded| Duration::from_millis(200));
    let life = scene.serve().await;
    life.announce(&film).await;
    life.rest("hurried").await;
    life.stop().await;
    let task = scene.task(&film);
    assert_eq!(task.state, "dead", "{}", scene.told());
    let why = task.failure.clone().unwrap().reason;
    let too_short = "its timeout of 300ms; it got no further in that time, which is too short: raise `timeout` of step \"label\"";
    assert!(why.contains(too_short), "{why}");
    let shown = scene.show(&task);
    assert!(shown.contains("continues where it stopped"), "{shown}");
}
