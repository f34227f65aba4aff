//! A folder bucket whose directory is missing, or has another one in its place: whatever is asked, the
//! answer is that the bucket is away, never that an object is gone, and nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::Receiver;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::object::folder::FolderStore;
use aftertake::object::{Attributes, Copy, ObjectStore, Pair};
use serde_json::Value;

use crate::support::folder_buckets::{FolderBuckets, Instead, open_known};
use crate::support::recording::place;
use crate::support::service_process::{ServiceProcess, serving};
use crate::support::sink::Sink;
use crate::support::test_service::callback;
use crate::support::{TOO_LONG, in_time};

/// Every operation on an object of the bucket `recorded`, and those that need it in another bucket.
async fn outcomes(world: &FolderBuckets) -> Vec<(&'static str, Result<(), Failure>)> {
    let (store, other) = (&world.stores["recorded"], &world.stores["archive"]);
    let plain = Attributes::default();
    let none = BTreeMap::new();
    let copy = |source, to| Copy {
        source,
        from: "a",
        to,
        etag: "e",
        size: 1,
        mark: None,
    };
    let pair = |goes: &str, bucket| Pair {
        goes: goes.into(),
        stays: place(bucket, "a"),
    };
    vec![
        ("head", store.head("a").await.map(drop)),
        ("get", store.get("a", 10).await.map(drop)),
        ("put", store.put("b", "x".into(), &plain).await.map(drop)),
        ("list", store.list("", None).await.map(drop)),
        ("list_folder", store.list_folder("", None).await.map(drop)),
        ("copy to", store.copy(copy("archive", "c")).await.map(drop)),
        (
            "copy from",
            other.copy(copy("recorded", "c")).await.map(drop),
        ),
        ("abandon", store.abandon("a", None).await.map(drop)),
        ("delete", delete(store, &[pair("a", "archive")]).await),
        ("keep", delete(other, &[pair("a", "recorded")]).await),
        ("tags", store.tags("a").await.map(drop)),
        ("set_tags", store.set_tags("a", &none).await),
        ("set_metadata", store.set_metadata("a", &none).await),
    ]
}

async fn delete(store: &FolderStore, pairs: &[Pair]) -> Result<(), Failure> {
    let mut failures = store.delete_keeping(pairs).await?;
    failures.pop().map_or(Ok(()), |(_, failure)| Err(failure))
}

async fn assert_away(world: &FolderBuckets) {
    let before = world.files("recorded");
    for (operation, outcome) in outcomes(world).await {
        let failure = outcome.expect_err(operation);
        assert_eq!(failure.kind, FailureKind::Away, "{operation}: {failure}");
        assert_eq!(failure.bucket.as_deref(), Some("recorded"), "{operation}");
        let path = world.path("recorded").display().to_string();
        assert!(failure.reason.contains(&path), "{operation}: {failure}");
    }
    assert_eq!(world.files("recorded"), before);
    assert_eq!(world.files("archive"), ["a"]);
}

async fn world() -> FolderBuckets {
    let world = FolderBuckets::new().known();
    for bucket in ["recorded", "archive"] {
        world.write(&place(bucket, "a"), "content");
        assert!(world.stores[bucket].head("a").await.unwrap().is_some());
    }
    world
}

#[tokio::test]
async fn directory_that_is_away_says_nothing_about_its_objects() {
    for instead in Instead::ALL {
        let mut world = world().await;
        world.take_away("recorded", instead);
        assert_away(&world).await;
        // As after a restart.
        world.reopen();
        assert_away(&world).await;
        world.bring_back("recorded");
        let store = &world.stores["recorded"];
        assert!(store.head("a").await.unwrap().is_some(), "{instead:?}");
        assert_eq!(store.head("other").await.unwrap(), None);
    }
}

