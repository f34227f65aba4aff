//! Moving a recording of many segments at OBS, 2 ms per request, against a bare client that sends
//! the same requests with the same concurrency.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Options;
use crate::fake_obs::{ACCESS_KEY, FakeObs, Object, Recorded, SECRET_KEY};
use crate::load::{KEY, announce};
use crate::report::{Report, megabytes};
use crate::service::Deployment;

/// How long the fake OBS takes per request.
const PACE: Duration = Duration::from_millis(2);
const CONCURRENCY: usize = 8;
const LOOK: Duration = Duration::from_millis(50);
const BUCKET: &str = "recordings";

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let (mut moved, mut bare) = (Vec::new(), Vec::new());
    let (mut requests, mut grown, mut meanwhile) = (0, 0, 0);
    for _ in 0..options.rounds {
        let obs = FakeObs::start().await;
        obs.keep_nothing();
        obs.slow_answers(|_| PACE);
        record(&obs, options.segments);
        let Moved {
            seconds,
            memory,
            later,
        } = rename(&obs, options.segments).await;
        moved.push(seconds * 1e3);
        (grown, meanwhile) = (memory.max(grown), later.max(meanwhile));
        let sent = obs.requests();
        requests = sent.len();
        record(&obs, options.segments);
        bare.push(send_again(obs.address, sent).await * 1e3);
    }
    report.ratio("recording moved : its requests bare", "ms", &moved, &bare);
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
    report.row(
        "recording moved, memory as it goes on",
        megabytes(meanwhile),
        "most resident beyond what it was when a tenth was copied".to_owned(),
    );
}

struct Moved {
    seconds: f64,
    /// Peak memory above that of an idle service, in bytes.
    memory: u64,
    /// The part of it added after a tenth of the copies.
    later: u64,
}

/// Stores a recording with this many segments where a recorder would.
fn record(obs: &FakeObs, segments: usize) {
    obs.world(|world| {
        world.bucket(BUCKET).objects.clear();
        let mut playlist = "#EXTM3U\n".to_owned();
        for number in 0..segments {
            let _ = write!(playlist, "#EXTINF:2,\n{number:05}.ts\n");
            let key = format!("Record/x/{number:05}.ts");
            world.put(BUCKET, &key, Object::text("ts"));
        }
        world.put(BUCKET, "Record/x/x.m3u8", Object::text(&playlist));
    });
}

async fn rename(obs: &FakeObs, segments: usize) -> Moved {
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
    let at = |folder: &str| {
        obs.world(|world| {
            let keys = world.bucket(BUCKET).objects.keys();
            keys.filter(|key| key.starts_with(folder)).count()
        })
    };
    let most = || service.memory("VmHWM").unwrap_or(0);
    while at("moved/") < segments / 10 {
        tokio::time::sleep(LOOK).await;
    }
    let early = most();
    service.idle().await;
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!((at("moved/"), at("Record/")), (segments + 1, 0));
    Moved {
        seconds,
        memory: most().saturating_sub(idle),
        // The kernel counts pages per processor, so a later peak can be slightly lower.
        later: most().saturating_sub(early),
    }
}

/// Seconds that a bare client takes for the same requests.
async fn send_again(to: SocketAddr, requests: Vec<Recorded>) -> f64 {
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client");
    let begun = Instant::now();
    let sending = stream::iter(requests).map(|request| {
        let query: Vec<String> = request.query.iter().map(parameter).collect();
        let url = format!("http://{to}{}?{}", request.path, query.join("&"));
        let sent = client
            .request(request.method, url)
            .headers(request.headers)
            .body(request.body)
            .send();
        async { sent.await.expect("an answer").bytes().await }
    });
    sending.buffer_unordered(CONCURRENCY).count().await;
    begun.elapsed().as_secs_f64()
}

fn parameter((name, value): &(String, Option<String>)) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match value {
        Some(value) => format!("{name}={}", encoded(value)),
        None => name.clone(),
    }
}
