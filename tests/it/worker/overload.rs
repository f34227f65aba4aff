//! More callbacks than the disk can take: the backlog stays bounded, refused callbacks are not
//! stored, and deliveries go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;

use crate::support::disk::Disk;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{
    Env, PATIENT, Running, TestService, announcing, callback, parse,
};

/// Callbacks that may be in the store's queue at once.
const PLACES: usize = 256;
const FLOOD: usize = 320;

/// Other writes meanwhile: a claim, the end of a step, a poll for other writers.
const OTHERS: usize = 3;

async fn start(test_service: &TestService, sink: &Sink, disk: &Arc<Disk>) -> Running {
    let store = test_service.open_around(disk.around());
    let rules = announcing(sink, "{ notify: lms }");
    test_service
        .start_with(
            store,
            parse(&rules, &Env::new()),
            Arc::new(Env::new()),
            PATIENT,
        )
        .await
}

#[tokio::test]
async fn flood_on_a_slow_disk_is_refused_beyond_a_bound_while_deliveries_go_on() {
    let (test_service, disk) = (TestService::new(), Arc::default());
    let sink = Sink::start([Reply::status(200).held()]).await;
    let running = start(&test_service, &sink, &disk).await;
    running.front.announce("first").await;
    sink.received(1).await;

    disk.hold();
    let post = async |number: usize| {
        let object = format!("{number}.mp4");
        let answer = running.front.post(callback(&object)).await;
        (object, answer)
    };
    let mut answers: FuturesUnordered<_> = (0..FLOOD).map(post).collect();
    let mut refused = BTreeSet::new();
    while refused.len() < FLOOD - PLACES {
        let (object, answer) = answers.next().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "5");
        refused.insert(object);
    }
    // The disk takes the current commit and one more, which includes a delivery's write.
    sink.release(1);
    running.store.applies(1).await;
    disk.let_go(2);
    running.store.settled(1).await;
    disk.release();

    let mut accepted = BTreeSet::new();
    while let Some((object, answer)) = answers.next().await {
        if answer.status() == 200 {
            accepted.insert(object);
        } else {
            // On a busy machine it timed out; it is stored all the same.
            assert_eq!(answer.status(), 503);
        }
    }
    running.front.announce("last").await;
    running.store.settled(PLACES + 2).await;
    let metrics = running.front.ask("/metrics").await;
    running.service.drain().await;

    assert!(disk.largest() <= PLACES + OTHERS, "{}", disk.largest());
    assert_eq!(test_service.tasks().len(), PLACES + 2);
    let announced: BTreeSet<String> = sink
        .requests()
        .iter()
        .map(|one| object(&one.body))
        .collect();
    assert_eq!(announced.len(), PLACES + 2);
    assert!(announced.is_superset(&accepted) && announced.is_disjoint(&refused));
    let counted = FLOOD - accepted.len();
    let line = format!("\naftertake_callbacks_total{{result=\"overloaded\"}} {counted}\n");
    assert!(metrics.contains(&line), "{line}{metrics}");
}

fn object(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["data"]["obs_object"].as_str().unwrap().to_owned()
}
