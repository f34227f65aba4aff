//! Every request from callback to notification fails, is lost, or has its process killed, in turn.

use tokio::task::JoinSet;

use super::{Make, TAKES};
use crate::support::fake_obs::{Fault, Gate, IMPATIENT, Recorded};
use crate::support::stage::Stage;

type Strikes = fn(&Recorded) -> bool;

/// Faults, and which requests they can strike.
fn faults() -> [(Fault, Strikes); 11] {
    let any: Strikes = |_| true;
    [
        (Fault::Refuse(503, "ServiceUnavailable"), any),
        (Fault::RefuseAfter(500, "InternalError"), any),
        (Fault::ErrorInside("InternalError"), answers_early),
        (Fault::DropAfter, any),
        (Fault::Refuse(404, "NoSuchKey"), reads),
        // As if a missing permission were granted meanwhile.
        (Fault::Refuse(403, "AccessDenied"), looks_at_source),
        (Fault::Wait(0), any),
        (Fault::DropBefore, any),
        (Fault::NothingInside, answers_early),
        (Fault::CutAnswer, |request| request.method != "HEAD"),
        (Fault::Stale, reads),
    ]
}

/// Whether OBS can send 200 to this request before an error.
fn answers_early(request: &Recorded) -> bool {
    request.method == "POST" && !request.has("rename") || request.line().ends_with("(copy)")
}

fn reads(request: &Recorded) -> bool {
    matches!(request.method.as_str(), "GET" | "HEAD") && !request.key.is_empty()
}

/// Nothing is begun then.
fn looks_at_source(request: &Recorded) -> bool {
    request.number == 0
}

async fn clean_run(make: Make) -> Vec<Recorded> {
    let stage = Stage::new(make).await;
    stage.play("a run without faults").await;
    stage.obs.requests()
}

/// The number of the first request that changes anything.
fn first_change(requests: &[Recorded]) -> usize {
    let changes = |request: &Recorded| !matches!(request.method.as_str(), "GET" | "HEAD");
    requests.iter().position(changes).unwrap()
}

async fn strike_each(faults: &[(Fault, Strikes)], set: fn(&mut Stage)) {
    let mut cases = JoinSet::new();
    for make in TAKES {
        let requests = clean_run(make).await;
        let changed = first_change(&requests);
        for (fault, strikes) in faults.iter().cloned() {
            let early = matches!(fault, Fault::Refuse(404, _));
            let numbers: Vec<usize> = requests
                .iter()
                .filter(|request| strikes(request) && !(early && request.number > changed))
                .map(|request| request.number)
                .collect();
            cases.spawn(async move {
                for number in numbers {
                    let mut stage = Stage::new(make).await;
                    set(&mut stage);
                    let take = &stage.take;
                    let at = format!("{} on {:?}: {fault:?} at {number}", take.name, take.kind);
                    // Concurrent copies come in any order.
                    let strikes =
                        move |request: &Recorded| request.number == number && strikes(request);
                    stage.obs.strike_first(strikes, fault.clone());
                    stage.play(&at).await;
                    stage.assert_done(&at);
                }
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_moves_whole_though_any_request_fails_in_any_way() {
    strike_each(&faults(), |_| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_moves_whole_though_any_request_is_never_answered() {
    let silence: [(Fault, Strikes); 3] = [
        (Fault::SilentBefore, |_| true),
        (Fault::SilentAfter, |_| true),
        (Fault::StallAnswer, |request| request.method != "HEAD"),
    ];
    strike_each(&silence, |stage| {
        // On a busy machine a slow response may count as lost, too.
        (stage.timeouts, stage.tries) = (IMPATIENT, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recording_moves_whole_though_the_process_is_killed_at_any_request() {
    let mut cases = JoinSet::new();
    for make in TAKES {
        let requests = clean_run(make).await.len();
        for hold in [Fault::Hold, Fault::HoldAfter] {
            cases.spawn(async move {
                for number in 0..requests {
                    let stage = Stage::new(make).await;
                    let gate = Gate::new();
                    let fault = hold(gate.clone());
                    let take = &stage.take;
                    let at = format!("{} on {:?}: {fault:?} at {number}", take.name, take.kind);
                    stage.obs.strike(number, fault);
                    let service = stage.serve_killable().await;
                    stage.announce(service.service()).await;
                    gate.reached().await;
                    service.kill().await;
                    stage.play(&at).await;
                    stage.assert_done(&at);
                }
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}
