//! A filled queue: its memory and disk, how long a start with it takes, and how fast it is
//! delivered, against a bare client.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::Options;
use crate::accept::mute;
use crate::counterpart::Counterpart;
use crate::load::{Until, drive};
use crate::report::{Report, megabytes, milliseconds};
use crate::service::{Deployment, binary};
use crate::sink::Sink;

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let next = Arc::new(AtomicU64::new(0));
    let size = std::fs::metadata(binary()).map_or(0, |file| file.len());
    report.row("program", megabytes(size), "one file".to_owned());

    let deployment = Deployment::new();
    let (mute, receiver) = mute().await;
    deployment.rules(receiver, 1);
    let service = deployment.serve().await;
    let idle = service.memory("VmRSS").unwrap_or(0);
    report.row(
        "memory, idle",
        megabytes(idle),
        "resident, after start".to_owned(),
    );
    drive(
        service.callbacks,
        options.connections,
        &next,
        Until::Sent(options.filled),
    )
    .await;
    service.stop();
    drop(mute);

    let mut bare = Vec::new();
    for _ in 0..options.rounds {
        bare.push(send(options).await);
    }
    let (sink, receiver) = Sink::serve().await;
    deployment.rules(receiver, options.connections);
    let service = deployment.serve().await;
    report.row(
        "start, queue filled",
        milliseconds(service.start),
        "to 200 of /readyz".to_owned(),
    );
    let mut drained = Vec::new();
    let slice = options.filled / (options.rounds as u64 + 1);
    for round in 1..=options.rounds as u64 {
        let begun = (sink.received(), Instant::now());
        sink.reached(round * slice).await;
        drained.push(rate(sink.received() - begun.0, begun.1));
    }
    report.ratio(
        "queue sent out : bare client",
        "requests/s",
        &drained,
        &bare,
    );
    sink.reached(options.filled).await;
    service.idle().await;
    let most = service.memory("VmHWM").unwrap_or(0);
    report.row(
        "memory, queue filled",
        megabytes(most),
        "most resident, from start to empty".to_owned(),
    );
    service.stop();
    let bytes = deployment.store_bytes() / options.filled;
    report.row(
        "disk, event with a finished task",
        format!("{bytes} bytes"),
        format!("callback of {} bytes included", crate::load::body(0).len()),
    );
}

/// Requests per second of a bare client.
async fn send(options: &Options) -> f64 {
    let (sink, receiver) = Sink::serve().await;
    let _client = Counterpart::Send.start(Some(receiver), options.connections);
    sink.reached(1000).await;
    let begun = (sink.received(), Instant::now());
    tokio::time::sleep(options.time()).await;
    rate(sink.received() - begun.0, begun.1)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}
