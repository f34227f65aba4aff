//! What folder buckets do beyond `object_contract`.

use std::collections::BTreeMap;

use aftertake::model::failure::{Disposition, FailureKind};
use aftertake::model::recording::Place;
use aftertake::object::folder::{self, FolderStore};
use aftertake::object::{Attributes, Copy, ObjectStore, Pair, TagSupport};

use super::support::folder_buckets::FolderBuckets;
use super::support::recording::place;

fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn attributes() -> Attributes {
    Attributes {
        headers: BTreeMap::new(),
        content_type: Some("video/mp4".into()),
        metadata: map("room", "7"),
        storage_class: Some("WARM".into()),
    }
}

async fn keys(store: &FolderStore) -> Vec<String> {
    let page = store.list("", None).await.unwrap();
    page.objects.into_iter().map(|object| object.key).collect()
}

#[tokio::test]
async fn folder_without_files_is_an_empty_bucket() {
    let world = FolderBuckets::new();
    let store = &world.stores["recorded"];
    assert_eq!(store.head("a/b").await.unwrap(), None);
    assert_eq!(keys(store).await, [""; 0]);
    assert_eq!(store.delete(&["a/b".into()]).await.unwrap(), []);
    let put = store
        .put("a/录 1.mp4", "content".into(), &attributes())
        .await
        .unwrap();
    assert_eq!(store.head("a/录 1.mp4").await.unwrap(), Some(put.clone()));
    assert_eq!((put.size, put.attributes), (7, attributes()));
    assert_eq!(store.get("a/录 1.mp4", 7).await.unwrap(), "content");
    assert_eq!(world.objects()[&place("recorded", "a/录 1.mp4")], "content");
}

#[tokio::test]
async fn deleted_object_leaves_neither_tags_nor_empty_folders() {
    let world = FolderBuckets::new();
    let store = &world.stores["recorded"];
    for key in ["a/b/c", "a/d"] {
        store.put(key, "x".into(), &attributes()).await.unwrap();
    }
    assert_eq!(
        store.delete(&["a/b/c".into(), "a".into()]).await.unwrap(),
        []
    );
    assert!(!world.path("recorded").join("a/b").exists());
    assert_eq!(keys(store).await, ["a/d"]);
    world.write(&place("recorded", "a/b/c"), "x");
    assert_eq!(
        store.tags("a/b/c").await.unwrap(),
        TagSupport::Tags(BTreeMap::new())
    );
}

#[tokio::test]
async fn file_that_another_program_writes_anew_has_nothing_of_the_one_before() {
    let world = FolderBuckets::new();
    let store = &world.stores["recorded"];
    for size in [1, 2 << 20] {
        let written = place("recorded", "a/b");
        store
            .put("a/b", "x".repeat(size).into(), &attributes())
            .await
            .unwrap();
        store.set_tags("a/b", &map("room", "7")).await.unwrap();
        world.write(&written, &"y".repeat(size + 1));
        let none = TagSupport::Tags(BTreeMap::new());
        assert_eq!(store.tags("a/b").await.unwrap(), none);
        let found = store.head("a/b").await.unwrap().unwrap();
        assert_eq!(found.attributes, Attributes::default());
        store.set_tags("a/b", &map("class", "8")).await.unwrap();
        let tags = TagSupport::Tags(map("class", "8"));
        assert_eq!(store.tags("a/b").await.unwrap(), tags);
    }
}

