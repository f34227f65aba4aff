//! About ten times more callbacks than the disk can take. Refused callers get a `Retry-After`,
//! memory stays bounded, deliveries go on, and once the disk is fast again nothing remains of it.
//!
//! `AFTERTAKE_FLOOD_SECONDS` sets the duration.

use std::fmt;
use std::time::Duration;

use aftertake::clock::Stopwatch;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::preload::Preload;
use super::{Stage, body, object};
use crate::proof::load::exchange;
use crate::proof::process::{Usage, connections, let_go};
use crate::proof::torture::setting;
use crate::support::service_process::ServiceProcess;
use crate::support::sink::Sink;
use crate::support::{TOO_LONG, in_time};

/// Callbacks per second in a long flood: ten times what the disk takes. A commit takes two
/// seconds. Every other commit stores up to 256 callbacks, those between store the workers'
/// writes, so the disk takes 64 a second.
const PER_SECOND: u64 = 640;
/// Callbacks per second in a short flood, and its duration.
const FEW_PER_SECOND: u64 = 400;
const SECONDS: u64 = 4;
/// How long a caller waits for a response, and how many wait at once.
const PATIENCE: Duration = Duration::from_secs(10);
const CALLERS: usize = 6_400;
/// Bursts per second, and the time between them.
const TICKS: u64 = 20;
const TICK: Duration = Duration::from_millis(50);
/// Callbacks that must be refused, and deliveries that must happen: the destination's
/// concurrency, and one that began after a worker's write.
const REFUSED: usize = 100;
const DELIVERED: usize = 16 + 1;
/// Allowed growth of memory in kB: what the accepted connections may hold.
const GROWTH: u64 = 64 * 1024;

#[derive(Debug, Clone, Default)]
struct Tally {
    offered: usize,
    /// Numbers of the callbacks answered 200.
    taken: Vec<usize>,
    refused: usize,
    /// No response in time.
    unanswered: usize,
}

impl Tally {
    fn objects(&self) -> Vec<String> {
        let taken = self.taken.iter();
        taken.map(|number| object(number % 100, *number)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offered, taken) = (self.offered, self.taken.len());
        let (refused, unanswered) = (self.refused, self.unanswered);
        write!(
            f,
            "{offered} offered, {taken} taken, {refused} refused, {unanswered} unanswered"
        )
    }
}

/// Callbacks, each on a new connection.
struct Flood {
    address: String,
    calls: JoinSet<(usize, Option<u16>)>,
    tally: Tally,
}

impl Flood {
    fn onto(served: &ServiceProcess) -> Self {
        Self {
            address: served.public.clone(),
            calls: JoinSet::new(),
            tally: Tally::default(),
        }
    }

    fn offer(&mut self) {
        let number = self.tally.offered;
        self.tally.offered += 1;
        let call = call(self.address.clone(), number);
        self.calls.spawn(async move { (number, call.await) });
    }

    /// Posts for `seconds`, and until enough was refused and delivered.
    async fn rise(&mut self, per_second: u64, seconds: u64, sink: &Sink) {
        let room = connections(CALLERS);
        let mut pace = tokio::time::interval(TICK);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = |tally: &Tally| {
            !tally.taken.is_empty() && tally.refused >= REFUSED && sink.count() >= DELIVERED
        };
        for second in (0..).map(|tick| tick / TICKS) {
            if second >= seconds && seen(&self.tally) {
                break;
            }
            assert!(second < seconds + TOO_LONG.as_secs(), "{}", self.tally);
            pace.tick().await;
            for _ in 0..per_second / TICKS {
                self.offer();
            }
            while let Some(ended) = self.calls.try_join_next() {
                self.note(ended.unwrap());
            }
            while self.calls.len() > room {
                let ended = self.calls.join_next().await.unwrap();
                self.note(ended.unwrap());
            }
        }
    }

    fn note(&mut self, (number, status): (usize, Option<u16>)) {
        match status {
            Some(200) => self.tally.taken.push(number),
            Some(503) => self.tally.refused += 1,
            Some(other) => panic!("{number} was answered {other}"),
            None => self.tally.unanswered += 1,
        }
    }

    /// Waits until every caller has a response or has given up.
    async fn ebb(mut self) -> Tally {
        while let Some(ended) = in_time(self.calls.join_next()).await {
            self.note(ended.unwrap());
        }
        self.tally
    }
}

/// Posts this callback on a new connection; the status, if answered in time.
async fn call(address: String, number: usize) -> Option<u16> {
    let call = async {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        exchange(&mut stream, &body(number % 100, number, 0)).await
    };
    tokio::time::timeout(PATIENCE, call).await.ok()?.ok()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the report of a long run")]
async fn flood_is_refused_beyond_what_the_disk_takes_and_leaves_nothing_behind() {
    let seconds = setting("AFTERTAKE_FLOOD_SECONDS");
    let per_second = seconds.map_or(FEW_PER_SECOND, |_| PER_SECOND);
    let seconds = seconds.unwrap_or(SECONDS);
    let stage = Stage::set().await;
    let mut run = stage.run_on(Preload::new(&stage.store()).untraced());
    let rest = Usage::of(&run.served);

    run.disk.fails("dl");
    let mut flood = Flood::onto(&run.served);
    flood.rise(per_second, seconds, &stage.sink).await;
    println!(
        "{} and {} delivered; {}",
        flood.tally,
        stage.sink.count(),
        Usage::of(&run.served)
    );
    run.disk.works();
    let well = Stopwatch::start();
    let again = async { while call(run.served.public.clone(), usize::MAX).await != Some(200) {} };
    in_time(again).await;
    println!("the disk is quick again; a 200 after {:?}", well.elapsed());
    let tally = flood.ebb().await;
    stage.announced(&tally.objects()).await;
    println!("all delivered after {:?}", well.elapsed());
    let_go(&run.served, rest).await;
    let usage = Usage::of(&run.served);
    println!("afterwards {tally}; {usage}, {rest} before");
    assert!(usage.most <= rest.memory + GROWTH, "{usage}, {rest} before");
    run.served.stop();
}
