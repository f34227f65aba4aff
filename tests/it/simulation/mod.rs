//! The real workers and the real store, for days of simulated time, in a world where anything can
//! fail at any time: crashes, clock changes, requests that fail, hang and lie, people who cancel,
//! retry, pause and change the rules.
//!
//! A seed determines the whole run. Promises are checked at every write and every effect, and once
//! more when everything is at rest. `AFTERTAKE_SIM_SEED=n` runs one seed, `AFTERTAKE_SIM_SEEDS=n`
//! sets their number.

mod alive;
mod at_rest;
mod bucket;
mod checked_store;
mod keys;
mod ledger;
mod process;
mod receiver;
mod recorder;
mod recording;
mod rules;
mod run_log;
mod sim;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use self::checked_store::Shelf;
use self::run_log::RunLog;
use self::sim::{Planted, Sim};
use crate::support::database::Database;
use crate::support::folder_in_memory;

/// The number of seeds without `AFTERTAKE_SIM_SEEDS`.
const SEEDS: u64 = 300;

/// Simulated time after which a run counts as stuck: runs last about a week.
const LONGEST: Duration = Duration::from_hours(24 * 90);

/// The variable for one seed.
const ONE: &str = "AFTERTAKE_SIM_SEED";

/// Log lines to show of a failed run; a single requested seed shows all.
const SHOWN: usize = 60;

/// An empty store, as the start of every run.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = folder_in_memory();
    let path = folder.path().join("a.db");
    drop(Database::at(&path).open_here());
    std::fs::read(path).unwrap()
});

struct Run {
    verdict: Result<(), String>,
    story: Vec<String>,
}

fn run(seed: u64, planted: Planted) -> Run {
    let folder = folder_in_memory();
    let path = folder.path().join("a.db");
    std::fs::write(&path, &*EMPTY).unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let told = Mutex::new(None);
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let sim = Arc::new(Sim::new(seed, planted));
            *told.lock().unwrap() = Some(Arc::clone(&sim));
            let played = tokio::time::timeout(
                LONGEST,
                play(&sim, Arc::new(Shelf::new(Database::at(path)))),
            );
            let ended = tokio::select! {
                biased;
                () = sim.endless() => true,
                ended = played => ended.is_ok(),
            };
            if !ended {
                sim.broken("it waits forever");
            }
        });
    }));
    drop(runtime);
    let sim = told.into_inner().unwrap().expect("a run that began");
    let crashed = played.map_err(|_| "the simulation itself crashed".to_owned());
    Run {
        verdict: sim.verdict().and(crashed),
        story: sim.story(),
    }
}

async fn play(sim: &Arc<Sim>, shelf: Arc<Shelf>) {
    let mut story = RunLog::begin(Arc::clone(sim), shelf).await;
    story.unfold().await;
    story.calm_down().await;
    story.come_to_rest().await;
    if story.sim.verdict().is_ok() {
        story.check();
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is not a number")),
    )
}

/// The first of these seeds that fails, and how.
fn first_wrong(seeds: std::ops::Range<u64>, planted: Planted) -> Option<(u64, Run)> {
    let next = AtomicU64::new(seeds.start);
    let wrong = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while wrong.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let run = run(seed, planted);
                    if run.verdict.is_err() {
                        wrong.lock().unwrap().get_or_insert((seed, run));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    let seeds = match number(ONE) {
        Some(seed) => seed..seed + 1,
        None => 0..number("AFTERTAKE_SIM_SEEDS").unwrap_or(SEEDS),
    };
    if let Some((seed, run)) = first_wrong(seeds, Planted::Nothing) {
        let shown = if number(ONE).is_some() {
            usize::MAX
        } else {
            SHOWN
        };
        let from = run.story.len().saturating_sub(shown);
        let story = run.story[from..].join("\n");
        let how = run.verdict.unwrap_err();
        panic!("{story}\nseed {seed}: {how}\nrun it again with {ONE}={seed}");
    }
}

#[test]
fn same_seed_is_the_same_run() {
    for seed in 0..20 {
        let [one, other] = [(); 2].map(|()| run(seed, Planted::Nothing));
        assert_eq!(one.story, other.story, "seed {seed}");
    }
}

/// Tests the simulation itself: a bug planted outside the product is noticed, in one of the ways
/// `how` it may show.
fn assert_noticed(planted: Planted, how: &[&str]) {
    let (mut next, mut found) = (0, Vec::new());
    while let Some((seed, run)) = first_wrong(next..600, planted) {
        let told = run.verdict.unwrap_err();
        if how.iter().any(|how| told.contains(how)) {
            return;
        }
        next = seed + 1;
        found.push((seed, told));
    }
    panic!("only noticed as: {found:?}");
}

#[test]
fn simulation_notices_a_store_without_a_fence() {
    assert_noticed(Planted::NoFence, &["is the newest"]);
}

#[test]
fn simulation_notices_a_claim_that_spends_no_try() {
    assert_noticed(Planted::FreeTries, &["were begun"]);
}

#[test]
fn simulation_notices_a_store_that_believes_every_due_time() {
    assert_noticed(Planted::CredulousOfDueTimes, &["a task that waits or runs"]);
}

#[test]
fn simulation_notices_a_store_that_computes_ages_from_the_clock_alone() {
    // A repeated callback counts as a new one.
    assert_noticed(
        Planted::CredulousOfTheClock,
        &["is not all there", "is claimed after"],
    );
}

#[test]
fn simulation_notices_a_source_deleted_before_its_copy_is_verified() {
    assert_noticed(Planted::BlindVerify, &["whole"]);
}
