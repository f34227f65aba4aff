//! A cancelled move whose copy replaces an object, as the rule allows: an object already replaced
//! cannot come back, and one not yet replaced stays.

use aftertake::clock;

use super::film::Film;
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Object, Recorded};
use crate::support::obs_recording::RECORDED;
use crate::support::operator::OneTask;
use crate::support::recording::place;

const RULES: &str =
    "[{ name: keep, steps: [{ rename: { to: 'kept/a.mp4', on_conflict: overwrite } }] }]";

/// Whether the request creates the object at the target.
fn makes(request: &Recorded) -> bool {
    let completes = request.method == "POST" && request.value("uploadId").is_some();
    (request.is_copy() && request.value("uploadId").is_none()) || completes
}

/// A move that is killed at that request, and then cancelled.
async fn cancelled(film: &Film, encrypted: bool, fault: impl FnOnce(Gate) -> Fault) -> Scene {
    let scene = Scene::new(RULES).await;
    let dress = |object: Object| {
        if encrypted {
            object.encrypted()
        } else {
            object
        }
    };
    scene.record_as(film, dress);
    scene.obs.world(|world| {
        world.put(RECORDED, "kept/a.mp4", dress(Object::text("an older one")));
    });
    scene.guard(std::slice::from_ref(film));
    let gate = Gate::new();
    scene.obs.strike_first(makes, fault(gate.clone()));
    let life = scene.serve().await;
    life.announce(film).await;
    gate.reached().await;
    life.kill().await;
    scene.obs.calm();
    let id = scene.task(film).id;
    scene
        .test_service
        .operator()
        .cancel_one(id, clock::now())
        .unwrap();
    let life = scene.serve().await;
    life.rest("cancelled").await;
    life.stop().await;
    scene
}

fn films() -> [(Film, bool); 4] {
    [(500, false), (500, true), (1150, false), (1150, true)]
        .map(|(size, encrypted)| (Film::mp4("new", "r/a.mp4", size), encrypted))
}

#[tokio::test]
async fn move_whose_copy_has_replaced_an_object_goes_on_although_it_is_cancelled() {
    for (film, encrypted) in films() {
        let scene = cancelled(&film, encrypted, Fault::HoldAfter).await;
        let at = format!("encrypted: {encrypted}\n{}", scene.told());
        let films = std::slice::from_ref(&film);
        let places = scene.account(films, &[], &at);
        assert_eq!(places, [place(RECORDED, "kept/a.mp4")], "{at}");
        assert!(scene.task(&film).leaves.is_none(), "{at}");
        let marked = scene.obs.world(|world| {
            let mut all = world.bucket(RECORDED).objects.values();
            let is_mark = |name: &String| name.ends_with("aftertake-move");
            all.any(|object| object.headers.keys().any(is_mark))
        });
        assert!(!marked, "{at}");
    }
}

#[tokio::test]
async fn object_that_was_not_replaced_stays_when_the_move_is_cancelled() {
    for (film, encrypted) in films() {
        let scene = cancelled(&film, encrypted, Fault::Hold).await;
        let at = format!("encrypted: {encrypted}\n{}", scene.told());
        assert_eq!(scene.task(&film).state, "cancelled", "{at}");
        let older = place(RECORDED, "kept/a.mp4");
        let places = scene.account(
            std::slice::from_ref(&film),
            std::slice::from_ref(&older),
            &at,
        );
        assert_eq!(places, [place(RECORDED, "r/a.mp4")], "{at}");
        assert_eq!(scene.objects()[&older], "an older one", "{at}");
        assert!(scene.task(&film).leaves.is_none(), "{at}");
    }
}
