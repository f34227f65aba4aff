//! Copies in parts while each request in turn fails, is lost, or has its process killed: the source
//! stays complete, the copy ends complete, and no upload stays open.

use aftertake::model::failure::Disposition;
use aftertake::object::CopyStopped;
use tokio::task::JoinSet;

use crate::obs_parts::{Log, Scene, TO};
use crate::support::fake_obs::{Fault, Gate, Recorded};

#[tokio::test]
async fn copy_by_parts_recovers_from_a_loss_at_every_request() {
    let mut cases = JoinSet::new();
    for fault in [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::CutAnswer,
        Fault::Refuse(503, "SlowDown"),
        Fault::Refuse(500, "InternalError"),
        Fault::RefuseAfter(503, "ServiceUnavailable"),
        Fault::ErrorInside("InternalError"),
        Fault::NothingInside,
        Fault::SilentBefore,
        Fault::SilentAfter,
        Fault::StallAnswer,
    ] {
        cases.spawn(async move {
            let scene = Scene::start().await;
            let requests = count(&scene).await;
            for number in 0..requests {
                let early = matches!(fault, Fault::ErrorInside(_) | Fault::NothingInside);
                let at = scene.obs.requests().len() + number;
                scene.obs.strike_first(
                    move |request| request.number == at && (!early || answers_early(request)),
                    fault.clone(),
                );
                let mut log = Log::default();
                let attempt = if fault.is_silence() {
                    scene.attempt_impatiently(&mut log).await
                } else {
                    scene.attempt(&mut log).await
                };
                if let Err(stopped) = attempt {
                    retryable(&stopped);
                    scene.resume(&mut log).await;
                }
                scene.obs.calm();
                scene.check_end(&format!("{fault:?} at {number}"));
                clear(&scene);
            }
        });
    }
    cases.join_all().await;
}

/// The network fails at some request and recovers after the try.
#[tokio::test]
async fn copy_by_parts_recovers_from_an_outage_that_begins_anywhere() {
    let scene = Scene::start().await;
    let requests = count(&scene).await;
    let mut cases = JoinSet::new();
    for number in 0..requests {
        for first in [Fault::DropBefore, Fault::DropAfter] {
            cases.spawn(async move {
                let scene = Scene::start().await;
                let at = format!("{first:?} at {number}, then nothing");
                let from = scene.obs.requests().len() + number;
                scene.obs.strike(number, first);
                scene
                    .obs
                    .strike_every(move |request| request.number > from, Fault::DropBefore);
                let mut log = Log::default();
                retryable(&scene.attempt(&mut log).await.expect_err(&at));
                scene.obs.calm();
                scene.resume(&mut log).await;
                scene.check_end(&at);
            });
        }
    }
    cases.join_all().await;
}

/// The process dies during a request, before or after its effect.
#[tokio::test]
async fn copy_by_parts_goes_on_after_its_process_died_at_any_request() {
    let scene = Scene::start().await;
    let requests = count(&scene).await;
    let mut cases = JoinSet::new();
    for number in 0..requests {
        for fault in [Fault::Hold, Fault::HoldAfter] {
            cases.spawn(async move {
                let scene = Scene::start().await;
                let gate = Gate::new();
                let fault = fault(gate.clone());
                let at = format!("died at {number}: {fault:?}");
                scene.obs.strike(number, fault);
                let mut log = Log::default();
                tokio::select! {
                    _ = scene.attempt(&mut log) => panic!("{at}: it was held"),
                    () = gate.reached() => {}
                }
                scene.resume(&mut log).await;
                scene.check_end(&at);
            });
        }
    }
    cases.join_all().await;
}

/// Whether OBS can send 200 to this request before an error.
fn answers_early(request: &Recorded) -> bool {
    request.method == "POST" || request.line().ends_with("(copy)")
}

fn retryable(stopped: &CopyStopped) {
    let CopyStopped::Failed(failure) = stopped else {
        panic!("{stopped:?}")
    };
    assert_eq!(failure.kind.disposition(), Disposition::Retry, "{failure}");
}

/// The number of requests of a copy. Leaves the scene unchanged.
async fn count(scene: &Scene) -> usize {
    let from = scene.obs.requests().len();
    scene.attempt(&mut Log::default()).await.unwrap();
    scene.check_end("no fault");
    clear(scene);
    scene.obs.requests().len() - from
}

fn clear(scene: &Scene) {
    scene
        .obs
        .world(|world| world.bucket("b1").objects.remove(TO));
}
