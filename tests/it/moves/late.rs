//! A deletion whose response is lost and that takes effect after its key holds something new.

use std::time::Duration;

use super::film::Film;
use super::process::Process;
use super::scene::{Scene, rule};
use crate::support::fake_obs::{Fault, IMPATIENT, Lost, Recorded};

/// Why the client does not know the result of its deletion.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Dropped,
    Refused,
    TimedOut,
    Killed,
}

/// Longer than any test takes.
const FOR_EVER: Duration = Duration::from_hours(1);

const EVERY: [How; 4] = [How::Dropped, How::Refused, How::TimedOut, How::Killed];

impl How {
    fn fault(self) -> Fault {
        Fault::Late(match self {
            Self::Dropped => Lost::Dropped,
            Self::Refused => Lost::Refused(503, "ServiceUnavailable"),
            Self::TimedOut | Self::Killed => Lost::Silent,
        })
    }

    /// A scene with these films, in which a request may take effect this long after it was sent.
    async fn scene(self, rules: &[String], films: &[Film], lifetime: Duration) -> Scene {
        let mut scene = Scene::new(&format!("[{}]", rules.join(", "))).await;
        if self == Self::TimedOut {
            // On a busy machine a slow response may count as lost, too.
            (scene.timeouts, scene.tries) = (IMPATIENT, 100);
        }
        scene.timeouts.lifetime = lifetime;
        scene.record_all(films);
        scene.guard(films);
        scene
    }

    /// Announces the film, whose request is sent without a response; returns the service.
    async fn struck(self, scene: &Scene, film: &Film) -> Process {
        let life = scene.serve().await;
        life.announce(film).await;
        scene.obs.set_aside(1).await;
        if self != Self::Killed {
            return life;
        }
        life.kill().await;
        scene.serve().await
    }
}

/// The late request takes effect, and none of the films is lost.
async fn comes_late(scene: &Scene, life: Process, films: &[Film], at: &str) {
    scene.obs.release_late();
    scene.assert_never_lost(films, at);
    life.stop().await;
}

/// Whether the request deletes a single object, not a list.
fn deletes_one(request: &Recorded) -> bool {
    request.method == "DELETE" && !request.has("uploadId")
}

fn deletes_many(request: &Recorded) -> bool {
    request.has("delete")
}

type Deletes = fn(&Recorded) -> bool;

fn mp4s() -> (Film, Film, Deletes) {
    let film = |mark, key| Film::mp4(mark, key, 500);
    (film("x", "r/x.mp4"), film("y", "r/y.mp4"), deletes_one)
}

fn hls(deletes: Deletes) -> (Film, Film, Deletes) {
    let film = |mark, key| Film::hls(mark, key, 3);
    (film("x", "r/x/i.m3u8"), film("y", "r/y/i.m3u8"), deletes)
}

fn rename(to: &str) -> String {
    format!("{{ rename: {{ to: '{to}' }} }}")
}

/// One recording leaves a key, and another one is moved there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_deletion_does_not_remove_the_recording_that_came_to_its_key() {
    for (leaves, comes, deletes) in [mp4s(), hls(deletes_one), hls(deletes_many)] {
        for how in EVERY {
            let at = format!("{leaves}, then {comes}: {how:?}");
            let to = leaves.at.key.replacen("r/", "kept/", 1);
            let rules = [
                rule(&leaves.room, &rename(&to)),
                rule(&comes.room, &rename(&leaves.at.key)),
            ];
            let films = [leaves.clone(), comes.clone()];
            let scene = how.scene(&rules, &films, FOR_EVER).await;
            scene.obs.strike_first(deletes, how.fault());
            let life = how.struck(&scene, &films[0]).await;
            life.rest_or_wait(&at).await;
            life.announce(&films[1]).await;
            life.rest_or_wait(&at).await;
            comes_late(&scene, life, &films, &at).await;
        }
    }
}

