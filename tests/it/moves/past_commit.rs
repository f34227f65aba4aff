//! Hours may pass between the commit and the deletions: a crash, a pause, refused credentials.

use aftertake::model::recording::Place;
use bytes::Bytes;

use super::film::Film;
use super::process::Process;
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Object, Recorded};
use crate::support::obs_recording::ARCHIVE;
use crate::support::recording::place;

const RULES: &str = "[{ name: keep, steps: [{ rename: { to: 'kept/', bucket: archive } }] }]";

fn deletes(request: &Recorded) -> bool {
    request.method == "DELETE" && !request.has("uploadId") || request.has("delete")
}

fn films() -> [Film; 3] {
    [
        Film::mp4("one", "r/a.mp4", 500),
        Film::mp4("two", "r/a.mp4", 1150),
        Film::hls("three", "r/x/a.m3u8", 3),
    ]
}

/// A scene in which the film is copied and committed but nothing is deleted: the task is dead, or
/// the service was killed.
async fn committed(film: &Film, killed: bool) -> Scene {
    let scene = Scene::new(RULES).await;
    scene.record(film);
    scene.guard(std::slice::from_ref(film));
    let gate = Gate::new();
    let life = scene.serve().await;
    if killed {
        scene.obs.strike_first(deletes, Fault::Hold(gate.clone()));
        life.announce(film).await;
        gate.reached().await;
        life.kill().await;
    } else {
        scene
            .obs
            .strike_every(deletes, Fault::Refuse(403, "AccessDenied"));
        life.announce(film).await;
        life.rest("nothing may be deleted").await;
        let metrics = life.front().ask("/metrics").await;
        life.stop().await;
        let task = scene.task(film);
        assert_eq!(task.state, "dead");
        assert_old_told(&scene, film);
        assert!(
            metrics.contains("\naftertake_tasks_with_copies_left 1\n"),
            "{metrics}"
        );
    }
    scene.obs.calm();
    scene
}

/// Asserts that a dead task says where the recording is, names each old object once, and says what to do.
fn assert_old_told(scene: &Scene, film: &Film) {
    let task = scene.task(film);
    let why = &task.failure.as_ref().unwrap().reason;
    let to = place(ARCHIVE, &format!("kept/{}", film.at.name()));
    let says = |text: &str| assert!(why.contains(text), "{text}: {why}");
    says(&format!("the recording is at {to}, but "));
    says("retry the task");
    let listed = scene.test_service.aftertake(&["tasks", "list", "--leaves"]);
    for old in film.objects().keys() {
        says(&old.to_string());
        let lines = listed.lines();
        let named = lines.map(|line| line.matches(&format!("at {old}")).count());
        let others = listed.matches(&format!(", {old}")).count();
        assert_eq!(named.sum::<usize>() + others, 1, "{old}: {listed}");
    }
    assert!(!listed.contains("0 more"), "{listed}");
}

async fn go_on(scene: &Scene, at: &str) {
    scene.retry_dead();
    let life: Process = scene.serve().await;
    life.rest_or_wait(at).await;
    life.stop().await;
}

#[tokio::test]
async fn source_is_not_deleted_when_its_copy_has_vanished_or_is_another_object() {
    for film in films() {
        let mut copies = vec![place(ARCHIVE, &format!("kept/{}", film.at.name()))];
        if film.is_set() {
            copies.push(place(ARCHIVE, "kept/2.ts"));
        }
        for (copy, killed) in copies.iter().flat_map(|copy| [(copy, false), (copy, true)]) {
            for replaced in [false, true] {
                let at = format!("{film}: {copy} replaced: {replaced}, killed: {killed}");
                let scene = committed(&film, killed).await;
                let stranger = replace(&scene, copy, replaced);
                go_on(&scene, &at).await;
                scene.assert_never_lost(std::slice::from_ref(&film), &at);
                if let Some(stranger) = stranger {
                    assert_eq!(scene.objects().get(copy), Some(&stranger), "{at}");
                    assert_old_told(&scene, &film);
                }
            }
        }
    }
}

/// Removes the copy, or replaces it by an object of the same size, which it returns.
fn replace(scene: &Scene, copy: &Place, replaced: bool) -> Option<Bytes> {
    let size = scene.objects()[copy].len();
    scene.obs.world(|world| {
        let objects = &mut world.bucket(&copy.bucket).objects;
        objects.remove(&copy.key).unwrap();
        if replaced {
            objects.insert(copy.key.clone(), Object::text(&"x".repeat(size)));
        }
    });
    replaced.then(|| "x".repeat(size).into())
}

#[tokio::test]
async fn move_that_only_lacks_its_deletions_completes_after_a_pause() {
    for film in films() {
        for killed in [false, true] {
            let at = format!("{film}, killed: {killed}");
            let scene = committed(&film, killed).await;
            go_on(&scene, &at).await;
            scene.account(std::slice::from_ref(&film), &[], &at);
            let task = scene.task(&film);
            assert_eq!((task.state, task.leaves), ("done", None), "{at}");
        }
    }
}

/// With `on_failure: continue` a task may skip a step, but not half of one.
#[tokio::test]
async fn rename_past_its_commit_is_not_skipped() {
    for film in films() {
        for fault in [
            Fault::Refuse(403, "AccessDenied"),
            Fault::Refuse(500, "InternalError"),
        ] {
            let at = format!("{film}: {fault:?}");
            let mut scene = Scene::new(
                "[{ name: keep, steps: [{ on_failure: continue, rename: { to: 'kept/', bucket: archive } }, { notify: lms }] }]",
            )
            .await;
            scene.tries = 3;
            scene.record(&film);
            scene.guard(std::slice::from_ref(&film));
            scene.obs.strike_every(deletes, fault);
            let life = scene.serve().await;
            life.announce(&film).await;
            life.rest(&at).await;
            let task = scene.task(&film);
            assert_eq!(task.state, "dead", "{at}: {task:?}");
            scene.obs.calm();
            scene.retry_dead();
            life.rest(&at).await;
            life.stop().await;
            scene.account(std::slice::from_ref(&film), &[], &at);
            assert_eq!(scene.task(&film).state, "done", "{at}");
        }
    }
}

/// An empty 200 from a proxy, where OBS sends 204.
#[tokio::test]
async fn deletion_with_a_false_empty_success_is_repeated() {
    for film in films() {
        let scene = Scene::new(RULES).await;
        scene.record(&film);
        scene.guard(std::slice::from_ref(&film));
        scene.obs.strike_first(deletes, Fault::NothingInside);
        let life = scene.serve().await;
        life.announce(&film).await;
        let at = film.to_string();
        life.rest(&at).await;
        life.stop().await;
        scene.account(std::slice::from_ref(&film), &[], &at);
        assert_eq!(scene.task(&film).state, "done", "{at}");
    }
}
