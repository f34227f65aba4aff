//! The same move over and over, each time with another of its requests broken.
//!
//! One service runs all moves, as starting it would take most of the time.

use aftertake::model::recording::Place;
use tokio::task::JoinSet;

use super::film::{Film, members};
use super::process::Process;
use super::scene::Scene;
use crate::support::fake_obs::{FakeObs, Fault, Kind, Object, Recorded};
use crate::support::obs_recording::{ARCHIVE, RECORDED};
use crate::support::recording::place;

/// Faults to list in a failure message.
const SHOWN: usize = 60;

/// What is moved, on which kind of bucket, to which bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    film: fn(&str) -> Film,
    pub(crate) kind: Kind,
    to: &'static str,
    encrypted: bool,
}

fn mp4(mark: &str) -> Film {
    Film::mp4(mark, &format!("r/{mark}/a.mp4"), 500)
}

fn large(mark: &str) -> Film {
    Film::mp4(mark, &format!("r/{mark}/a.mp4"), 1150)
}

fn hls(mark: &str) -> Film {
    Film::hls(mark, &format!("r/{mark}/a.m3u8"), 6)
}

const fn case(name: &'static str, film: fn(&str) -> Film, kind: Kind, to: &'static str) -> Case {
    Case {
        name,
        film,
        kind,
        to,
        encrypted: false,
    }
}

const fn encrypted(name: &'static str, film: fn(&str) -> Film, to: &'static str) -> Case {
    Case {
        encrypted: true,
        ..case(name, film, Kind::Objects, to)
    }
}

pub(crate) const PLAIN: [Case; 6] = [
    case("mp4", mp4, Kind::Objects, RECORDED),
    case("mp4 by parts", large, Kind::Objects, ARCHIVE),
    case("hls", hls, Kind::Objects, ARCHIVE),
    case("mp4, file system", mp4, Kind::FileSystem, RECORDED),
    case(
        "mp4 by parts, file systems",
        large,
        Kind::FileSystem,
        ARCHIVE,
    ),
    case("hls, file system", hls, Kind::FileSystem, RECORDED),
];

pub(crate) const ENCRYPTED: [Case; 3] = [
    encrypted("encrypted mp4", mp4, RECORDED),
    encrypted("encrypted mp4 by parts", large, ARCHIVE),
    encrypted("encrypted hls", hls, ARCHIVE),
];

impl Case {
    /// A scene whose only rule moves each film to a separate folder.
    pub(crate) async fn scene(self, policy: &str) -> Scene {
        let rules = format!(
            "[{{ name: keep, steps: [{{ rename: {{ to: 'kept/{{{{ room_id }}}}/', bucket: {}, on_conflict: {policy} }} }}] }}]",
            self.to
        );
        Scene::new(&rules).await.of_kind(self.kind)
    }

    pub(crate) fn film(self, number: usize) -> Film {
        (self.film)(&format!("{number:04}"))
    }

    pub(crate) fn record(self, scene: &Scene, film: &Film) {
        if self.encrypted {
            scene.record_as(film, Object::encrypted);
        } else {
            scene.record(film);
        }
    }

    /// Puts a longer set under the same name at the film's target. Returns the objects that the
    /// film does not replace.
    pub(crate) fn replaced(self, scene: &Scene, film: &Film) -> Vec<Place> {
        let older = Film::hls(&format!("older {}", film.room), &film.at.key, 8);
        let moved = |at: &Place| {
            let (_, name) = at.key.rsplit_once('/').unwrap();
            place(self.to, &format!("kept/{}/{name}", film.room))
        };
        let mut rest = Vec::new();
        for (at, content) in older.objects() {
            scene.put(&moved(&at), std::str::from_utf8(&content).unwrap());
            if !film.objects().contains_key(&at) {
                rest.push(moved(&at));
            }
        }
        rest
    }

    /// The requests of one undisturbed move by a service that has moved others before.
    pub(crate) async fn requests(self, policy: &str) -> Vec<Recorded> {
        let scene = self.scene(policy).await;
        let life = scene.serve().await;
        let mut from = 0;
        for number in 0..2 {
            let film = self.film(number);
            self.record(&scene, &film);
            if policy == "overwrite" && film.is_set() {
                self.replaced(&scene, &film);
            }
            from = scene.obs.requests().len();
            life.announce(&film).await;
            life.rest("undisturbed").await;
        }
        life.stop().await;
        scene.obs.requests().split_off(from)
    }
}

/// Selects the requests to break, by number.
pub(crate) type Which = fn(&[Recorded]) -> std::ops::Range<usize>;

/// From the last request that creates the target on: requests on both sides of the commit.
pub(crate) fn from_last_copy(requests: &[Recorded]) -> std::ops::Range<usize> {
    let makes = |request: &Recorded| match request.method.as_str() {
        "PUT" => request.is_copy() || request.query.is_empty(),
        "POST" => request.has("uploadId") || request.has("rename"),
        _ => false,
    };
    let last = requests.iter().rposition(makes).unwrap();
    last..requests.len()
}

pub(crate) fn all(requests: &[Recorded]) -> std::ops::Range<usize> {
    0..requests.len()
}

/// A film, and what happened to one request of its move.
struct Struck {
    film: Film,
    at: String,
    /// An object that was at its target before and must stay.
    stranger: Option<Place>,
    /// Further objects of the replaced recording, which must be deleted.
    rest: Vec<Place>,
    /// The response said that the source was gone, which was not true.
    misled: bool,
}

/// One service and the films that it has moved.
struct Sweep {
    case: Case,
    policy: &'static str,
    scene: Scene,
    life: Process,
    struck: Vec<Struck>,
    faults: Vec<String>,
}

