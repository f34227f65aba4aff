//! Objects whose copies have an ETag unrelated to their source.

use super::film::Film;
use super::scene::Scene;
use super::sweep::{ENCRYPTED, all, sweep_all};
use crate::support::fake_obs::{Fault, Gate, Object, Recorded};
use crate::support::obs_recording::RECORDED;
use crate::support::recording::place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_copy_is_recognised_as_ours_whichever_answer_is_lost() {
    let faults = [
        Fault::DropAfter,
        Fault::RefuseAfter(500, "InternalError"),
        Fault::DropBefore,
    ];
    sweep_all(&ENCRYPTED, &["fail", "keep_both"], all, &faults, 2).await;
}

/// The service is killed between the survey and the copy, and a stranger writes to the target: an
/// object of the same size, with a multipart ETag on one side or on both.
#[tokio::test]
async fn strangers_object_is_not_taken_for_our_copy() {
    for (size, encrypted) in [(500, false), (500, true), (1150, false), (1150, true)] {
        let at = format!("{size} bytes, encrypted: {encrypted}");
        let scene = Scene::new("[{ name: keep, steps: [{ rename: { to: 'kept/a.mp4' } }] }]").await;
        let film = Film::mp4("ours", "r/a.mp4", size);
        let by_parts = move |mut object: Object| {
            if encrypted {
                object = object.encrypted();
            }
            object.etag += "-3";
            object
        };
        scene.record_as(&film, by_parts);
        scene.guard(std::slice::from_ref(&film));
        let gate = Gate::new();
        let copies = |request: &Recorded| request.is_copy() || request.has("uploads");
        scene.obs.strike_first(copies, Fault::Hold(gate.clone()));
        let life = scene.serve().await;
        life.announce(&film).await;
        gate.reached().await;
        life.kill().await;
        let theirs = place(RECORDED, "kept/a.mp4");
        scene.obs.world(|world| {
            let mut object = by_parts(Object::text(&"x".repeat(size)));
            object.upload_id = Some("theirs".to_owned());
            world.put(RECORDED, &theirs.key, object);
        });
        let life = scene.serve().await;
        life.rest_or_wait(&at).await;
        life.stop().await;
        scene.account(std::slice::from_ref(&film), &[theirs], &at);
        let why = scene.task(&film).failure.unwrap().reason;
        assert!(why.contains("kept/a.mp4"), "{at}: {why}");
    }
}

#[tokio::test]
async fn encrypted_recording_keeps_all_that_belongs_to_it_and_gets_nothing_else() {
    for film in [
        Film::mp4("one", "r/one.mp4", 500),
        Film::mp4("two", "r/two.mp4", 1150),
        Film::hls("three", "r/three/a.m3u8", 3),
    ] {
        let scene = Scene::new("[{ name: keep, steps: [{ rename: { to: 'kept/' } }] }]").await;
        scene.record_as(&film, |object| object.dressed().encrypted());
        let before = scene
            .obs
            .world(|world| world.buckets[RECORDED].objects.clone());
        let life = scene.serve().await;
        life.announce(&film).await;
        life.rest("encrypted").await;
        life.stop().await;
        assert_eq!(scene.task(&film).state, "done", "{}", scene.told());
        let after = scene
            .obs
            .world(|world| world.buckets[RECORDED].objects.clone());
        let bare = |(key, mut object): (String, Object)| {
            object.etag.clear();
            object.upload_id = None;
            let (_, name) = key.rsplit_once('/').unwrap();
            (format!("kept/{name}"), object)
        };
        let [before, after] =
            [before, after].map(|all| all.into_iter().map(bare).collect::<Vec<_>>());
        assert_eq!(after, before, "{film}");
    }
}