/// A recording leaves its key and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_deletion_does_not_remove_the_recording_that_came_back() {
    for (film, _, deletes) in [mp4s(), hls(deletes_one), hls(deletes_many)] {
        for how in EVERY {
            let at = format!("{film} and back: {how:?}");
            let away = rename(&film.at.key.replacen("r/", "away/", 1));
            let back = rename(&film.at.key).replacen("{ ", "{ id: back, ", 1);
            let rules = [rule(&film.room, &format!("{away}, {back}"))];
            let films = [film.clone()];
            let scene = how.scene(&rules, &films, FOR_EVER).await;
            scene.obs.strike_first(deletes, how.fault());
            let life = how.struck(&scene, &film).await;
            life.rest_or_wait(&at).await;
            comes_late(&scene, life, &films, &at).await;
        }
    }
}

/// The copies of a rename that died are deleted late; meanwhile a person retries it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_removal_of_copies_does_not_remove_those_of_the_retry() {
    for how in EVERY {
        let at = format!("{how:?}");
        let films = [hls(deletes_many).0];
        let rules = [rule(&films[0].room, &rename("kept/"))];
        let scene = how.scene(&rules, &films, FOR_EVER).await;
        let third = |request: &Recorded| request.is_copy() && request.key.ends_with("/3.ts");
        scene
            .obs
            .strike_every(third, Fault::Refuse(403, "AccessDenied"));
        let removes = |request: &Recorded| deletes_one(request) || deletes_many(request);
        scene.obs.strike_first(removes, how.fault());
        let life = how.struck(&scene, &films[0]).await;
        life.rest_or_wait(&at).await;
        scene.obs.calm();
        scene.retry_dead();
        // The service polls once a second for changes by a person.
        life.until(&at, |tasks| {
            tasks[0].state != "ready" || super::process::waits(&tasks[0])
        })
        .await;
        life.rest_or_wait(&at).await;
        comes_late(&scene, life, &films, &at).await;
    }
}

/// The copy of an abandoned rename arrives late, at a key that holds another recording.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_copy_does_not_replace_the_recording_that_came_to_its_target() {
    for how in EVERY {
        let at = format!("{how:?}");
        let (gives_up, comes, _) = mp4s();
        let rules = [
            rule(&gives_up.room, &rename("kept/a.mp4")),
            rule(&comes.room, &rename("kept/a.mp4")),
        ];
        let films = [gives_up, comes];
        let scene = how.scene(&rules, &films, FOR_EVER).await;
        let source = films[0].at.key.clone();
        let copies = move |request: &Recorded| {
            let from = request.header("x-obs-copy-source").unwrap_or_default();
            request.is_copy() && from.ends_with(&source)
        };
        scene.obs.strike_first(copies.clone(), how.fault());
        scene
            .obs
            .strike_every(copies, Fault::Refuse(403, "AccessDenied"));
        let life = how.struck(&scene, &films[0]).await;
        life.rest_or_wait(&at).await;
        life.announce(&films[1]).await;
        life.rest_or_wait(&at).await;
        comes_late(&scene, life, &films, &at).await;
    }
}

/// Once nothing can arrive late any more, what waited for that is completed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_late_request_goes_on_when_none_can_come_any_more() {
    for how in EVERY {
        let at = format!("{how:?}");
        let (leaves, comes, deletes) = mp4s();
        let rules = [
            rule(&leaves.room, &rename("kept/x.mp4")),
            rule(&comes.room, &rename(&leaves.at.key)),
        ];
        let lifetime = Duration::from_millis(500);
        let films = [leaves, comes];
        let scene = how.scene(&rules, &films, lifetime).await;
        scene.obs.strike_first(deletes, how.fault());
        let life = how.struck(&scene, &films[0]).await;
        scene.obs.release_late();
        life.announce(&films[1]).await;
        life.rest(&at).await;
        life.stop().await;
        let places = scene.account(&films, &[], &at);
        assert_eq!(places[1].key, "r/x.mp4", "{at}");
        for film in &films {
            assert_eq!(scene.task(film).state, "done", "{at}\n{}", scene.told());
        }
    }
}
