//! A task that finds its target taken by another one: it waits, names that one, and spends no try.

use super::film::Film;
use super::process::{Process, is_settled};
use super::scene::Scene;
use crate::support::fake_obs::{Fault, Gate, Recorded};
use crate::support::operator::why_waits;

/// A scene in which the first film's copy is held, and the second wants the same key.
struct Held {
    scene: Scene,
    life: Process,
    films: [Film; 2],
    gate: Gate,
}

impl Held {
    async fn new(policy: &str) -> Self {
        let step = format!("{{ rename: {{ to: 'kept/a.mp4', on_conflict: {policy} }} }}");
        let scene = Scene::new(&format!("[{{ name: keep, steps: [{step}] }}]")).await;
        let films = ["one", "two"].map(|mark| Film::mp4(mark, &format!("r/{mark}.mp4"), 500));
        scene.record_all(&films);
        scene.guard(&films);
        let gate = Gate::new();
        let life = scene.serve().await;
        scene
            .obs
            .strike_first(Recorded::is_copy, Fault::Slow(gate.clone()));
        life.announce(&films[0]).await;
        gate.reached().await;
        life.announce(&films[1]).await;
        Self {
            scene,
            life,
            films,
            gate,
        }
    }

    /// Waits until the second task names the task it waits for.
    async fn told(&self) {
        let first = self.scene.task(&self.films[0]).id.to_string();
        let at = format!("the second waits for {first}");
        self.life
            .until(&at, |tasks| {
                let mut reasons = tasks.iter().filter_map(why_waits);
                reasons.any(|why| why.contains(&first))
            })
            .await;
        let shown = self.scene.show(&self.scene.task(&self.films[1]));
        assert!(shown.contains(&format!("waits for {first}")), "{shown}");
    }

    /// Releases the first and waits until all is settled; returns the states.
    async fn end(self) -> (Scene, [&'static str; 2]) {
        self.gate.open();
        self.life.rest("both").await;
        self.life.stop().await;
        let task = |film| self.scene.task(film);
        let second = task(&self.films[1]);
        assert_eq!(second.tries, 1, "waiting spends no tries: {second:?}");
        self.scene.account(&self.films, &[], "both");
        let states = self.films.each_ref().map(|film| task(film).state);
        (self.scene, states)
    }
}

#[tokio::test]
async fn task_whose_target_is_taken_waits_and_then_finds_an_object_there() {
    let held = Held::new("fail").await;
    held.told().await;
    assert_eq!(held.end().await.1, ["done", "dead"]);
}

#[tokio::test]
async fn task_whose_target_was_taken_by_one_that_died_moves_there() {
    let held = Held::new("fail").await;
    held.told().await;
    // The copy exists by now, but looking at it fails.
    let first = held.films[0].at.key.clone();
    let looks = move |request: &Recorded| {
        let copied = request.key == "kept/a.mp4" || request.key == first;
        copied && request.method == "HEAD"
    };
    held.scene
        .obs
        .strike_first(looks, Fault::Refuse(403, "AccessDenied"));
    let (scene, states) = held.end().await;
    assert_eq!(states, ["dead", "done"], "{}", scene.told());
}

#[tokio::test]
async fn task_whose_target_is_taken_waits_across_a_kill_of_the_service() {
    let Held {
        scene,
        life,
        films,
        gate,
    } = Held::new("fail").await;
    life.kill().await;
    let life = scene.serve().await;
    let held = Held {
        scene,
        life,
        films,
        gate,
    };
    held.gate.open();
    held.life.rest("both").await;
    held.life.stop().await;
    held.scene.account(&held.films, &[], "both");
    let done = |film: &&Film| held.scene.task(film).state == "done";
    assert_eq!(
        held.films.iter().filter(done).count(),
        1,
        "{}",
        held.scene.told()
    );
}

#[tokio::test]
async fn task_that_keeps_both_takes_another_name_at_once() {
    let held = Held::new("keep_both").await;
    let room = held.films[1].room.clone();
    held.life
        .until("the second does not wait", |tasks| {
            let mut second = tasks
                .iter()
                .filter(|task| task.room.as_ref() == Some(&room));
            second.any(is_settled)
        })
        .await;
    assert_eq!(held.end().await.1, ["done", "done"]);
}
