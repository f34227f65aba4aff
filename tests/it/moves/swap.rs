//! Recordings that are moved to each other's keys at the same time.

use aftertake::store::lists::TaskRow;

use super::film::Film;
use super::scene::{Scene, rule};
use crate::support::operator::why_waits;

/// Moves each film to the next one's place.
async fn turn(films: &[Film], policy: &str) {
    let at = format!("{} films, {policy}", films.len());
    let next = films.iter().cycle().skip(1);
    let rules: Vec<String> = films
        .iter()
        .zip(next)
        .map(|(film, next)| {
            let to = &next.at.key;
            rule(
                &film.room,
                &format!("{{ rename: {{ to: '{to}', on_conflict: {policy} }} }}"),
            )
        })
        .collect();
    let scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.record_all(films);
    scene.guard(films);
    scene
        .obs
        .slow_copies(|_| std::time::Duration::from_millis(50));
    let life = scene.serve().await;
    life.announce_all(films).await;
    life.rest(&at).await;
    life.stop().await;
    scene.account(films, &[], &at);
    for film in films {
        let state = scene.task(film).state;
        match policy {
            "fail" => assert!(["done", "dead"].contains(&state), "{at}: {film} is {state}"),
            _ => assert_eq!(state, "done", "{at}: {film}\n{}", scene.told()),
        }
    }
}

#[tokio::test]
async fn recordings_that_lead_to_each_others_keys_come_to_rest_whole() {
    for policy in ["fail", "keep_both"] {
        let mp4 = |mark| Film::mp4(mark, &format!("r/{mark}.mp4"), 500);
        turn(&["a", "b"].map(mp4), policy).await;
        turn(&["a", "b", "c"].map(mp4), policy).await;
        let hls = |mark| Film::hls(mark, &format!("r/{mark}/i.m3u8"), 3);
        turn(&["a", "b"].map(hls), policy).await;
    }
}

/// What another task is about to move is not replaced, so each waits for the other. One detects the
/// circle and dies; the other names the task that it waits for and what a person can do.
#[tokio::test]
async fn recordings_that_would_replace_each_other_wait_for_a_person() {
    let films = ["a", "b"].map(|mark| Film::mp4(mark, &format!("r/{mark}.mp4"), 500));
    let step = |to: &str| format!("{{ rename: {{ to: '{to}', on_conflict: overwrite }} }}");
    let rules = [
        rule(&films[0].room, &step(&films[1].at.key)),
        rule(&films[1].room, &step(&films[0].at.key)),
    ];
    let scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
    scene.record_all(&films);
    scene.guard(&films);
    scene
        .obs
        .slow_copies(|_| std::time::Duration::from_millis(50));
    let life = scene.serve().await;
    life.announce_all(&films).await;
    let told = |tasks: &[TaskRow]| {
        let is_dead = |task: &TaskRow| task.state == "dead";
        let says = |why: String| why.contains("retry it or cancel it");
        let waits = |task: &TaskRow| task.state == "ready" && why_waits(task).is_some_and(says);
        tasks.iter().any(is_dead) && tasks.iter().any(waits)
    };
    let replaced = |tasks: &[TaskRow]| tasks.iter().any(|task| task.state == "done");
    life.until("both", |tasks| told(tasks) || replaced(tasks))
        .await;
    // The first may be done before the second is announced.
    if told(&scene.test_service.tasks()) {
        scene.assert_never_lost(&films, "both");
    }
    life.stop().await;
}
