//! The atomic rename of a parallel file system.

use aftertake::model::failure::Disposition;
use aftertake::object::{Copy, Layout, ObjectMeta, ObjectStore};

use crate::support::fake_obs::{FakeObs, Fault, Kind, Object};

/// A file system `pfs` with one object at `from`; returns the client and the object.
async fn with_source(obs: &FakeObs, kind: Kind, from: &str) -> (impl ObjectStore, ObjectMeta) {
    obs.world(|world| {
        world.make("pfs", kind);
        world.put("pfs", from, Object::text("film"));
    });
    let store = obs.store("pfs");
    let source = store.head(from).await.unwrap().unwrap();
    (store, source)
}

fn rename_of<'a>(source: &'a ObjectMeta, to: &'a str) -> Copy<'a> {
    Copy {
        source: "pfs",
        from: &source.key,
        to,
        etag: &source.etag,
        size: source.size,
        mark: None,
    }
}

fn keys(obs: &FakeObs) -> Vec<String> {
    obs.world(|world| world.bucket("pfs").objects.keys().cloned().collect())
}

#[tokio::test]
async fn layout_is_requested_once() {
    let obs = FakeObs::start().await;
    obs.world(|world| world.make("pfs", Kind::FileSystem));
    for (bucket, layout) in [("pfs", Layout::FileSystem), ("b1", Layout::Objects)] {
        let store = obs.store(bucket);
        let from = obs.requests().len();
        for _ in 0..3 {
            assert_eq!(store.layout().await.unwrap(), layout);
        }
        assert_eq!(obs.lines(from).len(), 1);
    }
    let denied = obs.store("b2");
    obs.strike(0, Fault::Refuse(403, ""));
    assert_eq!(denied.layout().await.unwrap(), Layout::Objects);
}

#[tokio::test]
async fn failed_layout_request_is_repeated() {
    let obs = FakeObs::start().await;
    obs.world(|world| world.make("pfs", Kind::FileSystem));
    let store = obs.store("pfs");
    obs.strike(0, Fault::Refuse(503, "SlowDown"));
    assert!(store.layout().await.is_err());
    assert_eq!(store.layout().await.unwrap(), Layout::FileSystem);
}

#[tokio::test]
async fn missing_parents_are_made() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, Kind::StrictFileSystem, "a").await;
    store.rename(rename_of(&source, "x/y/b")).await.unwrap();
    assert_eq!(keys(&obs), ["x/y/", "x/y/b"]);
}

#[tokio::test]
async fn rename_is_looked_up_after_a_loss_at_every_request_and_done_once() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, Kind::FileSystem, "a").await;
    obs.after_every_mutation(|world| {
        let at = |key| world.object("pfs", key).is_some();
        assert!(at("a") != at("b"), "the recording is in exactly one place");
    });
    let rename = rename_of(&source, "b");
    for fault in [
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Refuse(503, "ServiceUnavailable"),
        Fault::RefuseAfter(500, "InternalError"),
        Fault::Refuse(409, "FsRenameConflict"),
    ] {
        // Up to four: the rename, a HEAD of both ends, and the final HEAD.
        for number in 0..4 {
            obs.world(|world| {
                world.bucket("pfs").objects.clear();
                world.put("pfs", "a", Object::text("film"));
            });
            obs.strike(number, fault.clone());
            if let Err(failure) = store.rename(rename).await {
                assert_eq!(failure.kind.disposition(), Disposition::Retry, "{failure}");
                store.rename(rename).await.unwrap();
            }
            obs.calm();
            assert_eq!(keys(&obs), ["b"], "{fault:?} at {number}");
        }
    }
}

#[tokio::test]
async fn lost_answer_is_settled_in_the_same_try() {
    let obs = FakeObs::start().await;
    let (store, source) = with_source(&obs, Kind::FileSystem, "a").await;
    let from = obs.requests().len();
    obs.strike(0, Fault::DropAfter);
    let renamed = store.rename(rename_of(&source, "b")).await.unwrap();
    assert_eq!(renamed.key, "b");
    assert_eq!(
        obs.lines(from),
        ["POST pfs/a?name=/b&rename", "HEAD pfs/a", "HEAD pfs/b"]
    );
}
