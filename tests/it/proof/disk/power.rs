//! Power loss: what was acknowledged is already on the disk.

use super::power_cut::PowerCut;
use super::trace::{Record, What};
use super::{Run, Stage};
use crate::proof::load::Call;

/// A body so large that some eighty callbacks fill the WAL of 2,000 pages.
const LARGE: usize = 60_000;

/// One run under load until `count` callbacks are acknowledged.
async fn ran(run: &mut Run, count: usize, filler: usize) -> (Vec<Record>, Vec<Call>) {
    let load = run.load(4, 0, filler);
    load.answered(200, count).await;
    let calls = load.stop().await;
    run.served.stop();
    (run.disk.trace(), calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_callback_outlives_a_loss_of_power_at_any_moment() {
    let stage = Stage::set().await;
    let (trace, calls) = ran(&mut stage.run(), 200, LARGE).await;
    let mut witness = PowerCut::new(1, Stage::RULES.len());
    witness.watch(&trace, &calls).unwrap();
    assert!(witness.acknowledged() >= 200);
    let brought_in =
        |record: &&Record| record.name == "aftertake.db" && record.what == What::Synced;
    assert!(
        trace.iter().filter(brought_in).count() > 3,
        "the log was brought in meanwhile"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_of_power_is_noticed_where_the_log_is_not_synced() {
    let stage = Stage::set().await;
    let (mut trace, calls) = ran(&mut stage.run(), 20, 0).await;
    // The syncs that `PRAGMA synchronous = NORMAL` omits.
    trace.retain(|record| {
        let is_sync = [What::SyncBegun, What::Synced].contains(&record.what);
        !(is_sync && record.name.ends_with("-wal"))
    });
    let found = PowerCut::new(2, Stage::RULES.len()).watch(&trace, &calls);
    let found = found.unwrap_err();
    // Shows as missing callbacks or as a malformed file.
    let signs = ["lost with what was not synced", "is malformed"];
    assert!(signs.iter().any(|sign| found.contains(sign)), "{found}");
}

/// After a failed sync the system treats the pages as written. A process killed then leaves a WAL
/// that every process can read completely, but the disk does not have.
#[tokio::test(flavor = "multi_thread")]
async fn loss_of_power_after_a_failed_sync_and_a_kill_takes_nothing_that_was_acknowledged_since() {
    let stage = Stage::set().await;
    let mut witness = PowerCut::new(3, Stage::RULES.len());
    let mut run = stage.run();
    let load = run.load(2, 0, 0);
    load.answered(200, 10).await;
    run.disk.fails("sl");
    load.answered(503, 4).await;
    run.served.kill();
    let calls = load.stop().await;
    witness.watch(&run.disk.trace(), &calls).unwrap();
    witness.platter.look_at(&stage.store());

    let mut run = stage.run();
    let load = run.load(2, 1000, 0);
    load.answered(200, 10).await;
    run.served.kill();
    let calls = load.stop().await;
    witness.watch(&run.disk.trace(), &calls).unwrap();
    assert!(witness.acknowledged() >= 20);
}
