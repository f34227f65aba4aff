//! Resuming an interrupted rename: after the commit it trusts nothing seen by an earlier run, and
//! before the commit it repeats copies that were removed.

use aftertake::action::rename::{Undo, undo};
use aftertake::model::failure::FailureKind;
use aftertake::model::recording::Place;
use aftertake::model::step::OnConflict;

use super::rename::{Scene, long};
use super::support::faults::{How, Which};
use super::support::recording::{Recording, place};

/// A scene whose process died right after the commit, before any deletion.
async fn committed(recording: Recording) -> Scene {
    let to = if recording.parts.is_empty() {
        "s/b.mp4"
    } else {
        "s/b.m3u8"
    };
    let scene = Scene::new(recording, to).await;
    scene.die_at("commit", How::DiesAfter).await;
    assert_eq!(scene.place(), scene.to);
    scene
}

/// Each object's old and new key.
fn pairs(scene: &Scene) -> Vec<(Place, Place)> {
    let name = if scene.recording.parts.is_empty() {
        "r/a.mp4"
    } else {
        "r/a.m3u8"
    };
    let main = (place("recorded", name), scene.to.clone());
    let part = |name: &String| {
        let at = |folder: &str| place("recorded", &format!("{folder}/{name}"));
        (at("r"), at("s"))
    };
    let parts = scene.recording.parts.keys().map(part);
    parts.chain([main]).collect()
}

#[tokio::test]
async fn copy_that_vanished_since_the_commit_is_made_again_before_its_source_is_deleted() {
    for recording in [Recording::mp4(), Recording::hls()] {
        for number in 0..=recording.parts.len() {
            let scene = committed(recording.clone()).await;
            let (_, copy) = &pairs(&scene)[number];
            scene.world.remove(copy);
            scene.run().await.unwrap();
            scene.world.assert_only(&scene.recording, &scene.to).await;
        }
    }
}

#[tokio::test]
async fn source_is_kept_for_a_person_if_its_target_holds_another_object() {
    for recording in [Recording::mp4(), Recording::hls()] {
        for number in 0..=recording.parts.len() {
            let scene = committed(recording.clone()).await;
            let (_, copy) = &pairs(&scene)[number];
            scene.world.write(copy, "of another program");
            let before = scene.world.objects();
            let failure = scene.failure().await;
            assert_eq!(failure.kind, FailureKind::Conflict, "{failure:?}");
            assert!(failure.reason.contains("is no longer the copy"));
            assert_eq!(scene.world.objects(), before);
            // A person removes it.
            scene.world.remove(copy);
            scene.run().await.unwrap();
            assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
        }
    }
}

#[tokio::test]
async fn object_that_is_at_neither_end_is_named_and_nothing_is_deleted() {
    for recording in [Recording::mp4(), Recording::hls()] {
        for number in 0..=recording.parts.len() {
            let scene = committed(recording.clone()).await;
            let (source, copy) = &pairs(&scene)[number];
            scene.world.remove(copy);
            scene.world.remove(source);
            let before = scene.world.objects();
            let failure = scene.failure().await;
            assert_eq!(failure.kind, FailureKind::Missing, "{failure:?}");
            assert!(failure.reason.contains(&copy.key), "{failure:?}");
            assert_eq!(scene.world.objects(), before);
        }
    }
}

#[tokio::test]
async fn source_that_was_written_again_since_the_commit_stays() {
    for recording in [Recording::mp4(), Recording::hls()] {
        for number in 0..=recording.parts.len() {
            let scene = committed(recording.clone()).await;
            let (source, _) = &pairs(&scene)[number];
            scene.world.write(source, "of the recorder");
            scene.run().await.unwrap();
            let mut objects = scene.world.objects();
            assert_eq!(objects.remove(source).as_deref(), Some("of the recorder"));
            assert_eq!(objects, scene.recording.at(&scene.to));
        }
    }
}

/// The object that the playlist was to replace is still there and not taken for its copy.
#[tokio::test]
async fn half_undone_rename_with_overwrite_is_undone_completely() {
    let mut scene = Scene::new(long(1_002), "s/b.m3u8").await;
    scene.on_conflict = OnConflict::Overwrite;
    scene.world.write(&scene.to, "stranger");
    let before = scene.world.objects();
    scene.die_at("put", How::DiesBefore).await;
    let gate = scene.world.gate.clone();
    gate.break_at(Which::First("moved"), How::DiesAfter);
    let (reach, mut journal) = (scene.world.reach(), scene.journal.clone());
    tokio::select! {
        undone = undo(&reach, &mut journal) => panic!("{undone:?}"),
        () = gate.died() => {}
    }
    gate.quiet().await;
    gate.mend();
    let undone = scene.undo().await;
    assert_eq!(undone, Undo::Undone { left: None });
    assert_eq!(scene.world.objects(), before);
}

#[tokio::test]
async fn half_undone_rename_removes_its_other_copies_before_it_starts_again() {
    let scene = Scene::new(long(1_002), "s/b.m3u8").await;
    let before = scene.world.objects();
    scene.die_at("commit", How::DiesBefore).await;
    let gate = scene.world.gate.clone();
    gate.break_at(Which::First("moved"), How::DiesAfter);
    let (reach, mut journal) = (scene.world.reach(), scene.journal.clone());
    tokio::select! {
        undone = undo(&reach, &mut journal) => panic!("{undone:?}"),
        () = gate.died() => {}
    }
    gate.quiet().await;
    gate.mend();
    // The copies of one page are gone; some are left.
    let left = scene.world.objects().len() - before.len();
    assert!((1..1_003).contains(&left), "{left}");
    scene.run().await.unwrap();
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}
