//! The metadata that marks a copy during its move, where it may not be removed.

use aftertake::store::operator::Operator;
use serde_json::Value;

use super::film::Film;
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Object, Recorded};
use crate::support::obs_recording::ARCHIVE;
use crate::support::recording::place;

const RULES: &str = "[{ name: keep, steps: [{ rename: { to: 'kept/', bucket: archive } }] }]";

fn unmarks(request: &Recorded) -> bool {
    request.method == "PUT" && request.has("metadata")
}

fn deletes(request: &Recorded) -> bool {
    request.method == "DELETE" && !request.has("uploadId") || request.has("delete")
}

/// Encrypted: only the mark identifies their copies.
fn films() -> [Film; 2] {
    [
        Film::mp4("one", "r/a.mp4", 500),
        Film::hls("two", "r/x/a.m3u8", 3),
    ]
}

async fn scene(film: &Film) -> Scene {
    let scene = Scene::new(RULES).await;
    scene.record_as(film, Object::encrypted);
    scene.guard(std::slice::from_ref(film));
    scene
}

async fn moved(scene: &Scene, film: &Film, at: &str) {
    let life = scene.serve().await;
    life.announce(film).await;
    life.rest(at).await;
    life.stop().await;
}

fn marked(scene: &Scene) -> Vec<String> {
    scene.obs.world(|world| {
        let objects = world.bucket(ARCHIVE).objects.iter();
        let is_mark = |name: &String| name.ends_with("aftertake-move");
        let marked = objects.filter(|(_, object)| object.headers.keys().any(is_mark));
        marked.map(|(key, _)| key.clone()).collect()
    })
}

fn warning(scene: &Scene, film: &Film) -> Option<String> {
    let id = scene.task(film).id;
    let task = scene.test_service.operator().task(id).unwrap().unwrap();
    let output = task.outputs.get("rename")?;
    output
        .get("warning")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// Asserts that the film has moved completely, nothing is left of it, and the task is done.
fn assert_moved(scene: &Scene, film: &Film, at: &str) {
    let places = scene.account(std::slice::from_ref(film), &[], at);
    let to = place(ARCHIVE, &format!("kept/{}", film.at.name()));
    assert_eq!(places, [to], "{at}");
    let task = scene.task(film);
    assert_eq!((task.state, task.leaves), ("done", None), "{at}");
}

#[tokio::test]
async fn mark_that_may_not_be_removed_stays_and_the_move_is_done_with_a_warning() {
    for film in films() {
        for fault in [
            Fault::Refuse(403, "AccessDenied"),
            Fault::Refuse(405, "MethodNotAllowed"),
        ] {
            let at = format!("{film}: {fault:?}");
            let scene = scene(&film).await;
            let is_denied = matches!(fault, Fault::Refuse(403, _));
            scene.obs.strike_every(unmarks, fault);
            moved(&scene, &film, &at).await;
            assert_moved(&scene, &film, &at);
            let marked = marked(&scene);
            assert_eq!(marked.len(), film.objects().len(), "{at}: {marked:?}");
            let warning = warning(&scene, &film).unwrap();
            let shown = scene.show(&scene.task(&film));
            for key in marked {
                let copy = format!("archive/{key}");
                assert!(
                    warning.contains(&copy) && shown.contains(&copy),
                    "{at}: {warning}"
                );
            }
            assert_eq!(
                warning.contains("obs:object:ModifyObjectMetaData"),
                is_denied,
                "{at}: {warning}"
            );
            // Refused for one copy, and not tried for the others.
            let asked = scene.obs.requests();
            assert_eq!(asked.iter().filter(|one| unmarks(one)).count(), 1, "{at}");
        }
    }
}

#[tokio::test]
async fn mark_whose_removal_failed_otherwise_is_removed_by_the_next_try() {
    for film in films() {
        for fault in [
            Fault::Refuse(500, "InternalError"),
            Fault::Refuse(503, "ServiceUnavailable"),
            Fault::DropBefore,
        ] {
            let at = format!("{film}: {fault:?}");
            let scene = scene(&film).await;
            scene.obs.strike_first(unmarks, fault);
            moved(&scene, &film, &at).await;
            assert_moved(&scene, &film, &at);
            assert_eq!(marked(&scene), [""; 0], "{at}");
            assert_eq!(warning(&scene, &film), None, "{at}");
        }
    }
}

/// Both rights were missing, to remove the mark and to delete; by then the playlist is complete.
#[tokio::test]
async fn leftover_mark_is_removed_by_a_later_try_with_permission() {
    for film in films() {
        let at = film.to_string();
        let scene = scene(&film).await;
        scene
            .obs
            .strike_every(unmarks, Fault::Refuse(403, "AccessDenied"));
        let passes = usize::from(film.is_set());
        let denied = Fault::Refuse(403, "AccessDenied");
        scene.obs.strike_after(passes, deletes, denied);
        moved(&scene, &film, &at).await;
        assert_eq!(scene.task(&film).state, "dead", "{at}");
        assert_ne!(marked(&scene), [""; 0], "{at}");
        scene.obs.calm();
        scene.retry_dead();
        let life = scene.serve().await;
        life.rest(&at).await;
        life.stop().await;
        assert_moved(&scene, &film, &at);
        assert_eq!(marked(&scene), [""; 0], "{at}");
        assert_eq!(warning(&scene, &film), None, "{at}");
    }
}
