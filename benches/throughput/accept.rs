//! Callbacks accepted: signature checked, one of two rules matched, event and task committed and
//! synced before the 200; against the same warp route that only parses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;

use crate::Options;
use crate::counterpart::Counterpart;
use crate::load::{Taken, Until, drive};
use crate::report::Report;
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
    let latencies = durable.iter().flat_map(|taken| taken.latencies.clone());
    report.percentiles("accepting, answer after", latencies.collect());

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

/// A receiver that never answers: it gets one request, and all other tasks wait.
pub(crate) async fn mute() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    (listener, address)
}