/// Moves one film per pair of fault and request, one after the other; then removes all faults
/// and retries dead tasks. Returns what is wrong.
async fn sweep(
    case: Case,
    policy: &'static str,
    which: Which,
    faults: Vec<Fault>,
    one_of: usize,
) -> Vec<String> {
    let numbers = which(&case.requests(policy).await);
    let scene = case.scene(policy).await;
    let mut sweep = Sweep {
        life: scene.serve().await,
        case,
        policy,
        scene,
        struck: Vec::new(),
        faults: Vec::new(),
    };
    // A service's first move also requests the kinds of the buckets.
    sweep.strike(None).await;
    for (place, fault) in faults.into_iter().enumerate() {
        for number in numbers.clone() {
            if (place + number).is_multiple_of(one_of) {
                sweep.strike(Some((number, fault.clone()))).await;
            }
        }
    }
    let films: Vec<Film> = sweep.struck.iter().map(|one| one.film.clone()).collect();
    sweep.scene.guard(&films);
    if sweep.scene.retry_dead() > 0 {
        sweep.life.rest(case.name).await;
    }
    sweep.settle().await
}

impl Sweep {
    async fn strike(&mut self, fault: Option<(usize, Fault)>) {
        let (case, scene) = (self.case, &self.scene);
        let film = case.film(self.struck.len());
        let at = format!("{}, {}: {fault:?}", case.name, self.policy);
        case.record(scene, &film);
        let (stranger, rest) = self.at_target(&film);
        let films = std::slice::from_ref(&film);
        scene.guard(films);
        let from = scene.obs.requests().len();
        if let Some((number, fault)) = fault.clone() {
            scene.obs.strike(number, fault);
        }
        self.life.announce(&film).await;
        self.life.rest(&at).await;
        scene.obs.calm();
        let lost = scene.lost(films);
        self.faults
            .extend(lost.iter().map(|lost| format!("{at}: {lost}")));
        let misled =
            fault.is_some_and(|(number, fault)| misleads(&scene.obs, from + number, &fault));
        self.struck.push(Struck {
            film,
            at,
            stranger,
            rest,
            misled,
        });
    }

    /// Puts a stranger's object at the target and returns it if it must stay; or another recording,
    /// and what of it must be deleted.
    fn at_target(&self, film: &Film) -> (Option<Place>, Vec<Place>) {
        let Self { case, scene, .. } = self;
        if self.policy == "overwrite" && film.is_set() {
            return (None, case.replaced(scene, film));
        }
        if self.policy == "fail" || case.kind != Kind::Objects {
            return (None, Vec::new());
        }
        let there = place(
            self.case.to,
            &format!("kept/{}/{}", film.room, film.at.name()),
        );
        self.scene.put(&there, "a stranger's");
        let stays = self.policy == "keep_both";
        (stays.then_some(there), Vec::new())
    }

    /// Returns what is wrong at the end: every task must be done, each film be at its target, and
    /// nothing else exist.
    async fn settle(mut self) -> Vec<String> {
        let (mut films, mut others) = (Vec::new(), Vec::new());
        let objects = self.scene.objects();
        for one in &self.struck {
            let (film, at) = (&one.film, &one.at);
            let task = self.scene.task(film);
            if task.state != "done" {
                self.faults
                    .push(format!("{at}: {} {:?}", task.state, task.failure));
            }
            let places = film.places(&objects);
            if !places.iter().any(|one| one.key.starts_with("kept")) {
                self.faults.push(format!("{at}: it is at {places:?}"));
            }
            others.extend(one.stranger.clone());
            if one.misled {
                let source = film.objects().into_keys().chain(one.rest.clone());
                others.extend(
                    places
                        .iter()
                        .flat_map(|at| members(&objects, at))
                        .chain(source),
                );
            } else {
                films.push(film.clone());
            }
        }
        let all = format!("{}, {}", self.case.name, self.policy);
        let wrong = self.scene.faults(&films, &others);
        self.faults
            .extend(wrong.iter().map(|wrong| format!("{all}: {wrong}")));
        self.life.stop().await;
        self.faults
    }
}

/// Whether a client has to believe this wrong response: that the source is missing, or that it
/// was deleted.
fn misleads(obs: &FakeObs, number: usize, fault: &Fault) -> bool {
    let requests = obs.requests();
    let Some(request) = requests.get(number) else {
        return false;
    };
    match fault {
        Fault::Refuse(404, _) => true,
        Fault::RefuseAfter(404, _) => ["GET", "HEAD"].contains(&request.method.as_str()),
        _ => false,
    }
}

/// Sweeps all cases under all policies concurrently: one of so many pairs of fault and request, or
/// every pair with `AFTERTAKE_SWEEP=whole`.
pub(crate) async fn sweep_all(
    cases: &'static [Case],
    policies: &'static [&'static str],
    which: Which,
    faults: &[Fault],
    one_of: usize,
) {
    let is_whole = std::env::var("AFTERTAKE_SWEEP").is_ok_and(|sweep| sweep == "whole");
    let one_of = if is_whole { 1 } else { one_of };
    let mut sweeps = JoinSet::new();
    for case in cases {
        for policy in policies {
            sweeps.spawn(sweep(*case, policy, which, faults.to_vec(), one_of));
        }
    }
    let wrong = sweeps.join_all().await.concat();
    let shown = wrong[..wrong.len().min(SHOWN)].join("\n");
    assert!(wrong.is_empty(), "{} are wrong:\n{shown}", wrong.len());
}
