//! Handling of OBS's refusals and of missing responses.

use std::collections::BTreeMap;
use std::time::Duration;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::object::{Attributes, ObjectStore, Rights};
use bytes::Bytes;

use crate::obs_objects::follow;
use crate::support::fake_obs::{FakeObs, Fault, Object, SECRET_KEY, TOKEN, store_with};

#[tokio::test]
async fn refusal_is_named_with_its_operation_key_code_and_request_id() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    for (status, code, kind) in [
        (403, "AccessDenied", FailureKind::Denied),
        (403, "InvalidAccessKeyId", FailureKind::Credentials),
        (503, "SlowDown", FailureKind::Throttled),
        (500, "InternalError", FailureKind::Unavailable),
        (409, "OperationAborted", FailureKind::Unavailable),
        (404, "NoSuchBucket", FailureKind::Away),
        (405, "MethodNotAllowed", FailureKind::Unsupported),
    ] {
        for read in [true, false] {
            let number = obs.requests().len();
            obs.strike(0, Fault::Refuse(status, code));
            let failure = if read {
                store.get("a b", 10).await.unwrap_err()
            } else {
                store.head("a b").await.unwrap_err()
            };
            assert_eq!(failure.kind, kind, "{failure}");
            for part in ["\"a b\"", "\"b1\"", code, &format!("FAKE{number:08}")] {
                assert!(failure.reason.contains(part), "{part} in {failure}");
            }
        }
    }
}

#[tokio::test]
async fn answer_that_does_not_come_is_unknown_only_where_that_matters() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("old")));
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::CutAnswer] {
        obs.strike(0, fault.clone());
        let failure = store.get("k", 10).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    }
    let attributes = Attributes::default();
    for fault in [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Refuse(500, "InternalError"),
        Fault::RefuseAfter(503, "ServiceUnavailable"),
    ] {
        obs.calm();
        obs.strike_first(|request| request.method == "PUT", fault);
        let written = store.put("k", Bytes::from("new"), &attributes);
        let failure = written.await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unknown, "{failure}");
    }
}

#[tokio::test]
async fn server_that_is_not_there_is_unreachable_whatever_was_asked() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    drop(obs);
    let attributes = Attributes::default();
    let failure = store.head("k").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    let written = store.put("k", Bytes::from("new"), &attributes);
    let failure = written.await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
}

#[tokio::test]
async fn wrong_clock_is_corrected_by_the_servers_once_and_for_all() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    obs.set_ahead(Duration::from_hours(3));
    assert!(store.head("k").await.unwrap().is_some());
    assert_eq!(obs.requests().len(), 2);
    assert_eq!(store.get("k", 10).await.unwrap(), "film");
    assert_eq!(obs.requests().len(), 3);

    let always = |failure: Failure| assert_eq!(failure.kind, FailureKind::Unavailable);
    obs.strike_every(|_| true, Fault::Refuse(403, "RequestTimeTooSkewed"));
    always(store.head("k").await.unwrap_err());
    assert_eq!(obs.requests().len(), 5);
}

#[tokio::test]
async fn link_ends_by_the_servers_clock() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    obs.set_ahead(Duration::from_hours(3));
    store.head("k").await.unwrap();
    let link = store.signed_url("k", Duration::from_mins(1), aftertake::clock::now());
    assert_eq!(follow(link).await.status(), 200);
}

#[tokio::test]
async fn redirect_is_not_followed_and_says_where_the_bucket_is() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.strike(0, Fault::Redirect("https://b1.obs.elsewhere.example.com/k"));
    let failure = store.head("k").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    assert!(
        failure.reason.contains("obs.elsewhere.example.com"),
        "{failure}"
    );
    assert_eq!(obs.requests().len(), 1);
}

#[tokio::test]
async fn temporary_credentials_send_their_token_with_every_request() {
    let obs = FakeObs::start().await;
    obs.demand_token();
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    let mut access = obs.access();
    let without = store_with("b1", &access);
    let failure = without.head("k").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Credentials, "{failure}");
    access.security_token = Some(TOKEN.to_owned().into());
    let with = store_with("b1", &access);
    assert!(with.head("k").await.unwrap().is_some());
    let shown = format!("{with:?}");
    assert!(
        !shown.contains(TOKEN) && !shown.contains(SECRET_KEY),
        "{shown}"
    );
}

#[tokio::test]
async fn wrong_secret_is_a_credentials_failure() {
    let obs = FakeObs::start().await;
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    let mut access = obs.access();
    access.secret_key = "wrong".to_owned().into();
    let store = store_with("b1", &access);
    let failure = store.get("k", 10).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Credentials, "{failure}");
    assert!(failure.reason.contains("check `secret_key`"), "{failure}");
}

