//! From the 200 of a callback to its request at the receiver, when there is time.

use std::time::Duration;

use crate::Options;
use crate::load::pace;
use crate::report::{Report, milliseconds};
use crate::service::Deployment;
use crate::sink::Sink;

const EVERY: Duration = Duration::from_millis(10);

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let (sink, receiver) = Sink::noting().await;
    let deployment = Deployment::new();
    deployment.rules(receiver, options.connections);
    let service = deployment.serve().await;
    let count = options.seconds * 100 * options.rounds as u64;
    let answered = pace(service.callbacks, 0, count, EVERY).await;
    sink.reached(count).await;
    // A request may be there before its callback's answer is read.
    let mut late: Vec<Duration> = (0..count)
        .zip(answered)
        .filter_map(|(number, answered)| {
            Some(sink.arrival(number)?.saturating_duration_since(answered))
        })
        .collect();
    late.sort_unstable();
    let at = |share: usize| milliseconds(late[(late.len() - 1) * share / 100]);
    report.row(
        "answer to receiver, 100 callbacks/s",
        format!("p50 {}", at(50)),
        format!("p99 {}", at(99)),
    );
}
