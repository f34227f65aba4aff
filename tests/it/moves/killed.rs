//! The service is killed at every request of a move, and restarted.

use std::time::Duration;

use futures_util::FutureExt;

use super::film::Film;
use super::process::waits;
use super::runs::{Group, run};
use super::scene::Scene;
use super::sweep::{Case, ENCRYPTED, PLAIN};
use crate::support::fake_obs::{Fault, Gate, Lost, Recorded};

/// When the request at which the service dies takes effect.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    Never,
    Before,
    /// Long after the next service has started.
    Late,
}

fn changes(request: &Recorded) -> bool {
    !matches!(request.method.as_str(), "GET" | "HEAD")
}

/// An upload that is opened late stays open: only a lifecycle rule of the bucket ends it.
fn may_be_late(request: &Recorded) -> bool {
    changes(request) && !request.has("uploads")
}

/// Kills at this request, restarts, and checks the result.
async fn kill_at(case: Case, policy: &str, number: usize, effect: Effect) {
    let at = format!(
        "{}, {policy}: killed at request {number}, its effect: {effect:?}",
        case.name
    );
    let mut scene = case.scene(policy).await;
    if effect == Effect::Late {
        scene.timeouts.lifetime = Duration::from_hours(1);
    }
    let film = case.film(1);
    record(case, policy, &scene, &film);
    scene.guard(std::slice::from_ref(&film));
    let gate = Gate::new();
    let fault = match effect {
        Effect::Never => Fault::Hold(gate.clone()),
        Effect::Before => Fault::HoldAfter(gate.clone()),
        Effect::Late => Fault::Late(Lost::Silent),
    };
    scene.obs.strike(number, fault);
    let life = scene.serve().await;
    life.announce(&film).await;
    if matches!(effect, Effect::Late) {
        scene.obs.set_aside(1).await;
    } else {
        // If a HEAD was skipped this time, the last request is not sent.
        tokio::select! {
            () = gate.reached() => {}
            () = life.rest(&at) => {}
        }
    }
    life.kill().await;
    let life = scene.serve().await;
    life.rest_or_wait(&at).await;
    scene.obs.release_late();
    scene.assert_never_lost(std::slice::from_ref(&film), &at);
    if effect != Effect::Late {
        life.rest(&at).await;
    }
    life.stop().await;
    let task = scene.task(&film);
    if !waits(&task) {
        assert_eq!(task.state, "done", "{at}\n{}", scene.told());
        let places = scene.account(std::slice::from_ref(&film), &[], &at);
        assert!(places[0].key.starts_with("kept/"), "{at}: {places:?}");
    }
}

/// Records the film. If the policy replaces, another film is put at its target.
fn record(case: Case, policy: &str, scene: &Scene, film: &Film) {
    case.record(scene, film);
    if policy == "overwrite" {
        case.replaced(scene, film);
    }
}

async fn kill_everywhere(cases: &'static [Case], policy: &'static str, effects: &'static [Effect]) {
    let mut groups = Vec::new();
    for case in cases {
        let requests = first_move(*case, policy).await;
        for effect in effects {
            let late = *effect == Effect::Late;
            let struck = requests.iter().filter(|one| !late || may_be_late(one));
            let kill = |request: &Recorded| kill_at(*case, policy, request.number, *effect).boxed();
            groups.push(struck.map(kill).collect::<Group>());
        }
    }
    run(groups).await;
}

/// The requests of the first, undisturbed move of a service.
async fn first_move(case: Case, policy: &str) -> Vec<Recorded> {
    let scene = case.scene(policy).await;
    let film = case.film(1);
    record(case, policy, &scene, &film);
    let life = scene.serve().await;
    life.announce(&film).await;
    life.rest(case.name).await;
    life.stop().await;
    scene.obs.requests()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_recording_moves_whole_though_the_service_is_killed_at_any_request() {
    kill_everywhere(&ENCRYPTED, "fail", &[Effect::Never, Effect::Before]).await;
}

/// Nothing of the replaced recording remains, either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_replaces_another_one_though_the_service_is_killed_at_any_request() {
    const HLS: [Case; 1] = [PLAIN[2]];
    kill_everywhere(&HLS, "overwrite", &[Effect::Never, Effect::Before]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_is_whole_though_the_request_that_the_service_was_killed_at_comes_late() {
    kill_everywhere(&PLAIN, "fail", &[Effect::Late]).await;
    kill_everywhere(&ENCRYPTED, "fail", &[Effect::Late]).await;
}
