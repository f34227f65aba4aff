//! Benchmarks of the released service against what it is built on.
//!
//! Drives the real program over real connections with callbacks that are all distinct, and
//! prints ratios, since absolute figures mean little on another machine. Each ratio is the median
//! of rounds that alternate with its counterpart's.

#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
#![expect(
    clippy::print_stderr,
    reason = "progress is printed along with the figures"
)]

mod accept;
mod apart;
mod beside;
mod claim;
mod cost;
mod counterpart;
mod deliver;
mod footprint;
mod latency;
mod load;
mod rename;
mod report;
mod service;
mod sink;

/// The tests' fake OBS, which checks every signature.
#[path = "../../tests/it/support/fake_obs/mod.rs"]
#[expect(unused, reason = "tests need more of it")]
#[expect(clippy::unwrap_used, reason = "it is written for tests")]
mod fake_obs;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::counterpart::Counterpart;
use crate::report::Report;

#[derive(Debug, Clone, Parser)]
#[command(about = "Measures Aftertake against what it is built on", long_about = None)]
pub(crate) struct Options {
    /// Measure only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Rounds per side of a ratio.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load per round.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Events or tasks in a filled store.
    #[arg(long, default_value_t = 1_000_000)]
    filled: u64,
    /// Segments of the recording to move.
    #[arg(long, default_value_t = 10_000)]
    segments: usize,
    /// Connections for callbacks, and senders that deliver.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Another build of the program to compare the cost of a callback with.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<std::path::PathBuf>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Serve as a counterpart (internal).
    #[arg(long, hide = true)]
    counterpart: Option<Counterpart>,
    /// Where the counterpart sends to.
    #[arg(long, hide = true)]
    to: Option<std::net::SocketAddr>,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A row, or rows that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Callbacks accepted, against a route that only parses; empty and filled store.
    Accept,
    /// Callbacks to delivered requests, against forwarding without a store.
    Deliver,
    /// Processor time and disk of a callback.
    Cost,
    /// A filled queue delivered, against a bare client; its memory, disk and start.
    Drain,
    /// Claiming from a filled store, against an almost empty one.
    Claim,
    /// From the 200 to the receiver at 100 callbacks a second.
    Latency,
    /// Delivering next to a destination that hangs, against next to one that answers.
    Apart,
    /// Callbacks during commands that change everything, against callbacks alone.
    Beside,
    /// Moving a long recording at OBS, against as many bare requests.
    Rename,
}

impl Options {
    fn measures(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if let Some(counterpart) = options.counterpart {
        return counterpart::run(counterpart, options.to, options.connections).await;
    }
    let mut report = Report::default();
    if options.measures(Measure::Accept) {
        accept::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Deliver) {
        deliver::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Cost) {
        cost::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Drain) {
        footprint::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Claim) {
        claim::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Latency) {
        latency::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Apart) {
        apart::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Beside) {
        beside::measure(&options, &mut report).await;
    }
    if options.measures(Measure::Rename) {
        rename::measure(&options, &mut report).await;
    }
    if options.json {
        println!("{:#}", report.json(&options));
    } else {
        println!("{}", report.text(&options));
    }
}

/// Used by the fake OBS.
async fn in_time<T>(signal: impl Future<Output = T>) -> T {
    signal.await
}
