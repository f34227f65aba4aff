//! Claiming 100 tasks of a filled queue with a filled history, against an almost empty store; on
//! the store alone, in this process.

use std::sync::Arc;
use std::time::Instant;

use aftertake::model::id::TaskId;
use aftertake::model::plan::{Plan, PlannedTask, Turn};
use aftertake::model::recorder::Recorder;
use aftertake::model::task::{Lane, Outputs, RevisionId};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::recorder;
use aftertake::store::sqlite::SqliteStore;
use aftertake::store::{Arrival, Claim, LaneRoom, Recorded, Settlement, Store};
use futures_util::StreamExt;
use futures_util::stream;

use crate::Options;
use crate::load::body;
use crate::report::Report;

const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);
const BATCH: usize = 100;
/// Concurrent calls while filling a store; they share commits.
const TOGETHER: usize = 512;
const CLAIMS: usize = 20;

pub(crate) async fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |name: &str| {
        let around = Arc::new(|_operations, commit: &mut dyn FnMut()| commit());
        SqliteStore::open(&folder.path().join(name), around).expect("a new store")
    };
    let (small, large) = (open("small.db"), open("large.db"));
    fill(&small, 0..10_000, false).await;
    fill(&large, 0..options.filled, true).await;
    fill(&large, options.filled..2 * options.filled, false).await;
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        few.push(claims(&small).await);
        many.push(claims(&large).await);
    }
    report.ratio(
        "claiming 100, store filled : almost empty",
        "µs",
        &many,
        &few,
    );
}

/// Stores events with one task each, `finish`ed at once or ready.
async fn fill(store: &SqliteStore, numbers: std::ops::Range<u64>, finish: bool) {
    let stored = stream::iter(numbers).map(|number| store_one(store, number, finish));
    stored.buffer_unordered(TOGETHER).collect::<()>().await;
}

async fn store_one(store: &SqliteStore, number: u64, finish: bool) {
    let arrival = arrival(number);
    let start = if finish {
        vec![arrival.plan.tasks[0].id]
    } else {
        Vec::new()
    };
    let recorded = store
        .record(arrival, start)
        .await
        .expect("the disk has room");
    let Recorded::New { claims } = recorded else {
        panic!("callback {number} was stored before");
    };
    for claim in claims {
        settle(store, claim, Transition::Finish).await;
    }
}

async fn settle(store: &SqliteStore, claim: Claim, transition: Transition) {
    let settlement = Settlement {
        transition,
        attempt: None,
        outputs: Outputs::new(),
        leaves: None,
    };
    let applied = store.apply(claim, settlement, NOW).await;
    applied.expect("the claim is the newest");
}

/// Microseconds per claim, commit included.
async fn claims(store: &SqliteStore) -> f64 {
    let mut times = Vec::new();
    for _ in 0..CLAIMS {
        let room = vec![LaneRoom::new(lane(), BATCH)];
        let begun = Instant::now();
        let claimed = store.claim(room, NOW).await.expect("the disk has room");
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        assert_eq!(claimed.claims.len(), BATCH);
        let handed_back = claimed
            .claims
            .into_iter()
            .map(|claim| settle(store, claim, Transition::HandBack));
        futures_util::future::join_all(handed_back).await;
    }
    crate::report::median(&times)
}

fn lane() -> Lane {
    Lane::Destination("lms".into())
}

fn arrival(number: u64) -> Arrival {
    let event = recorder::parse(
        Recorder::SparkRtc,
        &http::HeaderMap::new(),
        body(number).into(),
        NOW,
    )
    .expect("a callback");
    let task = PlannedTask {
        id: TaskId::derive(event.id, "announce", 0),
        rule: "announce".to_owned(),
        generation: 0,
        lane: lane(),
        turn: Turn::NotNeeded,
        order_key: None,
        dead_on_arrival: None,
        on_dead: None,
    };
    Arrival {
        event: Arc::new(event),
        plan: Plan {
            revision: RevisionId::of("rules"),
            tasks: vec![task],
        },
    }
}