#[tokio::test]
async fn directory_of_another_bucket_is_not_taken_for_it() {
    let world = world().await;
    let [path, other, aside] = ["recorded", "archive", "aside"].map(|name| world.path(name));
    fs::rename(&path, &aside).unwrap();
    fs::rename(&other, &path).unwrap();
    fs::rename(&aside, &other).unwrap();
    for bucket in ["recorded", "archive"] {
        let failure = world.stores[bucket].head("a").await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Away, "{failure}");
    }
}

/// What the reason says makes another directory the bucket's, also of a service that uses it already.
#[tokio::test]
async fn person_decides_that_another_directory_is_the_bucket_from_now_on() {
    for used_by_another in [false, true] {
        let world = world().await;
        world.take_away("recorded", Instead::Empty);
        let (store, other) = (&world.stores["recorded"], world.elsewhere());
        if used_by_another {
            let plain = Attributes::default();
            other["recorded"]
                .put("b", "x".into(), &plain)
                .await
                .unwrap();
        }
        let failure = store.head("a").await.unwrap_err();
        let (_, way_out) = failure.reason.split_once("add the line ").unwrap();
        let (id, file) = way_out.split_once(" to ").unwrap();
        fs::create_dir_all(Path::new(file).parent().unwrap()).unwrap();
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(file).unwrap();
        writeln!(file, "{id}").unwrap();
        for store in [store, &other["recorded"]] {
            assert_eq!(store.head("a").await.unwrap(), None);
            assert_eq!(store.head("b").await.unwrap().is_some(), used_by_another);
        }
    }
}

#[tokio::test]
async fn services_may_share_a_directory() {
    let world = world().await;
    let other = world.elsewhere();
    for store in [&other["recorded"], &world.stores["recorded"]] {
        assert!(store.head("a").await.unwrap().is_some());
    }
    world.take_away("recorded", Instead::Empty);
    for store in [&other["recorded"], &world.stores["recorded"]] {
        let failure = store.head("a").await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Away, "{failure}");
    }
}

/// As with a disk that is mounted after the first callback.
#[tokio::test]
async fn empty_directory_is_not_the_bucket_before_anything_is_written_to_it() {
    let world = FolderBuckets::new().known();
    let (store, path) = (&world.stores["recorded"], world.path("recorded"));
    assert_eq!(store.head("a").await.unwrap(), None);
    assert!(store.list("", None).await.unwrap().objects.is_empty());
    fs::remove_dir(&path).unwrap();
    fs::create_dir(&path).unwrap();
    world.write(&place("recorded", "a"), "content");
    let listed = store.list("", None).await.unwrap().objects;
    let keys: Vec<_> = listed.iter().map(|object| &*object.key).collect();
    assert_eq!(keys, ["a"]);
    world.take_away("recorded", Instead::Empty);
    let failure = store.head("a").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Away, "{failure}");
}

#[tokio::test]
async fn directory_that_cannot_be_written_is_read_without_an_id() {
    // Not even root can write here: the file system is read-only.
    let closed = &open_known(BTreeMap::from([("closed".to_owned(), "/sys".into())]))["closed"];
    closed.list_folder("", None).await.unwrap();
    let plain = Attributes::default();
    let written = closed.put("x.mp4", "x".into(), &plain);
    let failure = written.await.unwrap_err();
    assert!(matches!(
        failure.kind,
        FailureKind::Credentials | FailureKind::Unwritable
    ));
}

