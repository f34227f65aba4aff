//! Explores every state that two moves can reach, whatever request fails, is lost or late, whatever
//! is cancelled, retried or recorded again, and wherever the process ends.
//!
//! The decisions are the product's (`aftertake::model::moves`), in the order of `action::rename`.
//! In every state each recording is whole somewhere; every state can reach rest; at rest nothing
//! is left that no task reports. `AFTERTAKE_EXPLORER_FAULTS=n` sets the number of faults in one
//! history.

mod search;
mod state;
mod steps;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use aftertake::model::step::OnConflict::{self, Fail, KeepBoth, Overwrite};

use self::search::explore;
use self::state::{Content, Key, Task};
use self::world::Left;

/// Faults in one history without `AFTERTAKE_EXPLORER_FAULTS`.
const FAULTS: u8 = 1;

const A: Key = 0;
const B: Key = 1;
const C: Key = 2;

#[derive(Debug, Clone)]
struct Scene {
    name: String,
    /// Recordings by key.
    objects: &'static [(Key, u8)],
    tasks: [Task; 2],
    /// What the recorder writes again, and where.
    again: (Key, Content),
    /// Whether copies get a unique `ETag`, as encrypted ones do.
    encrypted: bool,
    left: Left,
}

/// A bug planted on purpose, to check that the exploration finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    /// Two moves may use one key.
    NoLedger,
    /// Any object at the target counts as our copy.
    AnyObjectIsOurs,
    /// Encrypted copies carry no mark.
    NoMarks,
    /// A failure after the commit removes the copy.
    UndoesAfterCommit,
    /// A source is deleted without a HEAD of the copy in the same run.
    NoLookBeforeDeletion,
    /// A task ends as done while its move is committed but incomplete.
    ContinuesAfterCommit,
    /// Another recording under a reused key counts as the same recording.
    ReusedKeyRenews,
    /// A key is free although a request for it may still arrive.
    NoLateKeys,
    /// `overwrite` replaces what another task is about to move.
    OverwritesWhatIsWanted,
    /// An object that another recording's playlist names is taken away.
    TakesWhatOthersName,
    /// A survey of a target is trusted although another task has moved something there since.
    OldLookIsBelieved,
    /// Every recording leaves shared objects behind, even the last one.
    NobodyIsTheLast,
}

fn left(faults: u8) -> Left {
    Left {
        faults,
        recordings: 0,
        cancels: 0,
        retries: 0,
        meddlings: 0,
    }
}

fn scene(name: &str, tasks: &[Task; 2], encrypted: bool, left: Left) -> Scene {
    let again = Content {
        recording: 0,
        version: 2,
    };
    Scene {
        name: format!("{name}, encrypted: {encrypted}"),
        objects: &[(A, 0), (B, 1)],
        tasks: *tasks,
        again: (A, again),
        encrypted,
        left,
    }
}

/// Two recordings that are moved to one key, or to each other's.
fn crossing(faults: u8) -> Vec<Scene> {
    let policies: [OnConflict; 3] = [Fail, Overwrite, KeepBoth];
    let mut scenes = Vec::new();
    for encrypted in [false, true] {
        for policy in policies {
            for (name, first, second) in [
                ("one target", C, C),
                ("one after the other", C, A),
                ("swap", B, A),
            ] {
                let tasks = [
                    Task::new(0, A, first, policy),
                    Task::new(1, B, second, policy),
                ];
                let name = format!("{name}, {policy:?}");
                scenes.push(scene(&name, &tasks, encrypted, left(faults)));
            }
        }
    }
    scenes
}

/// One of two recordings is cancelled, or is recorded again while it is moved.
fn alone(faults: u8) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for encrypted in [false, true] {
        let tasks = [Task::new(0, A, C, Fail), Task::new(1, B, C, KeepBoth)];
        let cancelled = Left {
            cancels: 1,
            ..left(faults)
        };
        scenes.push(scene("cancelled", &tasks, encrypted, cancelled));
        let meddled = Left {
            meddlings: 1,
            ..left(faults)
        };
        scenes.push(scene("meddled with", &tasks, encrypted, meddled));
        let grows = Left {
            recordings: 1,
            ..left(faults)
        };
        // The second task belongs to the later event.
        let tasks = [Task::new(0, A, C, Fail), Task::new(0, A, C, Fail)];
        scenes.push(Scene {
            objects: &[(A, 0)],
            ..scene("grows", &tasks, encrypted, grows)
        });
        let tasks = [Task::new(0, A, C, Fail), Task::new(2, A, C, Fail)];
        let other = Content {
            recording: 2,
            version: 1,
        };
        scenes.push(Scene {
            objects: &[(A, 0)],
            again: (A, other),
            ..scene("key used again", &tasks, encrypted, grows)
        });
    }
    scenes
}

