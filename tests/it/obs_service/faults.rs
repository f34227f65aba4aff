//! Every request from callback to notification fails, is lost, or has its process killed, in turn.

use tokio::task::JoinSet;

use super::{Make, TAKES};
use crate::support::fake_obs::{Fault, Gate, IMPATIENT, Recorded};
use crate::support::obs_service::ObsService;

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
    let obs_service = ObsService::new(make).await;
    obs_service.play("a run without faults").await;
    obs_service.obs.requests()
}

/// The number of the first request that changes anything.
fn first_change(requests: &[Recorded]) -> usize {
    let changes = |request: &Recorded| !matches!(request.method.as_str(), "GET" | "HEAD");
    requests.iter().position(changes).unwrap()
}

async fn strike_each(faults: &[(Fault, Strikes)], set: fn(&mut ObsService)) {
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
                    let mut obs_service = ObsService::new(make).await;
                    set(&mut obs_service);
                    let take = &obs_service.take;
                    let at = format!("{} on {:?}: {fault:?} at {number}", take.name, take.kind);
                    // Concurrent copies come in any order.
                    let strikes =
                        move |request: &Recorded| request.number == number && strikes(request);
                    obs_service.obs.strike_first(strikes, fault.clone());
                    obs_service.play(&at).await;
                    obs_service.assert_done(&at);
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
    strike_each(&silence, |obs_service| {
        // On a busy machine a slow response may count as lost, too.
        (obs_service.timeouts, obs_service.tries) = (IMPATIENT, 100);
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
                    let obs_service = ObsService::new(make).await;
                    let gate = Gate::new();
                    let fault = hold(gate.clone());
                    let take = &obs_service.take;
                    let at = format!("{} on {:?}: {fault:?} at {number}", take.name, take.kind);
                    obs_service.obs.strike(number, fault);
                    let service = obs_service.serve_killable().await;
                    obs_service.announce(service.service()).await;
                    gate.reached().await;
                    service.kill().await;
                    obs_service.play(&at).await;
                    obs_service.assert_done(&at);
                }
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}