#[tokio::test]
async fn key_is_a_path_below_the_folder_or_refused() {
    let world = FolderBuckets::new();
    let store = &world.stores["recorded"];
    for key in [
        "../archive/x",
        "/etc/passwd",
        "a//b",
        "a/",
        "a/./b",
        ".aftertake/x.json",
    ] {
        let put = store.put(key, "x".into(), &attributes()).await;
        assert_eq!(put.unwrap_err().kind, FailureKind::Invalid, "{key}");
        assert_eq!(
            store.head(key).await.unwrap_err().kind,
            FailureKind::Invalid
        );
    }
    store.put("a", "x".into(), &attributes()).await.unwrap();
    let below = store.put("a/b", "x".into(), &attributes()).await;
    assert_eq!(below.unwrap_err().kind, FailureKind::Conflict);
    assert_eq!(store.head("a/b").await.unwrap(), None);
    assert_eq!(keys(store).await, ["a"]);
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_link_is_not_followed() {
    let world = FolderBuckets::new();
    let (store, root) = (&world.stores["recorded"], world.path("recorded"));
    world.write(&place("archive", "secret/x"), "secret");
    std::os::unix::fs::symlink(world.path("archive").join("secret"), root.join("out")).unwrap();
    std::os::unix::fs::symlink(world.path("archive").join("secret/x"), root.join("file")).unwrap();
    for key in ["out/x", "file"] {
        assert_eq!(
            store.get(key, 10).await.unwrap_err().kind,
            FailureKind::Forbidden
        );
        let deleted = store.delete(&[key.into()]).await.unwrap();
        assert_eq!(deleted[0].1.kind, FailureKind::Forbidden);
    }
    assert_eq!(keys(store).await, [""; 0]);
    assert_eq!(world.objects()[&place("archive", "secret/x")], "secret");
}

/// Files made there could not be renamed into the bucket, or would belong to another bucket.
#[tokio::test]
async fn own_directory_of_a_bucket_behind_a_link_is_refused_with_a_sentence() {
    for linked in [".aftertake", ".aftertake/parts"] {
        let world = FolderBuckets::new();
        let (store, root) = (&world.stores["recorded"], world.path("recorded"));
        world.write(&place("recorded", "a"), "content");
        std::fs::create_dir_all(root.join(linked).parent().unwrap()).unwrap();
        std::fs::create_dir(world.path("elsewhere")).unwrap();
        std::os::unix::fs::symlink(world.path("elsewhere"), root.join(linked)).unwrap();
        let refused = store.put("b", "x".into(), &attributes()).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Forbidden);
        let sentence = format!(
            "{} is a symbolic link, which a folder bucket does not follow; make it a directory or a mount",
            root.join(linked).display()
        );
        assert_eq!(refused.reason, sentence);
        assert_eq!(keys(store).await, ["a"]);
        let elsewhere = std::fs::read_dir(world.path("elsewhere")).unwrap();
        assert_eq!(elsewhere.count(), 0);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn file_that_two_buckets_lead_to_is_neither_copied_onto_itself_nor_deleted() {
    for directory in ["", "r"] {
        let world = FolderBuckets::new();
        let recorded = place("recorded", "r/a");
        world.write(&recorded, "content");
        let there = world.path("recorded").join(directory);
        std::fs::remove_dir(world.path("archive")).unwrap();
        std::os::unix::fs::symlink(there, world.path("archive")).unwrap();
        let key = recorded
            .key
            .strip_prefix("r/")
            .filter(|_| !directory.is_empty());
        let archived = place("archive", key.unwrap_or(&recorded.key));
        let source = world.stores["recorded"].head("r/a").await.unwrap().unwrap();
        let copy = Copy {
            source: "recorded",
            from: &source.key,
            to: &archived.key,
            etag: &source.etag,
            size: source.size,
            mark: None,
        };
        let copied = world.stores["archive"].copy(copy).await.unwrap_err();
        assert_eq!(copied.kind, FailureKind::Forbidden, "{directory:?}");
        for place in [&recorded, &archived] {
            let store = &world.stores[&place.bucket];
            let failed = store
                .delete(std::slice::from_ref(&place.key))
                .await
                .unwrap();
            assert_eq!(failed[0].1.kind, FailureKind::Forbidden, "{place}");
        }
        assert_eq!(world.objects()[&recorded], "content");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn object_is_deleted_only_if_its_copy_is_another_file() {
    let world = FolderBuckets::new();
    let store = &world.stores["recorded"];
    let pair = |stays: Place| Pair {
        goes: "a".into(),
        stays,
    };
    world.write(&place("recorded", "a"), "content");
    world.write(&place("archive", "copy"), "content");
    let linked = place("archive", "linked");
    std::fs::hard_link(world.path("recorded").join("a"), world.path_of(&linked)).unwrap();
    for same in [linked, place("recorded", "a")] {
        let failed = store.delete_keeping(&[pair(same)]).await.unwrap();
        assert_eq!(failed[0].0, "a");
        assert_eq!(failed[0].1.kind, FailureKind::Forbidden);
    }
    assert_eq!(world.objects()[&place("recorded", "a")], "content");
    let copy = pair(place("archive", "copy"));
    assert_eq!(store.delete_keeping(&[copy]).await.unwrap(), []);
    assert!(!world.objects().contains_key(&place("recorded", "a")));
}

#[tokio::test]
async fn leftovers_of_a_crash_next_to_a_target_are_removed() {
    let world = FolderBuckets::new();
    let store = &world.stores["archive"];
    store.put("x", "x".into(), &attributes()).await.unwrap();
    // Crashes: between sidecar and object, and during the write of a temporary file.
    world.remove(&place("archive", "x"));
    let own = world.path("archive").join(".aftertake");
    let mut kept = std::fs::read_dir(&own).unwrap().map(|e| e.unwrap().path());
    let sidecar = kept.find(|path| path.is_file()).unwrap();
    let stem = sidecar.file_stem().unwrap().to_str().unwrap();
    let part = own.join("parts").join(format!("{stem}Xy12"));
    std::fs::write(&part, "half").unwrap();
    let other = own.join("parts/other");
    std::fs::write(&other, "of another key").unwrap();
    store.abandon("x", None).await.unwrap();
    assert!(!part.exists() && !sidecar.exists() && other.exists());

    // A target on another disk has its temporary file there.
    let beside = world.path("archive").join("r/.aftertake/parts");
    store.put("r/x", "x".into(), &attributes()).await.unwrap();
    let mut kept = std::fs::read_dir(&own).unwrap().map(|e| e.unwrap().path());
    let sidecar = kept.find(|path| path.is_file()).unwrap();
    let stem = sidecar.file_stem().unwrap().to_str().unwrap();
    std::fs::create_dir_all(&beside).unwrap();
    std::fs::write(beside.join(format!("{stem}.object.1-1")), "half").unwrap();
    store.abandon("r/x", None).await.unwrap();
    assert!(!beside.parent().unwrap().exists());
    assert_eq!(keys(store).await, ["r/x"]);
}

#[tokio::test]
async fn leftovers_of_a_crashed_write_are_removed_by_the_same_write() {
    let world = FolderBuckets::new();
    let store = &world.stores["archive"];
    store.put("x", "x".into(), &attributes()).await.unwrap();
    let own = world.path("archive").join(".aftertake");
    let mut kept = std::fs::read_dir(&own).unwrap().map(|e| e.unwrap().path());
    let sidecar = kept.find(|path| path.is_file()).unwrap();
    let stem = sidecar.file_stem().unwrap().to_str().unwrap();
    let part = |name: &str| own.join("parts").join(format!("{stem}{name}"));
    let (of_tags, of_object) = (part(".json.Xy12"), part(".object.Xy12"));
    std::fs::write(&of_tags, "half").unwrap();
    std::fs::write(&of_object, "half").unwrap();
    store.set_tags("x", &map("a", "b")).await.unwrap();
    assert!(!of_tags.exists() && of_object.exists());
    store.put("x", "x".into(), &attributes()).await.unwrap();
    assert!(!of_object.exists());
}

#[tokio::test]
async fn link_is_the_files_percent_encoded() {
    let world = FolderBuckets::new();
    let url = world.stores["recorded"].url("a b/录%?#.mp4");
    assert!(url.starts_with("file:///"));
    assert!(
        url.ends_with("/recorded/a%20b/%E5%BD%95%25%3F%23.mp4"),
        "{url}"
    );
}

/// No object of the bucket can be written, so the failure is the bucket's, not the task's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn directory_without_write_permission_pauses_its_bucket() {
    // Not even root can write here: the file system is read-only.
    let paths = BTreeMap::from([("closed".to_owned(), "/sys".into())]);
    let closed = &folder::open(paths, None)["closed"];
    for key in ["x.mp4", "r/x.mp4"] {
        let failure = closed
            .put(key, "x".into(), &attributes())
            .await
            .unwrap_err();
        let disposition = failure.kind.disposition();
        assert_eq!(disposition, Disposition::PauseLane, "{failure}");
    }
}
