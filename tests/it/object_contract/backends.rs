//! The kinds of buckets that the contract is tested on.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use aftertake::object::{Attributes, Layout, ObjectStore, TagSupport, folder};

use super::{dressed, map};
use crate::support::fake_obs::{FakeObs, Kind};
use crate::support::folder_in_memory;

/// Two empty buckets, `one` and `other`, with copies possible between them.
pub(super) struct Buckets {
    pub(super) one: Arc<dyn ObjectStore>,
    pub(super) other: Arc<dyn ObjectStore>,
    pub(super) layout: Layout,
    pub(super) has_tags: bool,
    /// Whether every key is accepted, or some are refused as invalid.
    pub(super) takes_every_key: bool,
    /// What is read back of an object that was written with [`dressed`].
    pub(super) dressed: Attributes,
    /// Keeps the buckets alive.
    home: Box<dyn Any>,
}

impl Buckets {
    /// Tags an object, if the bucket supports tags.
    pub(super) async fn tag(&self, store: &dyn ObjectStore, key: &str, tags: &[(&str, &str)]) {
        if self.has_tags {
            store.set_tags(key, &map(tags)).await.unwrap();
        }
    }

    /// Asserts that an object has exactly these tags, if the bucket supports tags.
    pub(super) async fn assert_tags(
        &self,
        store: &dyn ObjectStore,
        key: &str,
        tags: &[(&str, &str)],
    ) {
        let expected = if self.has_tags {
            TagSupport::Tags(map(tags))
        } else {
            TagSupport::Unsupported
        };
        assert_eq!(store.tags(key).await.unwrap(), expected, "{key:?}");
    }
}

pub(super) async fn folder() -> Buckets {
    let home = folder_in_memory();
    let path = |name: &str| {
        let path = home.path().join(name);
        std::fs::create_dir(&path).unwrap();
        (name.to_owned(), path)
    };
    let mut stores = folder::open(BTreeMap::from([path("one"), path("other")]), None);
    let mut store = |name| Arc::new(stores.remove(name).unwrap());
    Buckets {
        one: store("one"),
        other: store("other"),
        layout: Layout::Objects,
        has_tags: true,
        takes_every_key: false,
        dressed: Attributes {
            headers: BTreeMap::new(),
            ..dressed()
        },
        home: Box::new(home),
    }
}

pub(super) async fn obs() -> Buckets {
    at_obs(Kind::Objects).await
}

pub(super) async fn obs_without_tags() -> Buckets {
    Buckets {
        has_tags: false,
        ..at_obs(Kind::WithoutTags).await
    }
}

/// A copy has another ETag than its source.
pub(super) async fn obs_that_encrypts() -> Buckets {
    let mut buckets = at_obs(Kind::Objects).await;
    let obs: &FakeObs = buckets.home.downcast_ref().unwrap();
    obs.world(|world| {
        world.encrypt("one");
        world.encrypt("other");
    });
    buckets.dressed.headers.extend(map(&[
        ("x-obs-server-side-encryption", "kms"),
        (
            "x-obs-server-side-encryption-kms-key-id",
            "key-of-the-customer",
        ),
    ]));
    buckets
}

/// Objects have no storage class.
pub(super) async fn obs_file_system() -> Buckets {
    let mut buckets = at_obs(Kind::FileSystem).await;
    buckets.dressed.storage_class = Some("STANDARD".into());
    Buckets {
        layout: Layout::FileSystem,
        has_tags: false,
        ..buckets
    }
}

async fn at_obs(kind: Kind) -> Buckets {
    let obs = FakeObs::start().await;
    obs.keep_nothing();
    obs.world(|world| {
        world.make("one", kind);
        world.make("other", kind);
    });
    Buckets {
        one: Arc::new(obs.store("one")),
        other: Arc::new(obs.store("other")),
        layout: Layout::Objects,
        has_tags: true,
        takes_every_key: true,
        dressed: dressed(),
        home: Box::new(obs),
    }
}
