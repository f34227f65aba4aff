//! The real program under load, killed at random moments again and again. At the end everything
//! that it acknowledged must be done.
//!
//! `AFTERTAKE_TORTURE_ROUNDS` sets the number of kills, `AFTERTAKE_TORTURE_SEED` repeats an
//! earlier choice of moments. A seed repeats the plan of a run, not the operating system's
//! scheduling.

pub(super) mod account;
pub(super) mod recordings;

use std::collections::BTreeMap;
use std::time::Duration;

use aftertake::model::id::EventId;
use fastrand::Rng;

use self::account::Account;
use self::recordings::{Recordings, body};
use crate::proof::load::{Load, Post};
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::sink::{Reply, Sink};

/// Callers; each has separate rooms.
const CALLERS: usize = 6;
/// The longest time from a round's signal to its kill, in microseconds.
const AFTERWARDS: u64 = 4_000;
/// The longest wait before a starting program is killed, in microseconds.
const START: u64 = 150_000;

/// When a round's kill happens.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Starting,
    Acknowledged(usize),
    Delivered(usize),
}

impl Moment {
    fn draw(chance: &mut Rng) -> Self {
        match chance.u8(..6) {
            0 => Self::Starting,
            1..4 => Self::Acknowledged(chance.usize(1..80)),
            _ => Self::Delivered(chance.usize(1..150)),
        }
    }
}

pub(super) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// A random sleep; it waits for nothing.
async fn any_time(chance: &mut Rng, longest_us: u64) {
    tokio::time::sleep(Duration::from_micros(chance.u64(..longest_us))).await;
}

struct Torture {
    recordings: Recordings,
    sink: Sink,
    chance: Rng,
    /// The number of each caller's next callback.
    next: Vec<usize>,
    posts: BTreeMap<EventId, Post>,
}

impl Torture {
    async fn set(seed: u64, rounds: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        let replies = (0..rounds * 20).map(|_| match chance.u8(..8) {
            0 => Reply::status(503),
            1 => Reply::Reset,
            _ => Reply::status(200),
        });
        let sink = Sink::start(replies.collect::<Vec<_>>()).await;
        let recordings = Recordings::new(&sink);
        Self {
            recordings,
            sink,
            chance,
            next: vec![0; CALLERS],
            posts: BTreeMap::new(),
        }
    }

    async fn round(&mut self) {
        let moment = Moment::draw(&mut self.chance);
        let mut command = serving(self.recordings.folder());
        if let Moment::Starting = moment {
            command.stderr(std::process::Stdio::null());
            let mut child = command.spawn().unwrap();
            any_time(&mut self.chance, START).await;
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        }
        let mut served = ServiceProcess::start(&mut command);
        let load = self.load(&served);
        match moment {
            Moment::Acknowledged(count) => load.answered(200, count).await,
            Moment::Delivered(count) => self.sink.received_more(count).await,
            Moment::Starting => {}
        }
        any_time(&mut self.chance, AFTERWARDS).await;
        served.kill();
        self.note(load).await;
    }

    fn load(&self, served: &ServiceProcess) -> Load {
        let writer = self.recordings.writer();
        Load::resume(served, self.next.clone(), move |lane, number| {
            writer.record(lane, number);
            body(lane, number)
        })
    }

    /// Records the responses. A caller whose last callback got none posts it again, or not, at
    /// random.
    async fn note(&mut self, load: Load) {
        for call in load.stop().await {
            for post in call.posts {
                let again = post.status.is_none() && self.chance.bool();
                self.next[post.lane] = post.number + usize::from(!again);
                assert!(matches!(post.status, None | Some(200)), "{post:?}");
                let known = self.posts.entry(post.id).or_insert(post.clone());
                known.status = known.status.or(post.status);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "shown when the test fails")]
async fn whatever_was_acknowledged_is_done_as_the_rules_say_however_often_the_program_is_killed() {
    let seed = setting("AFTERTAKE_TORTURE_SEED").unwrap_or_else(|| Rng::new().u64(..1_000_000));
    let rounds = setting("AFTERTAKE_TORTURE_ROUNDS").unwrap_or(30);
    println!("AFTERTAKE_TORTURE_SEED={seed} AFTERTAKE_TORTURE_ROUNDS={rounds}");
    let mut torture = Torture::set(seed, rounds).await;
    for _ in 0..rounds {
        torture.round().await;
    }
    let mut served = ServiceProcess::start(&mut serving(torture.recordings.folder()));
    account::quiet(&served).await;
    served.stop();
    Account::of(&torture.recordings, &torture.posts, &torture.sink)
        .settle()
        .await;
}
