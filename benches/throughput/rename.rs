//! Moving a recording of many segments at OBS, each request taking 2 ms, against as many
//! bare requests of 2 ms at the same concurrency.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::Options;
use crate::counterpart::Counterpart;
use crate::fake_obs::{ACCESS_KEY, FakeObs, Object, SECRET_KEY};
use crate::load::{KEY, announce};
use crate::report::{Report, megabytes};
use crate::service::Deployment;
use crate::sink::Sink;

/// How long OBS takes for a request.
const PACE: Duration = Duration::from_millis(2);
const CONCURRENCY: usize = 8;
const BUCKET: &str = "recordings";

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let (mut moved, mut bare) = (Vec::new(), Vec::new());
    let (mut requests, mut grown) = (0, 0);
    for _ in 0..options.rounds {
        let (seconds, asked, memory) = rename(options.segments).await;
        moved.push(seconds * 1e3);
        bare.push(send(asked).await * 1e3);
        (requests, grown) = (asked, memory.max(grown));
    }
    report.ratio("recording moved : bare requests", "ms", &moved, &bare);
    report.row(
        "recording moved, requests",
        requests.to_string(),
        format!("for {} segments", options.segments),
    );
    report.row(
        "recording moved, memory",
        megabytes(grown),
        "most resident beyond the idle service's".to_owned(),
    );
}

/// Moves a recording of so many segments: seconds, requests, and memory beyond idle.
async fn rename(segments: usize) -> (f64, u64, u64) {
    let obs = FakeObs::start().await;
    obs.keep_nothing();
    obs.world(|world| {
        let mut playlist = "#EXTM3U\n".to_owned();
        for number in 0..segments {
            let _ = write!(playlist, "#EXTINF:2,\n{number:05}.ts\n");
            world.put(
                BUCKET,
                &format!("Record/x/{number:05}.ts"),
                Object::text("ts"),
            );
        }
        world.put(BUCKET, "Record/x/x.m3u8", Object::text(&playlist));
    });
    obs.set_pace(PACE);
    let deployment = Deployment::new();
    deployment.write_rules(&format!(
        "callbacks: {{ sparkrtc: {{ keys: [\"{KEY}\"] }} }}\n\
         buckets:\n  {BUCKET}: {{ store: obs, endpoint: \"http://{}\", addressing: path, access_key: {ACCESS_KEY}, \
         secret_key: {SECRET_KEY}, concurrency: {CONCURRENCY} }}\n\
         rules: [{{ name: move, steps: [{{ rename: {{ to: \"moved/\" }} }}] }}]\n",
        obs.address,
    ));
    let service = deployment.serve().await;
    let idle = service.memory("VmRSS").unwrap_or(0);
    let begun = Instant::now();
    announce(service.callbacks, BUCKET, "Record/x/x.m3u8").await;
    service.idle().await;
    let seconds = begun.elapsed().as_secs_f64();
    let at = |folder: &str| {
        obs.world(|world| {
            let keys = world.bucket(BUCKET).objects.keys();
            keys.filter(|key| key.starts_with(folder)).count()
        })
    };
    assert_eq!((at("moved/"), at("Record/")), (segments + 1, 0));
    let most = service.memory("VmHWM").unwrap_or(0);
    (
        seconds,
        obs.requests().len() as u64,
        most.saturating_sub(idle),
    )
}

/// Seconds that a bare client takes for so many requests.
async fn send(count: u64) -> f64 {
    let (sink, receiver) = Sink::paced(PACE).await;
    let _client = Counterpart::Send.start(Some(receiver), CONCURRENCY);
    sink.reached(100).await;
    let (before, begun) = (sink.received(), Instant::now());
    sink.reached(before + count).await;
    begun.elapsed().as_secs_f64()
}
