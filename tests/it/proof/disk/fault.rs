//! A disk that fails for a while under load: callbacks are refused, none is lost, and the service
//! recovers by itself once the disk works again.

use serde_json::Value;

use super::power_cut::PowerCut;
use super::preload::Preload;
use super::trace::{Record, What};
use super::{Stage, object};
use crate::proof::load::{Call, Post};
use crate::support::service_process::{ServiceProcess, serving};

fn acknowledged(calls: &[Call]) -> Vec<String> {
    let posts = calls.iter().flat_map(|call| &call.posts);
    let taken = posts.filter(|post| post.status == Some(200));
    taken
        .map(|post: &Post| object(post.lane, post.number))
        .collect()
}

/// A run under load whose disk fails three times; returns its trace and its calls.
async fn failed(stage: &Stage, fault: &str) -> (Vec<Record>, Vec<Call>) {
    let mut run = stage.run();
    let load = run.load(4, 0, 0);
    for round in 1..=3 {
        load.answered(200, round * 20).await;
        run.disk.fails(fault);
        load.answered(503, load.count(503) + 8).await;
        run.disk.works();
        // Includes responses that were in flight when the disk failed.
        load.answered(200, load.count(200) + 8).await;
    }
    let calls = load.stop().await;
    stage.announced(&acknowledged(&calls)).await;
    run.served.stop();
    (run.disk.trace(), calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_that_fails_for_a_while_refuses_callbacks_and_loses_none_that_was_acknowledged() {
    for fault in ["s*", "sl", "w*", "wl", "n*", "nl", "r*"] {
        let stage = Stage::set().await;
        let (trace, calls) = failed(&stage, fault).await;
        let mut witness = PowerCut::new(4, Stage::RULES.len());
        let watched = witness.watch(&trace, &calls);
        watched.unwrap_or_else(|error| panic!("fault {fault}: {error}"));
        assert!(witness.acknowledged() >= 60);
        let refused = trace.iter().filter(|record| record.what == What::Refused);
        assert!(refused.count() >= 3, "the disk has failed");
    }
}

/// Commits need only the WAL. A failing checkpoint refuses no callback: the WAL grows until the
/// checkpoint succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn database_that_cannot_be_written_for_a_while_is_brought_up_to_date_afterwards() {
    let of_base =
        |what: What| move |record: &&Record| record.name == "aftertake.db" && record.what == what;
    for fault in ["sb", "wb", "nb"] {
        let stage = Stage::set().await;
        let mut run = stage.run();
        run.disk.fails(fault);
        let load = run.load(4, 0, 60_000);
        load.answered(200, 120).await;
        let until_then = run.disk.trace();
        assert!(
            until_then
                .iter()
                .any(|record| of_base(What::Refused)(&record))
        );
        run.disk.works();
        load.answered(200, 160).await;
        assert_eq!(load.count(503), 0);
        let calls = load.stop().await;
        run.served.stop();
        let trace = run.disk.trace();
        let since = trace[until_then.len()..].iter();
        assert!(since.filter(of_base(What::Synced)).count() > 0);
        let watched = PowerCut::new(5, Stage::RULES.len()).watch(&trace, &calls);
        watched.unwrap_or_else(|error| panic!("fault {fault}: {error}"));
    }
}

async fn readyz(served: &ServiceProcess) -> (u16, Value) {
    let url = format!("http://{}/readyz", served.admin);
    let answer = reqwest::get(url).await.unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn service_on_a_disk_that_fails_is_not_ready_until_it_works_though_no_callback_comes() {
    let stage = Stage::set().await;
    let mut run = stage.run();
    for fault in ["sl", "wl", "nl", "r*"] {
        let (status, said) = readyz(&run.served).await;
        assert_eq!(
            (status, &said["store"]),
            (200, &Value::from("open")),
            "{fault}"
        );
        run.disk.fails(fault);
        let (status, said) = readyz(&run.served).await;
        assert_eq!(status, 503, "{fault}: {said}");
        let reason = said["store"].as_str().unwrap();
        assert!(reason.contains("aftertake.db: "), "{fault}: {reason}");
        run.disk.works();
    }
    assert_eq!(readyz(&run.served).await.0, 200);
    run.served.stop();
}

#[tokio::test]
async fn service_that_finds_a_disk_that_fails_ends_with_a_code_that_has_it_tried_again() {
    for fault in ["n*", "w*", "s*", "r*"] {
        let stage = Stage::set().await;
        let disk = Preload::new(&stage.store());
        let store = format!("sqlite:{}", stage.store().join("aftertake.db").display());
        let mut command = serving(stage.folder.path());
        command.args(["--store", &store]);
        disk.fails(fault);
        let ran = disk.beneath(&mut command).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(69), "{fault}: {said}");
        disk.works();
        ServiceProcess::start(&mut command).stop();
    }
}
