//! What every object storage promises: the tests are functions over [`Buckets`], and `backends` makes
//! each kind of bucket.

mod backends;

use std::collections::BTreeMap;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::object::{
    Attributes, Copy, DELETE_LIMIT, Layout, ObjectMeta, ObjectStore, Pair, Rights, TagSupport,
    UploadLog,
};
use bytes::Bytes;
use futures_util::future::join_all;

use self::backends::Buckets;
use crate::obs_parts::Log;
use crate::support::recording::place;

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

/// Tests the contract on one kind of bucket.
macro_rules! shown_on {
    ($kind:ident) => {
        shown_on! { $kind:
            object_is_read_back_under_its_key_until_it_is_deleted
            key_that_would_reach_another_object_is_refused
            missing_object_is_missing_to_every_operation
            content_above_the_limit_is_refused
            object_that_is_written_again_keeps_nothing_of_the_one_before
            etag_changes_with_the_content_alone
            listing_is_in_key_order_and_goes_on_after_any_key
            listing_of_a_folder_has_what_is_directly_in_it
            page_has_a_thousand_objects_and_a_deletion_takes_as_many
            copy_takes_everything_along_and_leaves_the_source
            copy_replaces_everything_that_belonged_to_its_target
            copy_of_a_source_that_has_changed_or_gone_makes_nothing
            copy_is_found_again_and_another_object_is_not_taken_for_it
            abandoned_target_stays
            object_is_deleted_beside_the_one_that_stays
            tags_are_replaced_whole_or_not_supported
            metadata_is_replaced_and_everything_else_stays
            rename_is_done_once_and_replaces_nothing
            link_is_of_one_object
        }
    };
    ($kind:ident: $($promise:ident)*) => {
        mod $kind {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(&super::backends::$kind().await).await;
                }
            )*
        }
    };
}

shown_on!(folder);
shown_on!(obs);
shown_on!(obs_without_tags);
shown_on!(obs_that_encrypts);
shown_on!(obs_file_system);

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// All attributes that can be written with an object.
fn dressed() -> Attributes {
    Attributes {
        content_type: Some("video/mp4".into()),
        metadata: map(&[("room", "7"), ("course", "a+b=c")]),
        storage_class: Some("WARM".into()),
        headers: map(&[("cache-control", "no-store")]),
    }
}

fn copy_to<'a>(source: &'a ObjectMeta, to: &'a str) -> Copy<'a> {
    Copy {
        source: "one",
        from: &source.key,
        to,
        etag: &source.etag,
        size: source.size,
        mark: None,
    }
}

#[track_caller]
fn assert_kind<T: std::fmt::Debug>(answer: Result<T, Failure>, kind: FailureKind, key: &str) {
    assert_eq!(answer.unwrap_err().kind, kind, "{key:?}");
}

async fn write(store: &dyn ObjectStore, key: &str, content: &str) -> ObjectMeta {
    let content = Bytes::copy_from_slice(content.as_bytes());
    let written = store.put(key, content, &dressed()).await;
    written.unwrap()
}

async fn head(store: &dyn ObjectStore, key: &str) -> ObjectMeta {
    let found = store.head(key).await.unwrap();
    found.unwrap_or_else(|| panic!("{key:?} is not there"))
}

async fn keys(store: &dyn ObjectStore, prefix: &str, after: Option<&str>) -> Vec<String> {
    let page = store.list(prefix, after).await.unwrap();
    assert!(!page.more);
    page.objects.into_iter().map(|object| object.key).collect()
}

async fn object_is_read_back_under_its_key_until_it_is_deleted(buckets: &Buckets) {
    let store = &*buckets.one;
    let mut written = Vec::new();
    for key in KEYS {
        let content = Bytes::from(format!("content of {key}"));
        let meta = match store.put(key, content.clone(), &dressed()).await {
            Err(failure) if !buckets.takes_every_key => {
                assert_eq!(failure.kind, FailureKind::Invalid, "{key:?}");
                assert_kind(store.head(key).await, FailureKind::Invalid, key);
                continue;
            }
            meta => meta.unwrap(),
        };
        let found = head(store, key).await;
        assert_eq!((&*found.key, found.size), (key, content.len() as u64));
        assert_eq!(
            (meta.key, meta.size, meta.etag),
            (found.key, found.size, found.etag)
        );
        assert_eq!(found.attributes, buckets.dressed, "{key:?}");
        assert_eq!(store.get(key, 100).await.unwrap(), content);
        assert_eq!(store.rights(key).await.unwrap(), Rights::Private);
        written.push(key.to_owned());
    }
    written.sort();
    assert!(written.len() >= 12);
    assert_eq!(keys(store, "", None).await, written);
    assert_eq!(store.delete(&written[..1]).await.unwrap(), []);
    assert_eq!(store.delete(&written).await.unwrap(), []);
    assert_eq!(keys(store, "", None).await, [""; 0]);
}

