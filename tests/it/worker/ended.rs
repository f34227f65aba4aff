//! A part of the service crashes outside of a step: the process exits with a code that makes its
//! supervisor restart it, and the next process takes over the claims.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aftertake::app::ServeError;
use aftertake::cli::{Exit, Stop};
use aftertake::clock::{self, Clock};
use aftertake::model::moment::{Moment, Present};
use aftertake::model::retry::Jitter;
use aftertake::model::time::Timestamp;
use aftertake::outbound::Guarded;
use aftertake::supervision::{Ended, How};
use async_trait::async_trait;

use crate::support::database::AroundCommit;
use crate::support::in_time;
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{Env, PATIENT, TestService, announcing, callback, parse};
use crate::support::test_workers::{TestWorkers, reach};

/// A clock that panics when read.
#[derive(Default)]
struct Broken {
    time: AtomicBool,
    chance: AtomicBool,
}

#[async_trait]
impl Clock for Broken {
    fn now(&self) -> Timestamp {
        assert!(!self.time.load(Ordering::SeqCst), "planted");
        clock::now()
    }

    fn moment(&self) -> Moment {
        clock::moment()
    }

    fn jitter(&self) -> Jitter {
        assert!(!self.chance.load(Ordering::SeqCst), "planted");
        clock::jitter()
    }

    async fn set_since(&self, _: Present) -> Present {
        pending().await
    }
}

fn crashed(part: &'static str) -> Ended {
    let how = How::Crashed;
    Ended { part, how }
}

#[tokio::test]
async fn loop_that_crashes_is_noticed() {
    let sink = Sink::start([]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let broken = Arc::new(Broken::default());
    let clock = Arc::clone(&broken) as Arc<dyn Clock>;
    let test_workers =
        TestWorkers::timed(&rules, reach(&rules, Arc::new(Guarded::new())), clock).await;
    test_workers.record("a.mp4").await;
    test_workers.workers.start();
    test_workers.store.settled(1).await;
    broken.time.store(true, Ordering::SeqCst);
    test_workers.workers.lanes().waker().wake();
    let ended = in_time(test_workers.supervisor.first()).await;
    assert_eq!(ended, crashed("the claim loop"));
}

#[tokio::test]
async fn crash_outside_a_step_is_noticed_and_the_next_process_finds_the_claim() {
    let sink = Sink::start([Reply::status(200).held()]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let broken = Arc::new(Broken::default());
    let clock = Arc::clone(&broken) as Arc<dyn Clock>;
    let test_workers =
        TestWorkers::timed(&rules, reach(&rules, Arc::new(Guarded::new())), clock).await;
    test_workers.record("a.mp4").await;
    test_workers.workers.start();
    sink.received(1).await;
    broken.chance.store(true, Ordering::SeqCst);
    sink.release(1);
    let ended = in_time(test_workers.supervisor.first()).await;
    assert_eq!(ended, crashed("a task's worker"));
    test_workers.workers.drain(PATIENT).await;
    assert_eq!(test_workers.test_service.states(), [("running", 0, 1)]);
    let TestWorkers {
        test_service,
        store,
        workers,
        ..
    } = test_workers;
    drop((store, workers));

    let running = test_service.start(&rules, PATIENT).await;
    running.store.settled(1).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 2)]);
}

#[tokio::test]
async fn service_whose_writer_has_crashed_ends_at_once_with_a_code_that_starts_it_again() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let armed = Arc::new(AtomicBool::new(false));
    let crashes: AroundCommit = {
        let armed = Arc::clone(&armed);
        Arc::new(move |_: usize, commit: &mut dyn FnMut()| {
            assert!(!armed.load(Ordering::SeqCst), "planted");
            commit();
        })
    };
    let store = test_service.open_around(crashes);
    let (file, env) = (parse(&rules, &Env::new()), Arc::new(Env::new()));
    let running = test_service.start_with(store, file, env, PATIENT).await;
    running.front.announce("a.mp4").await;
    running.store.settled(1).await;
    armed.store(true, Ordering::SeqCst);
    let served = running.service.run(async || pending().await);
    let (served, answer) =
        in_time(async { tokio::join!(served, running.front.post(callback("b.mp4"))) }).await;
    assert_eq!(answer.status(), 503);
    let ended = served.unwrap_err();
    assert_eq!(ended.part, "the store");
    let stop = Stop::from(ServeError::from(ended));
    assert_eq!(stop.exit, Exit::Crashed);
    assert!(
        stop.to_string().contains("the writer has stopped"),
        "{stop}"
    );
}

#[tokio::test]
async fn service_that_is_asked_to_end_ends_well() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let rules = announcing(&sink, "{ notify: lms }");
    let running = test_service.start(&rules, PATIENT).await;
    let asked = AtomicUsize::new(0);
    let once = async || match asked.fetch_add(1, Ordering::SeqCst) {
        0 => "a test",
        _ => pending().await,
    };
    assert_eq!(in_time(running.service.run(once)).await, Ok(()));
}