#[tokio::test]
async fn id_of_a_directory_that_is_emptied_or_removed_comes_back_only_by_a_person() {
    let remove: fn(&Path) = |file| fs::remove_file(file).unwrap();
    let empty: fn(&Path) = |file| fs::write(file, "\n").unwrap();
    for lose in [remove, empty] {
        let mut world = world().await;
        let file = world.path("recorded").join(".aftertake/bucket-id");
        let id = fs::read_to_string(&file).unwrap();
        lose(&file);
        assert_away(&world).await;
        world.reopen();
        assert_away(&world).await;
        // A service that does not know the bucket makes a new id.
        let found = world.elsewhere()["recorded"].head("a").await.unwrap();
        assert!(found.is_some());
        assert!(!fs::read_to_string(&file).unwrap().trim().is_empty());
        assert_away(&world).await;
        fs::write(&file, id).unwrap();
        assert!(world.stores["recorded"].head("a").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn directory_that_was_never_there_is_not_made() {
    let mut world = FolderBuckets::new().known();
    fs::remove_dir(world.path("recorded")).unwrap();
    world.write(&place("archive", "a"), "content");
    assert_away(&world).await;
    fs::create_dir(world.path("recorded")).unwrap();
    let store = &world.stores["recorded"];
    assert_eq!(store.head("a").await.unwrap(), None);
    world.use_once("recorded").await;
    world.take_away("recorded", Instead::Empty);
    world.reopen();
    let failure = world.stores["recorded"].head("a").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Away, "{failure}");
}

/// The service in a folder with the bucket `recorded`, whose recordings it moves and announces.
struct Stage {
    folder: tempfile::TempDir,
    sink: Sink,
}

impl Stage {
    async fn new() -> Self {
        let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::start([]).await);
        let rules = format!(
            "buckets: {{ recorded: {{ store: folder, path: recorded, source_grace: 1ms }} }}\n\
             destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\n\
             retry: {{ first: 1ms, longest: 1ms, tries: 2 }}\n\
             rules: [{{ name: keep, steps: [{{ rename: {{ to: kept/ }} }}, {{ notify: lms }}] }}]\n",
            sink.url("/hook")
        );
        fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        let stage = Self { folder, sink };
        for key in ["x.mp4", "y.mp4"] {
            let path = stage.recorded().join("r").join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, key).unwrap();
        }
        stage
    }

    fn recorded(&self) -> std::path::PathBuf {
        self.folder.path().join("recorded")
    }

    fn serve(&self) -> (ServiceProcess, Receiver<String>) {
        ServiceProcess::start_heard(&mut serving(self.folder.path()))
    }

    async fn announce(&self, served: &ServiceProcess, key: &str) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(served.callbacks()).body(callback(key));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// The first task that is ready.
    async fn waiting(&self) -> Value {
        let ask = async {
            loop {
                let tasks = self.aftertake(&["tasks", "list", "--state", "ready", "--json"]);
                let tasks: Value = serde_json::from_str(&tasks).unwrap();
                if !tasks[0].is_null() {
                    return tasks[0].clone();
                }
                tokio::task::yield_now().await;
            }
        };
        in_time(ask).await
    }

    fn aftertake(&self, args: &[&str]) -> String {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }
}

/// As with a service that starts before its disk is mounted.
#[tokio::test]
async fn service_that_starts_while_a_directory_is_away_waits_for_it() {
    for instead in Instead::ALL {
        let stage = Stage::new().await;
        let (mut served, _log) = stage.serve();
        stage.announce(&served, "r/x.mp4").await;
        stage.sink.received(1).await;
        served.stop();

        let aside = stage.folder.path().join("aside");
        fs::rename(stage.recorded(), &aside).unwrap();
        if instead == Instead::Empty {
            fs::create_dir(stage.recorded()).unwrap();
        }
        let (served, log) = stage.serve();
        stage.announce(&served, "r/y.mp4").await;
        while !log
            .recv_timeout(TOO_LONG)
            .unwrap()
            .contains("breaker opened")
        {}
        assert_eq!(stage.waiting().await["tries"], 0);
        match instead {
            Instead::Nothing => assert!(!stage.recorded().exists()),
            // Fails if anything was written to it.
            Instead::Empty => fs::remove_dir(stage.recorded()).unwrap(),
        }

        fs::rename(&aside, stage.recorded()).unwrap();
        stage.aftertake(&["destinations", "resume", "bucket/recorded"]);
        stage.aftertake(&["tasks", "retry", "--state", "ready", "--yes"]);
        stage.sink.received(2).await;
        drop(served);
        let moved = fs::read_to_string(stage.recorded().join("kept/y.mp4"));
        assert_eq!(moved.unwrap(), "y.mp4");
    }
}
