//! A symlink that replaces a directory while a folder bucket works must not be followed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use aftertake::action::{ActionSubject, run};
use aftertake::clock;
use aftertake::model::recording::Place;
use aftertake::model::step::{OnConflict, Rename, Rendered};
use aftertake::object::{Attributes, Copy, ObjectStore};

use crate::support::folder_buckets::FolderBuckets;
use crate::support::journal::Journal;
use crate::support::recording::{Recording, place};

/// Rounds of every operation; a followed path would show within a few.
const ROUNDS: usize = 150;

/// Keeps replacing a directory by a link and back until it is dropped.
struct Swaps {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Swaps {
    fn of(directory: &Path, to: &Path) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (directory, to, until) = (directory.to_owned(), to.to_owned(), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let aside = directory.with_extension("aside");
            let mut swaps = 0;
            while !until.load(Ordering::Relaxed) {
                swaps += u64::from(swap(&directory, &aside, &to));
            }
            swaps
        });
        Self {
            over,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Swaps {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Whether the link was in place for a while. The bucket may create the directory meanwhile.
fn swap(directory: &Path, aside: &Path, to: &Path) -> bool {
    fs::rename(directory, aside).unwrap();
    let stood = symlink(to, directory).is_ok();
    if stood {
        fs::remove_file(directory).unwrap();
    }
    while fs::rename(aside, directory).is_err() {
        let _ = fs::remove_dir_all(directory);
    }
    stood
}

/// A directory outside the buckets that must not be touched.
struct Outside(PathBuf);

impl Outside {
    fn new(world: &FolderBuckets) -> Self {
        let path = world.path("outside");
        fs::create_dir(&path).unwrap();
        for name in ["x", "new", "only-outside", "a.mp4"] {
            fs::write(path.join(name), "outside").unwrap();
        }
        Self(path)
    }

    fn files(&self) -> BTreeMap<PathBuf, String> {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let content = fs::read_to_string(&path).unwrap_or_default();
            (path, content)
        });
        files.collect()
    }
}

/// Every operation of the bucket `recorded` on objects in `r/`. Any may fail; none may read
/// outside the bucket.
async fn operate(world: &FolderBuckets) {
    let (store, other) = (&world.stores["recorded"], &world.stores["archive"]);
    let plain = Attributes::default();
    let _ = store.put("r/new", "inside".into(), &plain).await;
    let _ = store
        .set_tags("r/x", &BTreeMap::from([("a".into(), "b".into())]))
        .await;
    for key in ["r/x", "r/only-outside"] {
        if let Ok(content) = store.get(key, 100).await {
            assert_eq!(content, "inside", "{key}");
        }
    }
    if let Ok(page) = store.list("r/", None).await {
        let mut keys = page.objects.into_iter().map(|object| object.key);
        assert!(!keys.any(|key| key.ends_with("only-outside")));
    }
    if let Ok(Some(seen)) = store.head("r/x").await {
        let copy = |source, from, to| Copy {
            source,
            from,
            to,
            etag: &seen.etag,
            size: seen.size,
            mark: None,
        };
        assert_eq!(seen.size, 6);
        let _ = other.copy(copy("recorded", "r/x", "copied")).await;
        let _ = store.copy(copy("archive", "copied", "r/back")).await;
    }
    if let Ok(content) = other.get("copied", 100).await {
        assert_eq!(content, "inside");
    }
    let _ = store.delete(&["r/new".into(), "r/back".into()]).await;
}

#[tokio::test]
async fn link_that_comes_between_leads_no_operation_out_of_the_bucket() {
    for swapped in ["r", ".aftertake"] {
        let world = FolderBuckets::new();
        let (outside, store) = (Outside::new(&world), &world.stores["recorded"]);
        let before = outside.files();
        for key in ["r/x", "r/stays"] {
            let plain = Attributes::default();
            store.put(key, "inside".into(), &plain).await.unwrap();
        }
        let tags = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        store.set_tags("r/stays", &tags).await.unwrap();
        let swaps = Swaps::of(&world.path("recorded").join(swapped), &outside.0);
        for _ in 0..ROUNDS {
            operate(&world).await;
        }
        assert!(swaps.end() > 0, "no link was ever at {swapped}");
        assert_eq!(outside.files(), before, "{swapped}");
    }
}

/// Moves the recording to the other bucket; may fail.
async fn rename(world: &FolderBuckets, from: &Place, to: &Place) {
    let step = Rendered::Rename(Rename {
        to: to.clone(),
        on_conflict: OnConflict::Overwrite,
        suffix: "0123abcd".into(),
    });
    let subject = ActionSubject {
        rule: "archive".into(),
        place: Some(from.clone()),
        extent: Recording::mp4().extent(),
        moved_by: None,
        replaced: None,
        received: clock::now(),
        now: clock::now(),
    };
    let mut journal = Journal::new(from.clone(), world.gate.clone());
    let _ = run(&world.reach(), &step, &subject, &mut journal).await;
    world.gate.quiet().await;
}

#[tokio::test]
async fn link_that_comes_between_leads_no_move_out_of_the_bucket() {
    let world = FolderBuckets::new();
    let outside = Outside::new(&world);
    let before = outside.files();
    for place in [place("recorded", "r/stays"), place("archive", "t/stays")] {
        world.write(&place, "inside");
    }
    let from = Swaps::of(&world.path("recorded").join("r"), &outside.0);
    let to = Swaps::of(&world.path("archive").join("t"), &outside.0);
    for number in 0..ROUNDS / 3 {
        fs::write(world.path("recorded").join("a.mp4"), "inside").unwrap();
        rename(
            &world,
            &place("recorded", "a.mp4"),
            &place("archive", "t/a.mp4"),
        )
        .await;
        let key = format!("moved/{number}.mp4");
        rename(
            &world,
            &place("recorded", "r/a.mp4"),
            &place("archive", &key),
        )
        .await;
    }
    assert!(from.end() + to.end() > 0);
    assert_eq!(outside.files(), before);
    let moved = world
        .objects()
        .into_iter()
        .filter(|(place, _)| place.key.starts_with("moved/"));
    for (place, content) in moved {
        assert_eq!(content, "inside", "{place}");
    }
}
