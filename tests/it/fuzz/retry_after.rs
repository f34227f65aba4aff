//! A destination's `Retry-After`, from the response to the task's next due time.

use std::time::Duration;

use aftertake::action::Stopped;
use aftertake::action::notify::notify;
use aftertake::model::destination::{Destination, Format};
use aftertake::model::failure::Failure;
use aftertake::model::retry::{Jitter, JitterMode, RetryPolicy};
use aftertake::model::step::Notify;
use aftertake::model::time::Timestamp;
use aftertake::model::transition::{Budget, OnFailure, Ran, Transition, settle};
use aftertake::outbound::{Answer, NoAnswer, Outbound, Request};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{Target, Verdict};
use crate::outbound::destination;

/// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110.
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

const TARGET: Target = Target {
    name: "retry_after",
    samples: None,
    dictionary: &[
        "Sun, ", "Sunday, ", "Nov", "Feb", "29", "30", "31", "32", "00", "24", "60", "1994",
        "0000", "9999", "+262142", "-0001", ":", " ", ",", "-", " GMT", " UTC", " +0000", " -2359",
        " +9999", " EST", " Z", "(", ")", "\\", "120", ".5", "-1", "+1", "0x10", "\t", "é",
    ],
    usual: 20_000,
};

/// Answers every request as busy, with this `Retry-After`.
struct Busy(HeaderValue);

#[async_trait]
impl Outbound for Busy {
    async fn send(&self, _: &Destination, _: Request) -> Result<Answer, NoAnswer> {
        Ok(Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: HeaderMap::from_iter([(RETRY_AFTER, self.0.clone())]),
            body: Bytes::new(),
        })
    }
}

#[test]
fn any_retry_after_is_bounded_and_does_not_grow_with_waiting() {
    let url = "https://lms.example.com/".parse().unwrap();
    let (destination, step) = (destination(&url), step(&url));
    TARGET.run(|input| {
        let Ok(value) = HeaderValue::from_bytes(input) else {
            return Verdict::Refused;
        };
        let busy = Busy(value);
        let failed = |now| {
            let told = notify(&busy, &destination, &step, now)
                .now_or_never()
                .unwrap();
            let Err(Stopped::Failed { failure, .. }) = told else {
                panic!("it was busy");
            };
            *failure
        };
        let failure = failed(NOW);
        let text = busy.0.to_str().unwrap_or("no wish").trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            let seconds = text.parse().ok().map(Duration::from_secs);
            assert_eq!(failure.retry_after, seconds);
        }
        let Some(wish) = failure.retry_after else {
            return Verdict::Refused;
        };
        let waited = Duration::from_secs(input.len() as u64);
        let later = failed(NOW.plus(waited)).retry_after;
        let left = if is_number {
            wish
        } else {
            wish.saturating_sub(waited)
        };
        assert_eq!(later, Some(left), "it is as far away as it is");
        is_due_in_time(failure, wish);
        Verdict::Accepted
    });
}

/// Waits as long as the destination wishes, at least our first delay and at most `give_up_after`.
fn is_due_in_time(failure: Failure, wish: Duration) {
    let policy = RetryPolicy {
        jitter: JitterMode::None,
        ..RetryPolicy::default()
    };
    let standing = Budget {
        policy: &policy,
        tries: 1,
        since: NOW,
        on_failure: OnFailure::Stop,
        next: None,
        on_dead: None,
    };
    let transition = settle(standing, Ran::Failed(failure), NOW, Jitter::MOST);
    let Transition::RetryAfter { wait, .. } = transition else {
        panic!("{transition:?}");
    };
    let wished = wish.min(policy.give_up_after).max(policy.first);
    assert_eq!(wait, wished);
}

fn step(url: &url::Url) -> Notify {
    Notify {
        destination: "lms".into(),
        method: Method::POST,
        url: url.clone(),
        is_of_event: false,
        headers: Vec::new(),
        content_type: "application/json".into(),
        format: Format::Aftertake,
        body: Bytes::from_static(b"{}"),
        webhook_id: "msg_1_0".into(),
        timeout: None,
    }
}