async fn key_that_would_reach_another_object_is_refused(buckets: &Buckets) {
    let store = &*buckets.one;
    let source = write(store, "a", "film").await;
    for key in ["", "..", "a/../b", "./a", "a/.", "../other/a"] {
        assert_kind(store.head(key).await, FailureKind::Invalid, key);
        assert_kind(store.get(key, 10).await, FailureKind::Invalid, key);
        let written = store.put(key, "film".into(), &dressed()).await;
        assert_kind(written, FailureKind::Invalid, key);
        let copied = store.copy(copy_to(&source, key)).await;
        assert_kind(copied, FailureKind::Invalid, key);
        let failed = store.delete(&[key.to_owned()]).await.unwrap();
        assert_eq!((failed.len(), &*failed[0].0), (1, key));
        assert_eq!(failed[0].1.kind, FailureKind::Invalid, "{key:?}");
    }
    assert_eq!(keys(store, "", None).await, ["a"]);
    assert_eq!(keys(&*buckets.other, "", None).await, [""; 0]);
}

async fn missing_object_is_missing_to_every_operation(buckets: &Buckets) {
    let store = &*buckets.one;
    // Also where nothing was ever written.
    for _ in 0..2 {
        assert_eq!(store.head("k").await.unwrap(), None);
        assert_kind(store.get("k", 10).await, FailureKind::Missing, "k");
        if buckets.has_tags {
            assert_kind(store.tags("k").await, FailureKind::Missing, "k");
            let tagged = store.set_tags("k", &map(&[("a", "b")])).await;
            assert_kind(tagged, FailureKind::Missing, "k");
        }
        let described = store.set_metadata("k", &map(&[("a", "b")])).await;
        assert_kind(described, FailureKind::Missing, "k");
        assert_eq!(store.delete(&["k".into()]).await.unwrap(), []);
        assert_eq!(store.delete(&["k".into(), "l".into()]).await.unwrap(), []);
        assert_eq!(keys(store, "", None).await, [""; 0]);
        write(store, "k", "film").await;
        store.delete(&["k".into()]).await.unwrap();
    }
}

async fn content_above_the_limit_is_refused(buckets: &Buckets) {
    let store = &*buckets.one;
    write(store, "k", "12345").await;
    assert_eq!(store.get("k", 5).await.unwrap(), "12345");
    assert_kind(store.get("k", 4).await, FailureKind::Unsupported, "k");
}

async fn object_that_is_written_again_keeps_nothing_of_the_one_before(buckets: &Buckets) {
    let store = &*buckets.one;
    for is_deleted in [false, true] {
        let before = write(store, "k", "old").await;
        buckets.tag(store, "k", &[("old", "1")]).await;
        if is_deleted {
            store.delete(&["k".into()]).await.unwrap();
        }
        let plain = Attributes::default();
        let again = store.put("k", "new".into(), &plain).await.unwrap();
        assert_ne!(again.etag, before.etag);
        assert_eq!(store.get("k", 10).await.unwrap(), "new");
        let found = head(store, "k").await;
        assert_eq!(found.etag, again.etag);
        assert_eq!(found.attributes.metadata, plain.metadata);
        assert_eq!(found.attributes.content_type, None);
        buckets.assert_tags(store, "k", &[]).await;
    }
}

