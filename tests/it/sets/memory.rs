//! The peak memory of one callback.

use serde_json::json;

use super::bounds::{MIB, lines};
use crate::support::fake_obs::{ACCESS_KEY, Content, FakeObs, Object, SECRET_KEY};
use crate::support::obs_recording::RECORDED;
use crate::support::service_process::serve;
use crate::support::test_service::TestService;

/// Bytes that the service may use above its idle memory, as the README says.
const MOST: u64 = 96 * MIB as u64;

/// The peak memory above idle while the real program moves this recording at OBS.
async fn peak(objects: Vec<(String, String)>, state: &str) -> u64 {
    let obs = FakeObs::start().await;
    obs.keep_nothing();
    obs.world(|world| {
        for (key, content) in objects {
            world.put(RECORDED, &key, Object::of(Content::Bytes(content.into())));
        }
    });
    let test_service = TestService::new();
    test_service.write(format!(
        "buckets: {{ {RECORDED}: {{ store: obs, endpoint: 'http://{}', access_key: {ACCESS_KEY}, \
         secret_key: {SECRET_KEY}, addressing: path, source_grace: 1ms }} }}\n\
         retry: {{ tries: 1 }}\nrules: [{{ name: move, steps: [{{ rename: {{ to: 'k/' }} }}] }}]\n",
        obs.address
    ));
    let folder = test_service.rules().parent().unwrap().to_owned();
    let served = serve(&folder);
    let figure = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib = line.split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    };
    let idle = figure("VmRSS");
    let body = json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": RECORDED, "obs_object": "r/i.m3u8",
        "record_format": "HLS", "end_time": "2026-03-02T01:01:02Z",
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let posted = client.post(served.callbacks()).body(body.to_string());
    assert_eq!(posted.send().await.unwrap().status(), 200);
    let list = ["tasks", "list", "--store", "sqlite:aftertake.db"];
    loop {
        let tasks = std::process::Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(list)
            .current_dir(&folder)
            .output()
            .unwrap();
        let tasks = String::from_utf8(tasks.stdout).unwrap();
        if tasks.contains(state) {
            break;
        }
        assert!(
            !tasks.contains("dead") && !tasks.contains("done"),
            "{tasks}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    figure("VmHWM") - idle
}

/// A playlist of the maximum size, or slightly less.
fn full(text: String) -> String {
    assert!(
        text.len() < 10 * MIB && text.len() > 9 * MIB,
        "{}",
        text.len()
    );
    text
}

/// Six renditions that reach the limits.
#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "the figures, with --nocapture")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_for_one_recording_is_bounded_however_large_its_playlists_are() {
    let main = lines(6, |number| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{number}.m3u8")
    });
    let folder = "f".repeat(140);
    let name = |rendition: usize, number: usize| format!("{folder}/{rendition}-{number:05}.ts");

    // As many objects as allowed; none exists.
    let mut objects = vec![("r/i.m3u8".to_owned(), main.clone())];
    for rendition in 0..6 {
        let lines = lines(33_000, |line| match line % 2 {
            0 => name(rendition, line / 2),
            _ => "#".repeat(440),
        });
        objects.push((format!("r/{rendition}.m3u8"), full(lines)));
    }
    let surveyed = peak(objects, "dead").await;

    // As much to rewrite as allowed.
    let mut objects = vec![("r/i.m3u8".to_owned(), main)];
    for rendition in 0..6 {
        let query = "?".repeat(990);
        let lines = lines(10_000, |_| format!("/r/1.ts?{query}"));
        objects.push((format!("r/{rendition}.m3u8"), full(lines)));
    }
    objects.push(("r/1.ts".to_owned(), "x".to_owned()));
    let rewritten = peak(objects, "done").await;
    println!("{} and {} MiB", surveyed >> 20, rewritten >> 20);
    assert!(
        surveyed < MOST && rewritten < MOST,
        "{surveyed} {rewritten}"
    );
}