/// Recordings that replace an existing one and each other. One task is cancelled and retried.
fn stopped(faults: u8) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for encrypted in [false, true] {
        for (name, policy) in [("stopped", Overwrite), ("stopped, first", Fail)] {
            let tasks = [Task::new(0, A, C, policy), Task::new(1, B, C, Overwrite)];
            let left = Left {
                cancels: 1,
                retries: 1,
                ..left(faults)
            };
            scenes.push(Scene {
                objects: &[(A, 0), (B, 1), (C, 2)],
                ..scene(name, &tasks, encrypted, left)
            });
            scenes.push(scene(
                &format!("{name}, none there"),
                &tasks,
                encrypted,
                left,
            ));
        }
    }
    scenes
}

/// A replayed event whose target is taken from the beginning or later.
fn replayed(faults: u8) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for encrypted in [false, true] {
        for objects in [&[(A, 0), (C, 1)][..], &[(A, 0)]] {
            let task = Task::new(0, A, C, KeepBoth);
            let meddled = Left {
                cancels: 1,
                meddlings: 1,
                ..left(faults)
            };
            let name = format!("replayed, {} objects", objects.len());
            scenes.push(Scene {
                objects,
                ..scene(&name, &[task, task.replaying()], encrypted, meddled)
            });
        }
    }
    scenes
}

/// Two recordings that share an object, with two targets or one.
fn sharing(faults: u8) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for encrypted in [false, true] {
        for (name, second) in [("shared, two targets", C), ("shared, one target", B)] {
            let tasks = [
                Task::new(0, A, B, Fail).sharing(),
                Task::new(1, A, second, Fail).sharing(),
            ];
            let cancelled = Left {
                // With encryption this takes minutes and shows nothing else.
                cancels: u8::from(!encrypted && faults < 2),
                ..left(faults)
            };
            for (when, tasks) in [
                ("both there", tasks),
                ("one comes later", [tasks[0], tasks[1].coming_later()]),
            ] {
                let name = format!("{name}, {when}");
                scenes.push(Scene {
                    objects: &[(A, 0)],
                    ..scene(&name, &tasks, encrypted, cancelled)
                });
            }
        }
    }
    scenes
}

fn faults() -> u8 {
    std::env::var("AFTERTAKE_EXPLORER_FAULTS")
        .ok()
        .map_or(FAULTS, |text| text.parse().expect("a number of faults"))
}

#[expect(
    clippy::print_stdout,
    reason = "how much was explored, with --nocapture"
)]
#[test]
fn every_recording_is_whole_in_every_state_and_everything_comes_to_rest() {
    let scenes: Vec<_> = crossing(faults())
        .into_iter()
        .chain(alone(faults()))
        .chain(replayed(faults()))
        .chain(stopped(faults()))
        .chain(sharing(faults()))
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let run = || {
        let mut explored = 0;
        while let Some(scene) = scenes.get(next.fetch_add(1, Ordering::Relaxed)) {
            match explore(scene, Planted::Nothing) {
                Ok(states) => {
                    println!("{states} states: {}", scene.name);
                    explored += states;
                }
                Err(found) => panic!("{}\n{found}", scene.name),
            }
        }
        explored
    };
    let explored: usize = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|one| one.join().unwrap()).sum()
    });
    println!("{explored} states");
    assert!(explored > 10_000, "only {explored} states");
}

#[expect(clippy::print_stdout, reason = "what was found, with --nocapture")]
#[test]
fn every_planted_mistake_is_found() {
    for (planted, sign) in [
        (Planted::NoLedger, "nowhere"),
        (Planted::AnyObjectIsOurs, "nowhere"),
        (Planted::NoMarks, "hold"),
        (Planted::UndoesAfterCommit, "nowhere"),
        (Planted::NoLookBeforeDeletion, "nowhere"),
        (Planted::ContinuesAfterCommit, "no way leads to rest"),
        (Planted::ReusedKeyRenews, "nowhere"),
        (Planted::NoLateKeys, "nowhere"),
        (Planted::OverwritesWhatIsWanted, "nowhere"),
        (Planted::TakesWhatOthersName, "cannot be played"),
        (Planted::NobodyIsTheLast, "belongs to nobody"),
        (Planted::OldLookIsBelieved, "cannot be played"),
    ] {
        let scenes = match planted {
            Planted::TakesWhatOthersName
            | Planted::NobodyIsTheLast
            | Planted::OldLookIsBelieved => sharing(1),
            _ => crossing(1).into_iter().chain(alone(1)).collect(),
        };
        let scenes = scenes.iter();
        let mut found = scenes.filter_map(|scene| explore(scene, planted).err());
        let found = found
            .next()
            .unwrap_or_else(|| panic!("{planted:?} is not found"));
        println!("{planted:?}: {}", found.lines().last().unwrap_or_default());
        assert!(found.contains(sign), "{planted:?}: {found}");
    }
}