#[tokio::test]
async fn object_that_is_not_there_yet_is_there_at_the_next_look() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    obs.strike(0, Fault::Refuse(404, "NoSuchKey"));
    assert_eq!(store.head("k").await.unwrap(), None);
    obs.strike(0, Fault::Refuse(404, ""));
    assert_eq!(store.head("k").await.unwrap(), None);
    assert!(store.head("k").await.unwrap().is_some());
}

#[tokio::test]
async fn retry_after_of_obs_is_kept() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.strike(0, Fault::Wait(7));
    let failure = store.head("k").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Throttled, "{failure}");
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn documents_that_are_not_what_was_asked_for_are_no_success() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film").dressed()));
    for fault in [
        Fault::ErrorInside("InternalError"),
        Fault::NothingInside,
        Fault::CutAnswer,
    ] {
        for operation in 0..3 {
            obs.strike(0, fault.clone());
            let failed = match operation {
                0 => store.list("", None).await.map(|_| ()),
                1 => store.tags("k").await.map(|_| ()),
                _ => store.rights("k").await.map(|_| ()),
            };
            let failure = failed.unwrap_err();
            assert!(
                matches!(
                    failure.kind,
                    FailureKind::Unavailable | FailureKind::Unreachable
                ),
                "{failure}"
            );
        }
    }
}

/// For some operations the response is only a status. OBS can send it before the operation is
/// done, and a proxy can add a page.
#[tokio::test]
async fn success_with_another_document_inside_is_no_success() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    let tags = BTreeMap::from([("room".to_owned(), "r".to_owned())]);
    for fault in [Fault::ErrorInside("InternalError"), Fault::Page(200)] {
        obs.calm();
        obs.strike_every(|request| request.method != "HEAD", fault.clone());
        let one = ["k".to_owned()];
        let outcomes: [(&str, Result<(), Failure>); 7] = [
            ("read", store.get("k", 9999).await.map(|_| ())),
            (
                "write",
                store
                    .put("k", Bytes::new(), &Attributes::default())
                    .await
                    .map(|_| ()),
            ),
            (
                "delete",
                store.delete(&one).await.and_then(|mut failed| {
                    failed.pop().map_or(Ok(()), |(_, failure)| Err(failure))
                }),
            ),
            ("tag", store.set_tags("k", &tags).await),
            ("delete tags", store.set_tags("k", &BTreeMap::new()).await),
            ("rights", store.set_rights("k", &Rights::Private).await),
            ("metadata", store.set_metadata("k", &tags).await),
        ];
        for (what, outcome) in outcomes {
            let failure = outcome.expect_err(what);
            assert!(failure.kind.may_have_happened(), "{what}: {failure}");
        }
        let note = r#"{"open":{"id":"u1"}}"#;
        let ended = store.abandon("k", Some(note)).await;
        ended.expect_err("the upload may still be open");
    }
}

/// It may be a proxy's, or of a server that has no such bucket.
#[tokio::test]
async fn not_found_without_a_code_is_about_an_object_only_if_the_bucket_is_there() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("x")));
    let keys = ["k".to_owned()];

    obs.strike_every(|request| !request.key.is_empty(), Fault::Page(404));
    assert_eq!(store.head("k").await.unwrap(), None);
    assert_eq!(store.delete(&keys).await.unwrap(), []);
    let read = store.get("k", 10).await.unwrap_err();
    assert_eq!(read.kind, FailureKind::Missing, "{read}");

    obs.strike_every(|_| true, Fault::Page(404));
    let mut failures = store.delete(&keys).await.unwrap();
    failures.push(("head".into(), store.head("k").await.unwrap_err()));
    failures.push(("get".into(), store.get("k", 10).await.unwrap_err()));
    failures.push(("list".into(), store.list("", None).await.unwrap_err()));
    for (what, failure) in failures {
        assert_eq!(failure.kind, FailureKind::Away, "{what}: {failure}");
        assert_eq!(failure.bucket.as_deref(), Some("b1"), "{what}");
    }
}

#[tokio::test]
async fn bucket_that_may_not_be_looked_at_counts_as_there() {
    for (answer, expected) in [
        (Fault::Refuse(403, "AccessDenied"), Ok(None)),
        (Fault::Refuse(405, "MethodNotAllowed"), Ok(None)),
        (Fault::Page(503), Err(FailureKind::Unavailable)),
        (
            Fault::Refuse(403, "InvalidAccessKeyId"),
            Err(FailureKind::Credentials),
        ),
    ] {
        let obs = FakeObs::start().await;
        let at = format!("{answer:?}");
        obs.strike_every(|request| !request.key.is_empty(), Fault::Page(404));
        obs.strike_every(|request| request.key.is_empty(), answer);
        let looked = obs.store("b1").head("k").await;
        assert_eq!(looked.map_err(|failure| failure.kind), expected, "{at}");
    }
}