async fn etag_changes_with_the_content_alone(buckets: &Buckets) {
    let store = &*buckets.one;
    for size in [3, 2 << 20] {
        let written = write(store, "k", &"x".repeat(size)).await;
        assert!(!written.etag.contains('"'), "{}", written.etag);
        buckets.tag(store, "k", &[("a", "b")]).await;
        store.set_metadata("k", &map(&[("c", "d")])).await.unwrap();
        for _ in 0..2 {
            assert_eq!(head(store, "k").await.etag, written.etag);
        }
        let listed = store.list("", None).await.unwrap().objects;
        assert_eq!((listed.len(), &listed[0].etag), (1, &written.etag));
        let changed = write(store, "k", &"y".repeat(size)).await;
        assert_ne!(changed.etag, written.etag);
        assert_eq!(head(store, "k").await.etag, changed.etag);
    }
}

async fn listing_is_in_key_order_and_goes_on_after_any_key(buckets: &Buckets) {
    let store = &*buckets.one;
    let all = ["a-b", "a/1 ", "a/b", "a/房", "a0", "b/a.ts", "b/a/c", "c"];
    for key in all.iter().rev() {
        write(store, key, &format!("content of {key}")).await;
    }
    let page = store.list("", None).await.unwrap();
    for (listed, key) in page.objects.iter().zip(all) {
        let found = head(store, key).await;
        assert_eq!(
            (&*listed.key, listed.size, &listed.etag),
            (key, found.size, &found.etag)
        );
        let class = &listed.attributes.storage_class;
        assert!(class.is_none() || *class == found.attributes.storage_class);
    }
    assert_eq!(keys(store, "", None).await, all);
    for (number, key) in all.iter().enumerate() {
        assert_eq!(keys(store, "", Some(key)).await, all[number + 1..]);
    }
    assert_eq!(keys(store, "", Some("a/zz")).await, all[3..]);
    assert_eq!(keys(store, "b/a", None).await, ["b/a.ts", "b/a/c"]);
    assert_eq!(keys(store, "b/a", Some("b/a.ts")).await, ["b/a/c"]);
    assert_eq!(keys(store, "d", None).await, [""; 0]);
}

/// Objects in folders below do not count.
async fn listing_of_a_folder_has_what_is_directly_in_it(buckets: &Buckets) {
    let store = &*buckets.one;
    let mut all: Vec<String> = (0..9).map(|n| format!("r/s/{n}")).collect();
    all.extend((0..500).map(|n| format!("r/{n:04}/x")));
    let mut direct: Vec<String> = (0..500).map(|n| format!("r/{n:04}.ts")).collect();
    direct.extend(["r/s.m3u8", "r/s0", "r/z"].map(str::to_owned));
    all.extend(direct.iter().cloned());
    for some in all.chunks(50) {
        join_all(some.iter().map(|key| write(store, key, key))).await;
    }
    write(store, "top.ts", "top").await;
    for (folder, expected) in [
        ("r/", &*direct),
        ("", &["top.ts".to_owned()]),
        ("none/", &[]),
        ("top.ts/", &[]),
    ] {
        let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let page = store.list_folder(folder, after.as_deref()).await.unwrap();
            found.extend(page.keys);
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{folder:?}");
        assert!(pages <= 2, "{folder:?}: {pages}");
    }
}

async fn page_has_a_thousand_objects_and_a_deletion_takes_as_many(buckets: &Buckets) {
    let store = &*buckets.one;
    let mut all: Vec<String> = (0..=1000).map(|n| format!("r/{}/{n:04}", n % 3)).collect();
    all.sort();
    for some in all.chunks(50) {
        join_all(some.iter().map(|key| write(store, key, key))).await;
    }
    let first = store.list("r/", None).await.unwrap();
    let listed: Vec<_> = first.objects.into_iter().map(|one| one.key).collect();
    assert_eq!((&*listed, first.more), (&all[..1000], true));
    assert_eq!(keys(store, "r/", Some(&listed[999])).await, all[1000..]);
    assert_eq!(store.delete(&all[..DELETE_LIMIT]).await.unwrap(), []);
    assert_eq!(keys(store, "", None).await, all[DELETE_LIMIT..]);
}

/// Contents such that a store may copy one whole and the other in parts.
fn contents() -> [String; 2] {
    ["film".to_owned(), "x".repeat(1500)]
}

