//! Copies in one request: what they preserve, and what an interrupted one leaves.

use aftertake::model::failure::{Disposition, FailureKind};
use aftertake::object::{Copy, Extras, ObjectMeta, ObjectStore};

use crate::object_contract::KEYS;
use crate::support::fake_obs::{FakeObs, Fault, Object};

fn copy_of<'a>(source: &'a ObjectMeta, to: &'a str) -> Copy<'a> {
    Copy {
        source: "b1",
        from: &source.key,
        to,
        etag: &source.etag,
        size: source.size,
        mark: None,
    }
}

/// A bucket `b1` with an object with all metadata at `from`; returns the client and the object.
async fn with_source(obs: &FakeObs, from: &str) -> (impl ObjectStore, ObjectMeta) {
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", from, Object::text("film").dressed()));
    let source = store.head(from).await.unwrap().unwrap();
    (store, source)
}

fn same_but_for_the_upload(obs: &FakeObs, from: &str, to: &str) {
    obs.world(|world| {
        let source = world.object("b1", from).unwrap().clone();
        let copied = world.object("b1", to).unwrap().clone();
        assert_eq!(copied, source, "{to:?}");
    });
}

#[tokio::test]
async fn copy_preserves_everything_whatever_the_keys() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    for from in KEYS {
        let to = format!("new/{from}");
        obs.world(|world| world.put("b1", from, Object::text("film").dressed()));
        let source = store.head(from).await.unwrap().unwrap();
        let copied = store.copy(copy_of(&source, &to)).await.unwrap();
        assert_eq!((copied.key, copied.etag), (to.clone(), source.etag));
        same_but_for_the_upload(&obs, from, &to);
    }
}

#[tokio::test]
async fn plain_object_is_copied_with_the_fewest_requests() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    let source = store.head("k").await.unwrap().unwrap();
    for (known, lines) in [
        (
            None,
            vec![
                "HEAD b1/k",
                "GET b1/k?acl",
                "HEAD b1/",
                "PUT b1/to (copy)",
                "HEAD b1/to",
            ],
        ),
        (Some(Extras::default()), vec!["PUT b1/to (copy)"]),
    ] {
        let from = obs.requests().len();
        let copy = copy_of(&source, "to");
        let mut log = crate::obs_parts::Log::default();
        store
            .copy_logged(copy, known.as_ref(), &mut log)
            .await
            .unwrap();
        assert_eq!(obs.lines(from), lines);
        assert_eq!(log.notes, []);
    }
}

#[tokio::test]
async fn known_belongings_are_used_instead_of_the_sources() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, "k").await;
    let mut log = crate::obs_parts::Log::default();
    let copy = copy_of(&source, "to");
    store
        .copy_logged(copy, Some(&Extras::default()), &mut log)
        .await
        .unwrap();
    obs.world(|world| {
        let copied = world.object("b1", "to").unwrap().clone();
        assert_eq!(copied.grants, []);
        assert!(!copied.tags.is_empty());
    });
}

#[tokio::test]
async fn source_that_changes_after_the_look_or_is_archived_is_not_copied() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, "k").await;
    // It changes between HEAD and copy: only the precondition notices.
    obs.strike_first(
        |request| request.line().ends_with("(copy)"),
        Fault::Refuse(412, "PreconditionFailed"),
    );
    let failure = store.copy(copy_of(&source, "to")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::SourceChanged, "{failure}");
    let copies = obs.requests();
    let condition = copies.last().unwrap().header("x-obs-copy-source-if-match");
    assert_eq!(condition, Some(format!("\"{}\"", source.etag).as_str()));

    obs.world(|world| {
        let mut object = Object::text("film");
        object.storage_class = "COLD".to_owned();
        world.put("b1", "k", object);
    });
    let failure = store.copy(copy_of(&source, "to")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
    assert!(failure.reason.contains("restore it first"), "{failure}");
    obs.world(|world| assert_eq!(world.object("b1", "to"), None));
}

#[tokio::test]
async fn success_without_an_etag_counts_as_a_failure() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, "k").await;
    for (fault, kind) in [
        (Fault::ErrorInside("InternalError"), FailureKind::Unknown),
        (Fault::ErrorInside("SlowDown"), FailureKind::Throttled),
        (Fault::ErrorInside("AccessDenied"), FailureKind::Denied),
        (Fault::NothingInside, FailureKind::Unknown),
        (Fault::CutAnswer, FailureKind::Unknown),
    ] {
        obs.strike_first(|request| request.line().ends_with("(copy)"), fault);
        let failure = store.copy(copy_of(&source, "to")).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
    }
}

#[tokio::test]
async fn copy_that_is_missing_after_success_is_an_unknown_result() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("film")));
    let source = store.head("k").await.unwrap().unwrap();
    obs.strike_first(|request| request.line() == "HEAD b1/to", Fault::Stale);
    let failure = store.copy(copy_of(&source, "to")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown, "{failure}");
    let found = store
        .find_copy(copy_of(&source, "to"), None, None)
        .await
        .unwrap();
    assert!(found.is_some());
}

/// Whichever request is lost, looking again and retrying ends with a complete copy.
#[tokio::test]
async fn copy_recovers_from_a_loss_at_every_request() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, "k").await;
    let original = obs.world(|world| world.object("b1", "k").unwrap().clone());
    let expected = original.clone();
    obs.after_every_mutation(move |world| {
        assert_eq!(world.object("b1", "k"), Some(&original));
    });
    let copy = copy_of(&source, "to");
    store.copy(copy).await.unwrap();
    let requests = obs.requests().len() - 1;
    for fault in [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Refuse(503, "ServiceUnavailable"),
        Fault::RefuseAfter(500, "InternalError"),
        Fault::Refuse(429, "TooManyRequests"),
    ] {
        for number in 0..requests {
            obs.world(|world| world.bucket("b1").objects.remove("to"));
            obs.strike(number, fault.clone());
            if let Err(failure) = store.copy(copy).await {
                assert_eq!(failure.kind.disposition(), Disposition::Retry, "{failure}");
                if store.find_copy(copy, None, None).await.unwrap().is_none() {
                    store.copy(copy).await.unwrap();
                }
            }
            obs.calm();
            let copied = obs.world(|world| world.object("b1", "to").cloned());
            assert_eq!(copied, Some(expected.clone()), "{fault:?} at {number}");
        }
    }
}
