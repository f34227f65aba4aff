//! Callbacks accepted: signature checked, two rules of which one matches, event and task
//! committed and synced before the 200; against the same warp route that only parses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;

use crate::Options;
use crate::counterpart::Counterpart;
use crate::load::{Taken, Until, drive};
use crate::report::{Report, milliseconds};
use crate::service::{Deployment, Service};

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let next = Arc::new(AtomicU64::new(0));
    let (mute, receiver) = mute().await;
    let (mut bare, mut durable) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        bare.push(parse_only(options, &next).await);
        durable.push(empty_store(options, receiver, &next).await);
    }
    let rates = |taken: &[Taken]| taken.iter().map(Taken::per_second).collect::<Vec<_>>();
    report.ratio(
        "accepted : parsed only",
        "callbacks/s",
        &rates(&durable),
        &rates(&bare),
    );
    latency(report, "accepting, answer after", &durable);

    let deployment = Deployment::new();
    deployment.rules(receiver, 1);
    let service = deployment.serve().await;
    drive(
        service.callbacks,
        options.connections,
        &next,
        Until::Sent(options.filled),
    )
    .await;
    let (mut filled, mut empty) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        empty.push(empty_store(options, receiver, &next).await);
        filled.push(load(options, &service, &next).await);
    }
    report.ratio(
        "accepted, store filled : empty",
        "callbacks/s",
        &rates(&filled),
        &rates(&empty),
    );
    drop((service, mute));
}

async fn parse_only(options: &Options, next: &Arc<AtomicU64>) -> Taken {
    let server = Counterpart::Parse.start(None, options.connections);
    let address = server.address.expect("it says where it listens");
    drive(
        address,
        options.connections,
        next,
        Until::Elapsed(options.time()),
    )
    .await
}

async fn empty_store(options: &Options, receiver: SocketAddr, next: &Arc<AtomicU64>) -> Taken {
    let deployment = Deployment::new();
    deployment.rules(receiver, 1);
    let service = deployment.serve().await;
    load(options, &service, next).await
}

async fn load(options: &Options, service: &Service, next: &Arc<AtomicU64>) -> Taken {
    let until = Until::Elapsed(options.time());
    drive(service.callbacks, options.connections, next, until).await
}

fn latency(report: &mut Report, name: &'static str, rounds: &[Taken]) {
    let mut all: Vec<_> = rounds
        .iter()
        .flat_map(|taken| taken.latencies.clone())
        .collect();
    all.sort_unstable();
    let at = |share: usize| milliseconds(all[(all.len() - 1) * share / 100]);
    report.row(name, format!("p50 {}", at(50)), format!("p99 {}", at(99)));
}

/// A receiver that never answers: with room for one request, all other tasks wait.
pub(crate) async fn mute() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    (listener, address)
}
