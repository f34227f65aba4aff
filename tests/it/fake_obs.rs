//! Tests of the fake OBS where it is hostile: other tests rely on this behaviour.

use std::sync::Arc;
use std::time::Duration;

use aftertake::object::obs::ObsStore;
use aftertake::object::{Copy, ObjectMeta, ObjectStore};

use crate::support::fake_obs::{FakeObs, Fault, Gate, Lost, Object, Recorded};

/// A server with this object at `from`, the client, and the object's metadata as the client sees it.
async fn with_source(object: Object) -> (FakeObs, Arc<ObsStore>, ObjectMeta) {
    let obs = FakeObs::start().await;
    let store = Arc::new(obs.store("b1"));
    obs.world(|world| world.put("b1", "from", object));
    let source = store.head("from").await.unwrap().unwrap();
    (obs, store, source)
}

fn copy_to<'a>(source: &'a ObjectMeta, to: &'a str) -> Copy<'a> {
    Copy {
        source: "b1",
        from: "from",
        to,
        etag: &source.etag,
        size: source.size,
        mark: None,
    }
}

fn text_at(obs: &FakeObs, key: &str) -> Option<Object> {
    obs.world(|world| world.object("b1", key).cloned())
}

fn copies(request: &Recorded) -> bool {
    request.is_copy()
}

fn deletes(request: &Recorded) -> bool {
    request.method == "DELETE" || request.has("delete")
}

#[tokio::test]
async fn what_is_encrypted_gets_another_etag_with_every_write() {
    for content in ["film".to_owned(), "x".repeat(1150)] {
        let (obs, store, source) = with_source(Object::text(&content).encrypted()).await;
        let mut etags = vec![source.etag.clone(), Object::text(&content).etag];
        for to in ["one", "two", "one"] {
            let copied = store.copy(copy_to(&source, to)).await.unwrap();
            assert!(text_at(&obs, to).unwrap().is_encrypted());
            etags.push(copied.etag);
        }
        let written = store.put("put", content.into(), &source.attributes).await;
        etags.push(written.unwrap().etag);
        let count = etags.len();
        etags.sort();
        etags.dedup();
        assert_eq!(etags.len(), count, "{etags:?}");
    }
}

#[tokio::test]
async fn bucket_encrypts_objects_without_a_request_for_it() {
    let (obs, store, source) = with_source(Object::text("film")).await;
    obs.world(|world| world.encrypt("b1"));
    let copied = store.copy(copy_to(&source, "to")).await.unwrap();
    assert_ne!(copied.etag, source.etag);
    assert!(text_at(&obs, "to").unwrap().is_encrypted());
}

#[tokio::test]
async fn every_answer_comes_with_its_effect_or_without() {
    for fault in Fault::every_answer() {
        let (obs, store, _) = with_source(Object::text("film")).await;
        obs.strike_first(deletes, fault.clone());
        let _ = store.delete(&["from".to_owned()]).await;
        let is_carried_out = format!("{fault:?}").contains("After");
        assert_eq!(text_at(&obs, "from").is_none(), is_carried_out, "{fault:?}");
        let status = obs.requests().last().unwrap().status;
        let dropped = matches!(fault, Fault::DropBefore | Fault::DropAfter);
        assert_eq!(status.is_none(), dropped, "{fault:?}: {status:?}");
    }
}

#[tokio::test]
async fn fault_strikes_the_request_after_those_that_it_lets_pass() {
    let (obs, store, _) = with_source(Object::text("film")).await;
    let refused = Fault::Refuse(403, "AccessDenied");
    obs.strike_after(2, |request| request.method == "HEAD", refused);
    for number in 0..4 {
        store.list("", None).await.unwrap();
        assert_eq!(store.head("from").await.is_err(), number == 2, "{number}");
    }
}

#[tokio::test]
async fn copy_that_takes_time_is_there_at_its_end_with_what_it_read_at_its_beginning() {
    for content in ["film".to_owned(), "x".repeat(1150)] {
        let (obs, store, source) = with_source(Object::text(&content)).await;
        let gate = Gate::new();
        obs.strike_first(copies, Fault::Slow(gate.clone()));
        let client = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.copy(copy_to(&source, "to")).await })
        };
        gate.reached().await;
        obs.world(|world| world.put("b1", "from", Object::text("another film")));
        assert_eq!(text_at(&obs, "to"), None);
        gate.open();
        let copied = client.await.unwrap();
        match text_at(&obs, "to") {
            Some(there) => assert_eq!(there.content, Object::text(&content).content),
            // The other parts came from another source.
            None => assert!(content.len() > 1000 && copied.is_err()),
        }
    }
}

#[tokio::test]
async fn copy_goes_on_when_its_client_is_gone() {
    let (obs, store, source) = with_source(Object::text("film")).await;
    obs.slow_copies(|_| Duration::from_millis(100));
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    obs.after_every_mutation(move |_| told.send(()).unwrap());
    tokio::select! {
        _ = store.copy(copy_to(&source, "to")) => panic!("it takes time"),
        () = obs.asked(copies) => {}
    }
    crate::support::in_time(hears.recv()).await.unwrap();
    assert!(text_at(&obs, "to").is_some());
}

#[tokio::test]
async fn late_effect_comes_when_it_is_released_whatever_happened_since() {
    for lost in [Lost::Dropped, Lost::Refused(503, "ServiceUnavailable")] {
        let (obs, store, source) = with_source(Object::text("film")).await;
        obs.world(|world| world.put("b1", "other", Object::text("other")));
        obs.strike_first(copies, Fault::Late(lost));
        obs.strike_first(deletes, Fault::Late(lost));
        store.copy(copy_to(&source, "to")).await.unwrap_err();
        let keys = ["from".to_owned(), "other".to_owned()];
        store.delete(&keys).await.unwrap_err();
        obs.set_aside(2).await;
        assert_eq!(text_at(&obs, "to"), None);
        obs.world(|world| world.put("b1", "from", Object::text("another film")));
        let lines: Vec<_> = obs.release_late().iter().map(Recorded::line).collect();
        assert_eq!(lines, ["PUT b1/to (copy)", "POST b1/?delete"]);
        assert_eq!(
            text_at(&obs, "to").unwrap().content,
            Object::text("film").content
        );
        assert_eq!(
            (text_at(&obs, "from"), text_at(&obs, "other")),
            (None, None)
        );
        assert!(obs.release_late().is_empty());
    }
}

#[tokio::test]
async fn client_that_waits_for_ever_is_gone_before_a_late_effect_comes() {
    let (obs, store, _) = with_source(Object::text("film")).await;
    obs.strike_first(deletes, Fault::Late(Lost::Silent));
    let keys = ["from".to_owned()];
    tokio::select! {
        _ = store.delete(&keys) => panic!("it is never answered"),
        () = obs.set_aside(1) => {}
    }
    assert!(text_at(&obs, "from").is_some());
    obs.release_late();
    assert_eq!(text_at(&obs, "from"), None);
}
