//! Requests without a response: their possible effects are recorded and waited for before they matter.

use std::time::Duration;

use aftertake::action::Stopped;
use aftertake::action::rename::{Undo, undo};
use aftertake::clock;
use aftertake::model::moves::keys::TakenBy;
use aftertake::model::recording::Place;
use aftertake::model::time::Timestamp;

use super::rename::Scene;
use super::support::faults::{How, Which};
use super::support::recording::{Recording, place};

/// A recording in a bucket where a request may still arrive for a quarter of an hour.
async fn lingering(recording: Recording) -> Scene {
    let to = if recording.parts.is_empty() {
        "s/b.mp4"
    } else {
        "s/b.m3u8"
    };
    let mut scene = Scene::new(recording, to).await;
    scene.world.lingers = Duration::from_mins(15);
    scene
}

fn late(scene: &Scene) -> Vec<Place> {
    scene.journal.state.lock().unwrap().late.clone()
}

fn is_under_way(scene: &Scene) -> bool {
    scene.journal.state.lock().unwrap().is_under_way
}

/// Asserts until when a copy of an earlier run may still arrive.
fn arrives_until(scene: &Scene, until: Option<Timestamp>) {
    scene.journal.state.lock().unwrap().late_until = until;
}

fn waits_until(ended: Result<(), Stopped>) -> Timestamp {
    match ended {
        Err(Stopped::KeyTaken(taken)) => match taken.by {
            TakenBy::Late(until) => until,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn keys_of_requests_without_an_answer_are_noted_when_the_run_ends() {
    let source = place("recorded", "r/a.mp4");
    let target = place("recorded", "s/b.mp4");
    for (request, how, noted) in [
        ("copy", How::AnswerIsLost, vec![&target]),
        ("delete", How::AnswerIsLost, vec![&source]),
        // A refusal: it has no effect, now or later.
        ("copy", How::Locks, vec![]),
        ("delete", How::Locks, vec![]),
    ] {
        let scene = lingering(Recording::mp4()).await;
        scene.world.gate.break_at(Which::First(request), how);
        scene.failure().await;
        scene.world.gate.mend();
        assert_eq!(late(&scene).iter().collect::<Vec<_>>(), noted, "{request}");
        assert!(!is_under_way(&scene), "{request} {how:?}");
        scene.run().await.unwrap();
        assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
    }
}

#[tokio::test]
async fn deletion_of_a_copy_without_an_answer_is_noted_when_a_move_is_given_up() {
    let scene = lingering(Recording::hls()).await;
    scene.die_at("commit", How::DiesBefore).await;
    let gate = &scene.world.gate;
    gate.break_at(Which::First("delete"), How::AnswerIsLost);
    let (reach, mut journal) = (scene.world.reach(), scene.journal.clone());
    undo(&reach, &mut journal).await.unwrap_err();
    gate.mend();
    let mut noted = late(&scene);
    noted.sort();
    let copies: Vec<Place> = scene.recording.at(&scene.to).into_keys().collect();
    assert_eq!(noted, copies);
    undo(&reach, &mut journal).await.unwrap();
    let recorded = place("recorded", "r/a.m3u8");
    assert!(scene.world.is_whole(&scene.recording, &recorded));
    assert_eq!(scene.world.objects().len(), scene.recording.objects());
}

#[tokio::test]
async fn run_says_that_it_takes_a_move_up_before_it_sends_anything() {
    for (name, how) in [("manifest", How::DiesAfter), ("commit", How::DiesAfter)] {
        let scene = lingering(Recording::mp4()).await;
        scene.die_at(name, how).await;
        scene.journal.state.lock().unwrap().is_under_way = false;
        let request = if name == "commit" { "delete" } else { "copy" };
        scene.die_at(request, How::DiesBefore).await;
        assert!(is_under_way(&scene), "{name}");
    }
}

#[tokio::test]
async fn neither_commit_nor_undo_while_a_copy_of_an_earlier_run_may_arrive() {
    for recording in [Recording::mp4(), Recording::hls()] {
        let scene = lingering(recording).await;
        scene.die_at("manifest", How::DiesAfter).await;
        let until = clock::now().plus(Duration::from_mins(5));
        arrives_until(&scene, Some(until));
        let (reach, mut journal) = (scene.world.reach(), scene.journal.clone());
        assert_eq!(waits_until(scene.run().await.map(|_| ())), until);
        assert!(!scene.journal.state.lock().unwrap().committed);
        let before = scene.world.objects();
        let undone = undo(&reach, &mut journal).await.unwrap();
        let Undo::Waits { taken, .. } = undone else {
            panic!("{undone:?}")
        };
        assert_eq!(waits_until(Err(Stopped::KeyTaken(taken))), until);
        assert_eq!(scene.world.objects(), before);
        arrives_until(&scene, None);
        scene.run().await.unwrap();
        assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
    }
}

/// A copy repeated after the commit could be overwritten by an earlier one still in flight.
#[tokio::test]
async fn copy_that_vanished_after_the_commit_is_not_made_again_while_an_earlier_one_may_arrive() {
    let scene = lingering(Recording::mp4()).await;
    scene.die_at("commit", How::DiesAfter).await;
    scene.world.remove(&scene.to);
    let until = clock::now().plus(Duration::from_mins(5));
    arrives_until(&scene, Some(until));
    let before = scene.world.objects();
    assert_eq!(waits_until(scene.run().await.map(|_| ())), until);
    assert_eq!(scene.world.objects(), before);
    arrives_until(&scene, None);
    scene.run().await.unwrap();
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}
