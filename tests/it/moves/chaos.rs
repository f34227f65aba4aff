//! Random recordings that lead to few keys, with faults, kills and late effects.
//!
//! `AFTERTAKE_CHAOS_ROUNDS` sets the number of rounds, `AFTERTAKE_CHAOS_SEED` the first seed. A seed
//! repeats the plan of a round, not the operating system's scheduling.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::store::lists::TaskRow;
use fastrand::Rng;
use http::Method;

use super::film::Film;
use super::process::{Process, is_settled};
use super::scene::{Scene, rule};
use crate::support::fake_obs::{Fault, IMPATIENT, Lost, Object, Recorded};
use crate::support::operator::why_waits;

const FILMS: usize = 6;
/// One of this many requests fails.
const ONE_OF: usize = 12;
/// Faults per round.
const FAULTS: usize = 12;
const KILLS: usize = 3;
/// The client's timeout: long enough for a busy machine to respond.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after it was sent a request may take effect: much longer than it takes here.
const LIFETIME: Duration = Duration::from_secs(3);
/// At one of this many requests, late effects happen.
const LATE_AT_ONE_OF: u8 = 8;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Whether the response would deny that an existing object exists.
fn is_lie(fault: &Fault, request: &Recorded) -> bool {
    matches!(fault, Fault::RefuseAfter(404, _))
        && matches!(request.method, Method::GET | Method::HEAD)
}

/// Faults that give no wrong answer about what exists, except those that [`is_lie`] finds.
fn faults() -> Vec<Fault> {
    let mut faults = Fault::every_answer();
    faults.retain(|fault| !matches!(fault, Fault::Refuse(404, _) | Fault::Page(_)));
    for lost in [
        Lost::Dropped,
        Lost::Silent,
        Lost::Refused(500, "InternalError"),
    ] {
        faults.push(Fault::Late(lost));
        faults.push(Fault::Late(lost));
    }
    faults
}

fn film(chance: &mut Rng, number: usize) -> Film {
    let mark = number.to_string();
    match chance.u8(..4) {
        0 => Film::mp4(&mark, &format!("r/{mark}.mp4"), 500),
        1 => Film::mp4(&mark, &format!("r/{mark}.mp4"), 1150),
        _ => Film::hls(&mark, &format!("r/{mark}/i.m3u8"), chance.usize(1..4)),
    }
}

/// Rules that never replace: an object that is gone is lost.
fn rules(chance: &mut Rng, films: &[Film]) -> String {
    let keys = |film: &Film| {
        let end = if film.is_set() { "m3u8" } else { "mp4" };
        [
            format!("a/i.{end}"),
            format!("b/i.{end}"),
            films[0].at.key.clone(),
        ]
    };
    let rules: Vec<String> = films
        .iter()
        .map(|film| {
            let to = &keys(film)[chance.usize(..3)];
            let policy = chance.choice(["fail", "keep_both"]).unwrap();
            let bucket = chance.choice(["recorded", "archive"]).unwrap();
            rule(
                &film.room,
                &format!("{{ rename: {{ to: '{to}', bucket: {bucket}, on_conflict: {policy} }} }}"),
            )
        })
        .collect();
    format!("[{}]", rules.join(", "))
}

/// Whether nothing more happens to the task until a person acts on it, or on a dead task that holds
/// the key it waits for.
fn rests(task: &TaskRow) -> bool {
    let waits_for_the_dead = |why: String| why.contains("is dead");
    is_settled(task) || why_waits(task).is_some_and(waits_for_the_dead)
}

struct Round {
    scene: Scene,
    films: Vec<Film>,
    chance: Arc<Mutex<Rng>>,
    at: String,
}

