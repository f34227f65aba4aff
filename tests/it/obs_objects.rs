//! OBS, operation by operation, against a server that checks every signature.

use std::collections::BTreeMap;
use std::time::Duration;

use aftertake::clock;
use aftertake::model::failure::FailureKind;
use aftertake::object::{Attributes, ObjectStore, Rights, TagSupport};
use bytes::Bytes;

use crate::support::fake_obs::{FakeObs, Kind, Object, TOKEN, store_with};

/// Keys that clients are known to get wrong.
pub(crate) const KEYS: [&str; 16] = [
    "Record/room-1/a.mp4",
    "录制/会议 01.mp4",
    "a b/c  d.mp4",
    "a+b.mp4",
    "50%25%41.mp4",
    "what?.mp4",
    "a?versionId=1",
    "#1/a&b=c;d.mp4",
    "~a/(1)!'*@:,$[x]{y}|^`\"<z>\\.mp4",
    "/leading.mp4",
    "a//b///c.mp4",
    "a.../..b/.c.mp4",
    "%2E%2E/x",
    "🎬/é/ü.mp4",
    " a ",
    "folder/",
];

/// GETs a link as a browser would: without credentials.
pub(crate) async fn follow(link: String) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(link).send().await.unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn every_key_is_written_read_listed_and_deleted_as_it_is() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    for key in KEYS {
        let content = Bytes::from(format!("content of {key}"));
        let attributes = Attributes {
            content_type: Some("text/plain".into()),
            metadata: map(&[("room", "房 1%20")]),
            storage_class: Some("WARM".into()),
            headers: map(&[("cache-control", "no-store")]),
        };
        let written = store.put(key, content.clone(), &attributes).await.unwrap();
        let found = store.head(key).await.unwrap().unwrap();
        assert_eq!(
            (&found.key, found.size),
            (&key.to_owned(), content.len() as u64)
        );
        assert_eq!(found.etag, written.etag, "{key}");
        assert_eq!(found.attributes.content_type, attributes.content_type);
        assert_eq!(found.attributes.storage_class, attributes.storage_class);
        assert_eq!(found.attributes.headers, attributes.headers);
        assert_eq!(found.attributes.metadata["room"], "%E6%88%BF 1%20");
        assert_eq!(store.get(key, 1000).await.unwrap(), content);
    }
    let mut sorted = KEYS.map(str::to_owned).to_vec();
    sorted.sort();
    let page = store.list("", None).await.unwrap();
    let listed: Vec<_> = page
        .objects
        .iter()
        .map(|object| object.key.clone())
        .collect();
    assert_eq!((listed, page.more), (sorted.clone(), false));

    assert_eq!(store.delete(&sorted[..1]).await.unwrap(), []);
    assert_eq!(store.delete(&sorted).await.unwrap(), []);
    assert!(obs.world(|world| world.bucket("b1").objects.is_empty()));
}

#[tokio::test]
async fn key_that_would_reach_another_object_is_refused_unsent() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    for key in ["", "..", "a/../b", "./a", "a/."] {
        let failure = store.head(key).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid, "{key:?}");
        let (_, failure) = &store.delete(&[key.to_owned()]).await.unwrap()[0];
        assert_eq!(failure.kind, FailureKind::Invalid, "{key:?}");
    }
    assert_eq!(obs.requests().len(), 0);
}

#[tokio::test]
async fn listing_goes_on_after_the_last_key_of_a_page() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| {
        world.page = Some(2);
        for key in ["a/1 ", "a/2", "a/3", "a/房", "b/1"] {
            world.put("b1", key, Object::text(key));
        }
    });
    let mut keys = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list("a/", after.as_deref()).await.unwrap();
        keys.extend(page.objects.into_iter().map(|object| object.key));
        after = keys.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(keys, ["a/1 ", "a/2", "a/3", "a/房"]);
}

#[tokio::test]
async fn content_above_the_limit_is_refused() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("12345")));
    assert_eq!(store.get("k", 5).await.unwrap(), "12345");
    let failure = store.get("k", 4).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    let failure = store.get("absent", 1).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing, "{failure}");
}

