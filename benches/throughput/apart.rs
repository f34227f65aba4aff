//! Latency of deliveries next to a destination that accepts and never answers, against the same
//! next to one that answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Options;
use crate::accept::mute;
use crate::load::{KEY, pace};
use crate::report::Report;
use crate::service::Deployment;
use crate::sink::Sink;

const EVERY: Duration = Duration::from_millis(10);

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let (_mute, hangs) = mute().await;
    let (_sink, answers) = Sink::serve().await;
    let (mut beside, mut undisturbed) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        undisturbed.push(deliver(options, answers).await);
        beside.push(deliver(options, hangs).await);
    }
    let name = "delivered beside one that hangs : beside one that answers, p99";
    report.ratio(name, "µs", &beside, &undisturbed);
}

/// The p99 latency from callback to receiver, in microseconds, while each callback is also sent to
/// `other`.
async fn deliver(options: &Options, other: SocketAddr) -> f64 {
    let (sink, receiver) = Sink::noting().await;
    let deployment = Deployment::new();
    deployment.write_rules(&format!(
        "callbacks: {{ sparkrtc: {{ keys: [\"{KEY}\"] }} }}\n\
         destinations:\n  lms: {{ url: \"http://{receiver}/\", allow_private: true }}\n  \
         other: {{ url: \"http://{other}/\", allow_private: true, timeout: 10m }}\n\
         rules:\n  - {{ name: other, steps: [{{ notify: other }}] }}\n  \
         - {{ name: announce, steps: [{{ notify: lms }}] }}\n",
    ));
    let service = deployment.serve().await;
    let count = options.seconds * 100;
    let times = pace(service.callbacks, count, EVERY).await;
    sink.reached(count).await;
    let arrived = |number| sink.arrival(number).expect("every callback is announced");
    let times = (0..count).zip(times);
    let mut times: Vec<Duration> = times
        .map(|(number, (sent, _))| arrived(number) - sent)
        .collect();
    times.sort_unstable();
    times[(times.len() - 1) * 99 / 100].as_secs_f64() * 1e6
}
