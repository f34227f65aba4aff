//! Processor time and disk per callback, half of which have one task that sends one request.
//! Optionally compared with another build.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::Options;
use crate::load::{KEY, Until, drive};
use crate::report::Report;
use crate::service::{Deployment, binary};
use crate::sink::Sink;

const CALLBACKS: u64 = 20_000;

struct Cost {
    /// Milliseconds of processor time per 1,000 callbacks.
    processor: f64,
    /// Bytes of disk per callback, its task included.
    disk: f64,
}

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let next = Arc::new(AtomicU64::new(0));
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ours.push(round(options, &binary(), &next).await);
        if let Some(other) = &options.beside {
            others.push(round(options, other, &next).await);
        }
    }
    let processor: Vec<_> = ours.iter().map(|cost| cost.processor).collect();
    let disk: Vec<_> = ours.iter().map(|cost| cost.disk).collect();
    report.figure("processor, 1,000 callbacks", "ms", &processor);
    report.figure("disk, a callback of 830 bytes", "bytes", &disk);
    if !others.is_empty() {
        let others_processor: Vec<_> = others.iter().map(|cost| cost.processor).collect();
        let others_disk: Vec<_> = others.iter().map(|cost| cost.disk).collect();
        report.ratio(
            "processor : other build",
            "ms",
            &processor,
            &others_processor,
        );
        report.ratio("disk : other build", "bytes", &disk, &others_disk);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
async fn round(options: &Options, program: &Path, next: &Arc<AtomicU64>) -> Cost {
    let (sink, receiver) = Sink::serve().await;
    let deployment = Deployment::of(PathBuf::from(program));
    deployment.write_rules(&format!(
        "callbacks: {{ sparkrtc: {{ keys: [\"{KEY}\"] }} }}\n\
         destinations:\n  lms: {{ url: \"http://{receiver}/hook\", allow_private: true, concurrency: {} }}\n\
         rules:\n  - name: announce\n    when: {{ room: \"class-*[02468]\", duration: {{ at_least: 30s }} }}\n    steps: [{{ notify: lms }}]\n",
        options.connections,
    ));
    let service = deployment.serve().await;
    let before = service.processor();
    let until = Until::Sent(CALLBACKS);
    drive(service.callbacks, options.connections, next, until).await;
    sink.reached(CALLBACKS / 2).await;
    service.idle().await;
    let processor = service.processor() - before;
    service.stop();
    Cost {
        processor: processor * 1e6 / CALLBACKS as f64,
        disk: deployment.store_bytes() as f64 / CALLBACKS as f64,
    }
}