async fn copy_takes_everything_along_and_leaves_the_source(buckets: &Buckets) {
    let from = "a b/录+1%25.mp4";
    for content in contents() {
        write(&*buckets.one, from, &content).await;
        buckets.tag(&*buckets.one, from, &[("room", "a b+c")]).await;
        let source = head(&*buckets.one, from).await;
        for (store, to) in [(&buckets.one, "x/y"), (&buckets.other, from)] {
            // Also if the copy already exists.
            for _ in 0..2 {
                let copied = store.copy(copy_to(&source, to)).await.unwrap();
                let found = head(&**store, to).await;
                assert_eq!((copied.size, copied.etag), (found.size, found.etag));
                assert_eq!(found.attributes, source.attributes, "{to:?}");
                assert_eq!(store.get(to, 2000).await.unwrap(), content);
                buckets
                    .assert_tags(&**store, to, &[("room", "a b+c")])
                    .await;
            }
        }
        assert_eq!(head(&*buckets.one, from).await, source);
    }
}

async fn copy_replaces_everything_that_belonged_to_its_target(buckets: &Buckets) {
    let (one, other) = (&*buckets.one, &*buckets.other);
    for content in contents() {
        write(other, "x", "old").await;
        buckets.tag(other, "x", &[("old", "1")]).await;
        let plain = Attributes::default();
        let written = one.put("a", content.clone().into(), &plain).await;
        written.unwrap();
        let source = head(one, "a").await;
        other.copy(copy_to(&source, "x")).await.unwrap();
        let copied = head(other, "x").await;
        assert_eq!(copied.attributes, source.attributes);
        assert_eq!(other.get("x", 2000).await.unwrap(), content);
        buckets.assert_tags(other, "x", &[]).await;
    }
}

async fn copy_of_a_source_that_has_changed_or_gone_makes_nothing(buckets: &Buckets) {
    let (one, other) = (&*buckets.one, &*buckets.other);
    for content in contents() {
        write(one, "a", &content).await;
        let source = head(one, "a").await;
        write(one, "a", &content.to_uppercase()).await;
        let copied = other.copy(copy_to(&source, "x")).await;
        assert_kind(copied, FailureKind::SourceChanged, "a");
        one.delete(&["a".into()]).await.unwrap();
        let copied = other.copy(copy_to(&source, "x")).await;
        assert_kind(copied, FailureKind::Missing, "a");
        assert_eq!(keys(other, "", None).await, [""; 0]);
    }
}

async fn copy_is_found_again_and_another_object_is_not_taken_for_it(buckets: &Buckets) {
    let (one, other) = (&*buckets.one, &*buckets.other);
    for content in contents() {
        write(one, "a", &content).await;
        let source = head(one, "a").await;
        let copy = Copy {
            mark: Some("mark-of-the-move"),
            ..copy_to(&source, "x")
        };
        let mut log = Log::default();
        let find = async |log: &Log| other.find_copy(copy, None, log.recorded()).await.unwrap();
        assert_eq!(find(&log).await, None);
        let stranger = content.to_uppercase();
        write(other, "x", &stranger).await;
        assert_eq!(find(&log).await, None);
        for _ in 0..2 {
            other.copy_logged(copy, None, &mut log).await.unwrap();
            let found = find(&log).await.unwrap();
            assert_eq!((&*found.key, found.size), ("x", source.size));
            assert_eq!(other.get("x", 2000).await.unwrap(), content);
        }
        write(other, "x", &stranger).await;
        assert_eq!(find(&log).await, None);
        assert_eq!(other.get("x", 2000).await.unwrap(), stranger);
    }
}

async fn abandoned_target_stays(buckets: &Buckets) {
    let store = &*buckets.one;
    assert_eq!(store.abandon("x", None).await.unwrap(), None);
    write(store, "x", "film").await;
    let before = head(store, "x").await;
    assert_eq!(store.abandon("x", None).await.unwrap(), None);
    assert_eq!(head(store, "x").await, before);
    assert_eq!(store.get("x", 10).await.unwrap(), "film");
}

async fn object_is_deleted_beside_the_one_that_stays(buckets: &Buckets) {
    let (one, other) = (&*buckets.one, &*buckets.other);
    for bucket in ["one", "other"] {
        for store in [one, other] {
            write(store, "copy", "film").await;
        }
        write(one, "a", "film").await;
        let pair = Pair {
            goes: "a".into(),
            stays: place(bucket, "copy"),
        };
        for _ in 0..2 {
            let pairs = std::slice::from_ref(&pair);
            assert_eq!(one.delete_keeping(pairs).await.unwrap(), []);
        }
        assert_eq!(keys(one, "", None).await, ["copy"]);
        assert_eq!(keys(other, "", None).await, ["copy"]);
    }
}