#[tokio::test]
async fn deletion_answers_the_keys_it_could_not_delete_and_asks_for_a_thousand_at_once() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let mut keys: Vec<String> = (0..1500).map(|number| format!("k{number:04}")).collect();
    obs.world(|world| {
        for key in &keys {
            world.put("b1", key, Object::text(""));
        }
    });
    keys.push("locked/a&b".to_owned());
    let failed = store.delete(&keys).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, "locked/a&b");
    assert_eq!(failed[0].1.kind, FailureKind::Denied);
    assert!(obs.world(|world| world.bucket("b1").objects.is_empty()));
    assert_eq!(obs.lines(0), ["POST b1/?delete", "POST b1/?delete"]);
    assert_eq!(store.delete(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn tags_are_replaced_whole_and_an_object_without_any_has_an_empty_set() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("")));
    let read = async || store.tags("k").await.unwrap();
    assert_eq!(read().await, TagSupport::Tags(map(&[])));
    for tags in [
        map(&[("room", "房 1 & 2"), ("a", "")]),
        map(&[("only", "this")]),
        map(&[]),
    ] {
        store.set_tags("k", &tags).await.unwrap();
        assert_eq!(read().await, TagSupport::Tags(tags));
    }
    let failure = store
        .set_tags("k", &map(&[("a", "b/c")]))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
    let failure = store.tags("absent").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing, "{failure}");
}

#[tokio::test]
async fn bucket_without_tagging_says_so() {
    let obs = FakeObs::start().await;
    for (bucket, kind) in [("plain", Kind::WithoutTags), ("pfs", Kind::FileSystem)] {
        obs.world(|world| {
            world.make(bucket, kind);
            world.put(bucket, "k", Object::text(""));
        });
        let store = obs.store(bucket);
        assert_eq!(store.tags("k").await.unwrap(), TagSupport::Unsupported);
        let failure = store.set_tags("k", &map(&[("a", "b")])).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
    }
}

#[tokio::test]
async fn metadata_is_replaced_and_the_content_type_stays() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("").dressed()));
    store
        .set_metadata("k", &map(&[("room", "房=1")]))
        .await
        .unwrap();
    let found = store.head("k").await.unwrap().unwrap().attributes;
    assert_eq!(found.metadata, map(&[("room", "%E6%88%BF=1")]));
    assert_eq!(found.content_type.as_deref(), Some("video/mp4"));
    let failure = store
        .set_metadata("k", &map(&[("a b", "c")]))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
}

#[tokio::test]
async fn access_rights_read_back_as_they_were_given() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let grants = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter()
            .map(|(who, what)| ((*who).to_owned(), (*what).to_owned()))
            .collect()
    };
    for (name, given) in [
        ("private", grants(&[])),
        ("public", grants(&[("*", "READ")])),
        (
            "shared",
            grants(&[("*", "READ"), ("d1", "FULL_CONTROL"), ("d2", "READ_ACP")]),
        ),
    ] {
        obs.world(|world| {
            let mut object = Object::text("");
            object.grants.clone_from(&given);
            world.put("b1", name, object);
            world.put("b1", "other", Object::text("").dressed());
        });
        let rights = store.rights(name).await.unwrap();
        assert_eq!(rights == Rights::Private, given.is_empty());
        store.set_rights("other", &rights).await.unwrap();
        let got = obs.world(|world| world.object("b1", "other").unwrap().grants.clone());
        assert_eq!(got, given, "{name}");
    }
}

#[tokio::test]
async fn signed_link_works_without_credentials_until_it_ends() {
    let obs = FakeObs::start().await;
    let mut access = obs.access();
    for token in [None, Some(TOKEN)] {
        access.security_token = token.map(|token| token.to_owned().into());
        let store = store_with("b1", &access);
        obs.world(|world| world.put("b1", "录制/a b.mp4", Object::text("film")));
        let get = async |lifetime, now| {
            let link = store.signed_url("录制/a b.mp4", lifetime, now);
            follow(link).await
        };
        let minute = Duration::from_mins(1);
        let answer = get(minute, clock::now()).await;
        assert_eq!(answer.text().await.unwrap(), "film");
        let answer = get(minute, clock::now().minus(2 * minute)).await;
        assert_eq!(answer.status(), 403);
        obs.demand_token();
    }
}

#[tokio::test]
async fn links_and_site_name_the_endpoint() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let site = format!("http://{}", obs.address);
    assert_eq!(store.site(), site);
    assert_eq!(
        store.url("a/房 1.mp4"),
        format!("{site}/b1/a/%E6%88%BF%201.mp4")
    );
}
