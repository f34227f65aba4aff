//! Callbacks end to end: accepted, matched, delivered and done; against accepting and forwarding
//! without a store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::Options;
use crate::counterpart::Counterpart;
use crate::load::{Until, drive};
use crate::report::Report;
use crate::service::Deployment;
use crate::sink::Sink;

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let next = Arc::new(AtomicU64::new(0));
    let (sink, receiver) = Sink::serve().await;
    let (mut bare, mut durable) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let server = Counterpart::Forward.start(Some(receiver), options.connections);
        let address = server.address.expect("it says where it listens");
        bare.push(pass(options, address, &sink, &next, async || {}).await);
        drop(server);
        let deployment = Deployment::new();
        deployment.rules(receiver, options.connections);
        let service = deployment.serve().await;
        let idle = async || service.idle().await;
        durable.push(pass(options, service.callbacks, &sink, &next, idle).await);
    }
    report.ratio(
        "delivered : forwarded without a store",
        "events/s",
        &durable,
        &bare,
    );
}

/// Events per second, from the first callback until the last is received and `done`.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
async fn pass(
    options: &Options,
    to: SocketAddr,
    sink: &Sink,
    next: &Arc<AtomicU64>,
    done: impl AsyncFnOnce(),
) -> f64 {
    let (before, begun) = (sink.received(), Instant::now());
    let until = Until::Elapsed(options.time());
    let taken = drive(to, options.connections, next, until).await;
    sink.reached(before + taken.accepted).await;
    done().await;
    taken.accepted as f64 / begun.elapsed().as_secs_f64()
}