async fn tags_are_replaced_whole_or_not_supported(buckets: &Buckets) {
    let store = &*buckets.one;
    write(store, "k", "film").await;
    let tags = map(&[("room", "房 1 & 2"), ("a", "")]);
    if !buckets.has_tags {
        assert_eq!(store.tags("k").await.unwrap(), TagSupport::Unsupported);
        let tagged = store.set_tags("k", &tags).await;
        assert_kind(tagged, FailureKind::Unsupported, "k");
        return;
    }
    buckets.assert_tags(store, "k", &[]).await;
    for tags in [tags, map(&[("only", "this")]), map(&[])] {
        for _ in 0..2 {
            store.set_tags("k", &tags).await.unwrap();
            let found = store.tags("k").await.unwrap();
            assert_eq!(found, TagSupport::Tags(tags.clone()));
        }
    }
}

async fn metadata_is_replaced_and_everything_else_stays(buckets: &Buckets) {
    let store = &*buckets.one;
    write(store, "k", "film").await;
    buckets.tag(store, "k", &[("a", "b")]).await;
    let before = head(store, "k").await;
    for metadata in [map(&[("class", "7 b=c")]), map(&[])] {
        store.set_metadata("k", &metadata).await.unwrap();
        let mut expected = before.clone();
        expected.attributes.metadata = metadata;
        assert_eq!(head(store, "k").await, expected);
        assert_eq!(store.get("k", 10).await.unwrap(), "film");
        buckets.assert_tags(store, "k", &[("a", "b")]).await;
    }
}

async fn rename_is_done_once_and_replaces_nothing(buckets: &Buckets) {
    let store = &*buckets.one;
    write(store, "k", "film").await;
    let source = head(store, "k").await;
    assert_eq!(store.layout().await.unwrap(), buckets.layout);
    if buckets.layout == Layout::Objects {
        let renamed = store.rename(copy_to(&source, "to")).await;
        assert_kind(renamed, FailureKind::Unsupported, "k");
        assert_eq!(keys(store, "", None).await, ["k"]);
        return;
    }
    for from in KEYS {
        let to = format!("new/{from}");
        write(store, from, "film").await;
        let source = head(store, from).await;
        for _ in 0..2 {
            let renamed = store.rename(copy_to(&source, &to)).await.unwrap();
            assert_eq!((&renamed.key, renamed.etag), (&to, source.etag.clone()));
            assert_eq!(store.head(from).await.unwrap(), None);
            let expected = ObjectMeta {
                key: to.clone(),
                ..source.clone()
            };
            assert_eq!(head(store, &to).await, expected);
        }
    }
    let there = write(store, "there", "another").await;
    let renamed = store.rename(copy_to(&source, "there")).await;
    assert_kind(renamed, FailureKind::Conflict, "k");
    assert_eq!(head(store, "k").await, source);
    assert_eq!(head(store, "there").await.etag, there.etag);
    store.delete(&["k".into()]).await.unwrap();
    for to in ["nowhere", "there"] {
        let renamed = store.rename(copy_to(&source, to)).await;
        assert_kind(renamed, FailureKind::Missing, to);
    }
}

async fn link_is_of_one_object(buckets: &Buckets) {
    let (one, other) = (&*buckets.one, &*buckets.other);
    assert_eq!(one.copy_domain(), other.copy_domain());
    let of = |store: &dyn ObjectStore| KEYS.map(|key| store.url(key));
    let mut links: Vec<_> = [of(one), of(other)].concat();
    for link in &links {
        let parsed: url::Url = link.parse().unwrap();
        assert_eq!((parsed.query(), parsed.fragment()), (None, None), "{link}");
    }
    let count = links.len();
    links.sort();
    links.dedup();
    assert_eq!(links.len(), count, "{links:#?}");
    let base = one.url("").trim_end_matches('/').to_owned();
    assert!(of(one).iter().all(|link| link.starts_with(&base)));
}