impl Round {
    async fn new(seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let films: Vec<Film> = (0..FILMS).map(|number| film(&mut chance, number)).collect();
        let mut scene = Scene::new(&rules(&mut chance, &films)).await;
        (scene.timeouts, scene.tries) = (IMPATIENT, 6);
        (scene.timeouts.answer, scene.timeouts.copy) = (PATIENCE, PATIENCE);
        scene.timeouts.lifetime = LIFETIME;
        // Requests expire in time even if a busy machine suspends the test.
        scene.obs.forget_after(LIFETIME);
        for film in &films {
            if chance.bool() {
                scene.record_as(film, Object::encrypted);
            } else {
                scene.record(film);
            }
        }
        scene.guard(&films);
        Self {
            scene,
            films,
            chance: Arc::new(Mutex::new(chance)),
            at: format!("AFTERTAKE_CHAOS_SEED={seed}"),
        }
    }

    /// Injects faults and slow copies.
    fn trouble(&self) {
        for _ in 0..FAULTS {
            let fault = self.draw(|chance| chance.choice(faults()).unwrap());
            let (chance, given) = (Arc::clone(&self.chance), fault.clone());
            let strikes = move |request: &Recorded| {
                let drawn = chance.lock().unwrap().usize(..ONE_OF * FAULTS) < FAULTS;
                drawn && !is_lie(&given, request)
            };
            self.scene.obs.strike_first(strikes, fault);
        }
        let chance = Arc::clone(&self.chance);
        let time = move |_: &Recorded| Duration::from_millis(chance.lock().unwrap().u64(1..60));
        self.scene.obs.slow_copies(time);
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.chance.lock().unwrap())
    }

    /// Serves until this many more requests came, or everything is at rest; then kills.
    async fn killed(&self, life: Process) -> Process {
        let enough = self.scene.obs.requests().len() + self.draw(|chance| chance.usize(1..60));
        let came = || self.scene.obs.requests().len() >= enough;
        life.until(&self.at, |tasks| came() || tasks.iter().all(rests))
            .await;
        life.kill().await;
        self.scene.serve().await
    }

    /// Lets late effects happen some requests after theirs.
    async fn comes_late(&self) {
        let mut arrivals = self.scene.obs.arrivals();
        while arrivals.changed().await.is_ok() {
            if self.draw(|chance| chance.u8(..LATE_AT_ONE_OF) == 0) {
                self.scene.obs.release_late();
            }
        }
    }

    async fn service(&self) {
        self.trouble();
        let mut life = self.scene.serve().await;
        life.announce_all(&self.films).await;
        for _ in 0..KILLS {
            life = self.killed(life).await;
        }
        life.until(&self.at, |tasks| tasks.iter().all(rests)).await;
        self.scene.assert_never_lost(&self.films, &self.at);
        self.scene.obs.calm();
        self.scene.retry_dead();
        life.until(&self.at, |tasks| tasks.iter().all(rests)).await;
        life.stop().await;
    }

    async fn play(self) {
        tokio::select! {
            () = self.service() => {}
            () = self.comes_late() => {}
        }
        self.scene.assert_never_lost(&self.films, &self.at);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "shown when the test fails")]
async fn recordings_that_meet_are_never_lost_whatever_goes_wrong() {
    let seed = setting("AFTERTAKE_CHAOS_SEED").unwrap_or(1);
    let rounds = setting("AFTERTAKE_CHAOS_ROUNDS").unwrap_or(16);
    println!("AFTERTAKE_CHAOS_SEED={seed} AFTERTAKE_CHAOS_ROUNDS={rounds}");
    let plays =
        (seed..seed + rounds).map(|seed| async move { Round::new(seed).await.play().await });
    let plays: Vec<super::runs::Group> = plays.map(|play| vec![Box::pin(play) as _]).collect();
    for few in chunks(plays) {
        super::runs::run(few).await;
    }
}

/// Groups that run concurrently.
fn chunks(mut plays: Vec<super::runs::Group>) -> Vec<Vec<super::runs::Group>> {
    let mut chunks = Vec::new();
    while !plays.is_empty() {
        chunks.push(plays.split_off(plays.len().saturating_sub(4)));
    }
    chunks
}
