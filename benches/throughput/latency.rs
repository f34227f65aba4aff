//! Latency at low load: from a callback, and from its 200, to its request at the receiver.

use std::time::Duration;

use crate::Options;
use crate::load::pace;
use crate::report::Report;
use crate::service::Deployment;
use crate::sink::Sink;

const EVERY: Duration = Duration::from_millis(10);

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let (sink, receiver) = Sink::noting().await;
    let deployment = Deployment::new();
    deployment.rules(receiver, options.connections);
    let service = deployment.serve().await;
    let count = options.seconds * 100 * options.rounds as u64;
    let times = pace(service.callbacks, count, EVERY).await;
    sink.reached(count).await;
    let (mut in_all, mut late) = (Vec::new(), Vec::new());
    for (number, (sent, answered)) in (0..count).zip(times) {
        let arrival = sink.arrival(number).expect("every callback is announced");
        in_all.push(arrival - sent);
        // The request may arrive before the 200 has been read.
        late.push(arrival.saturating_duration_since(answered));
    }
    report.percentiles("callback to receiver, 100 callbacks/s", in_all);
    report.percentiles("answer to receiver, 100 callbacks/s", late);
}
