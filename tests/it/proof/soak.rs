//! The real program under mixed load for a long time, with failing callers and receivers: its
//! resources do not grow, and what it acknowledged is done.
//!
//! `AFTERTAKE_SOAK_MINUTES` sets the duration. Memory is judged only then, as it needs time to
//! level off.

use std::collections::BTreeMap;
use std::time::Duration;

use aftertake::model::id::EventId;
use fastrand::Rng;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::load::{Post, exchange, id_of, request};
use super::process::{Usage, let_go};
use super::torture::account::{Account, quiet};
use super::torture::recordings::{Recordings, Writer, body};
use super::torture::setting;
use crate::support::in_time;
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::sink::{Reply, Sink};

/// Callers; each has separate rooms.
const CALLERS: usize = 5;
/// Time between the posts of a caller in a long run.
const PACE: Duration = Duration::from_millis(400);
/// The same for a short run, and its duration.
const QUICK: Duration = Duration::from_millis(100);
const SECONDS: u64 = 8;
/// The most requests per second that a receiver gets.
const REQUESTS: u64 = 200;
/// Allowed growth of memory after the first third, in kB: less than one for each callback of
/// half an hour.
const GROWTH: u64 = 16 * 1024;

/// A caller that posts the callbacks of one lane, sometimes badly.
struct Caller {
    lane: usize,
    address: String,
    pace: Duration,
    writer: Writer,
    stop: CancellationToken,
    connection: Option<BufReader<TcpStream>>,
    posts: Vec<Post>,
}

impl Caller {
    async fn post_all(mut self) -> Vec<Post> {
        let mut pace = tokio::time::interval(self.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            pace.tick().await;
            if self.stop.is_cancelled() {
                break;
            }
            self.post(number).await;
        }
        self.posts
    }

    /// Posts a callback until it is acknowledged; half of the time sends something else first.
    async fn post(&mut self, number: usize) {
        let lane = self.lane;
        self.writer.record(lane, number);
        let body = body(lane, number);
        let whole = request(&body);
        match number % 8 {
            0 => {
                self.hang_up_after(&whole[..whole.len() - number % 100])
                    .await;
            }
            1 => self.hang_up_after(&whole).await,
            2 => self.ask(&body[1..], 400).await,
            3 => self.ask(&body, 200).await,
            _ => {}
        }
        self.ask(&body, 200).await;
        self.posts.push(Post {
            lane,
            number,
            id: id_of(&body),
            status: Some(200),
        });
    }

    /// Sends this and disconnects before the response.
    async fn hang_up_after(&mut self, sent: &str) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
    }

    /// Repeats the request until the response has this status: a busy machine's disk can be slow.
    async fn ask(&mut self, body: &str, answer: u16) {
        let asked = async {
            loop {
                match self.exchange(body).await {
                    Ok(503) | Err(_) => {}
                    Ok(other) => return other,
                }
            }
        };
        assert_eq!(in_time(asked).await, answer, "{body}");
    }

    async fn exchange(&mut self, body: &str) -> std::io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => BufReader::new(TcpStream::connect(&self.address).await?),
        };
        let status = exchange(&mut connection, body).await?;
        self.connection = Some(connection);
        Ok(status)
    }
}

fn calls(
    recordings: &Recordings,
    served: &ServiceProcess,
    pace: Duration,
    stop: &CancellationToken,
) -> Vec<JoinHandle<Vec<Post>>> {
    let call = |lane| {
        let caller = Caller {
            lane,
            address: served.public.clone(),
            pace,
            writer: recordings.writer(),
            stop: stop.clone(),
            connection: None,
            posts: Vec::new(),
        };
        tokio::spawn(caller.post_all())
    };
    (0..CALLERS).map(call).collect()
}

/// Replies for this many seconds; a quarter of them are failures.
fn replies(seconds: u64) -> Vec<Reply> {
    let mut chance = Rng::with_seed(seconds);
    let mut reply = || match chance.u8(..100) {
        0..2 => Reply::Hang,
        2..8 => Reply::Reset,
        8..10 => Reply::CutShort,
        10..20 => Reply::status(500),
        20..25 => Reply::status(429),
        _ => Reply::status(200),
    };
    (0..seconds * REQUESTS).map(|_| reply()).collect()
}

/// Samples the program every second and prints a line every minute.
#[expect(clippy::print_stdout, reason = "the report of a long run")]
async fn watch(served: &ServiceProcess, sink: &Sink, seconds: u64) -> Vec<Usage> {
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    let mut seen = Vec::new();
    for second in 0..seconds {
        pace.tick().await;
        let usage = Usage::of(served);
        if second % 60 == 0 {
            println!(
                "minute {}: {usage}, {} requests sent",
                second / 60,
                sink.count()
            );
        }
        seen.push(usage);
    }
    seen
}

/// Asserts that memory was no higher in the last third than in the first.
fn assert_flat(seen: &[Usage]) {
    let third = seen.len() / 3;
    let most = |part: &[Usage]| part.iter().map(|usage| usage.memory).max().unwrap();
    let (first, last) = (most(&seen[..third]), most(&seen[seen.len() - third..]));
    assert!(last <= first + GROWTH, "{last} kB after {first} kB");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the report of a long run")]
async fn load_of_all_kinds_leaves_nothing_behind_however_long_it_goes_on() {
    let minutes = setting("AFTERTAKE_SOAK_MINUTES");
    let seconds = minutes.map_or(SECONDS, |minutes| minutes * 60);
    let pace = minutes.map_or(QUICK, |_| PACE);
    let sink = Sink::start(replies(seconds)).await;
    let recordings = Recordings::with(&sink, "timeout: 1s, ");
    let mut served = ServiceProcess::start(&mut serving(recordings.folder()));
    let rest = Usage::of(&served);

    let stop = CancellationToken::new();
    let calls = calls(&recordings, &served, pace, &stop);
    let seen = watch(&served, &sink, seconds).await;
    stop.cancel();
    let mut posts: BTreeMap<EventId, Post> = BTreeMap::new();
    for call in calls {
        posts.extend(call.await.unwrap().into_iter().map(|post| (post.id, post)));
    }
    quiet(&served).await;
    let_go(&served, rest).await;
    println!("at rest: {}; {rest} before", Usage::of(&served));
    println!("{} callbacks, {} requests sent", posts.len(), sink.count());

    served.stop();
    Account::of(&recordings, &posts, &sink).settle().await;
    if minutes.is_some() {
        assert_flat(&seen);
    }
}
