//! Steps that exceed their timeout.

use aftertake::model::failure::FailureKind;
use aftertake::model::transition::Transition;

use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, TestService, announcing};

#[tokio::test]
async fn receiver_that_never_answers_is_asked_again_after_the_timeout() {
    for (step, destination) in [
        ("{ timeout: 50ms, notify: lms }", ""),
        ("{ notify: lms }", "timeout: 50ms, "),
    ] {
        let test_service = TestService::new();
        let sink = Sink::start([Reply::Hang]).await;
        let rules = announcing(&sink, step);
        let rules = rules.replace("concurrency", &format!("{destination}concurrency"));
        let running = test_service.start(&rules, PATIENT).await;
        running.front.announce("a.mp4").await;
        let settled = running.store.settled(2).await;
        running.service.drain().await;

        let [Transition::RetryAfter { why, .. }, Transition::Finish] = &settled[..] else {
            panic!("{settled:?}");
        };
        assert_eq!(why.kind, FailureKind::Timeout);
        assert!(
            why.reason.ends_with("no complete answer within 50ms"),
            "{why}"
        );
        let received = sink.requests();
        assert_eq!(received.len(), 2);
        let id = |number: usize| received[number].header("webhook-id");
        assert_eq!(id(0), id(1));
        assert_eq!(test_service.states(), [("done", 0, 2)]);
    }
}
