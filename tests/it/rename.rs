//! What a rename moves, what it refuses, and what it does not touch.

use std::time::Duration;

use aftertake::action::rename::{Undo, undo};
use aftertake::action::{ActionSubject, Done, Stopped, run};
use aftertake::clock;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::moves::{Move, MovePhase, Target};
use aftertake::model::recording::{Extent, MovedBy, Place};
use aftertake::model::step::{OnConflict, Rename, Rendered};
use aftertake::model::time::Timestamp;

use super::support::faults::{How, Which};
use super::support::folder_buckets::FolderBuckets;
use super::support::journal::Journal;
use super::support::recording::{Recording, place};

/// A world with one recording at `r/`, and the rename to run.
pub(crate) struct Scene {
    pub(crate) world: FolderBuckets,
    pub(crate) recording: Recording,
    pub(crate) extent: Extent,
    pub(crate) journal: Journal,
    pub(crate) to: Place,
    pub(crate) on_conflict: OnConflict,
    pub(crate) moved_by: Option<MovedBy>,
    pub(crate) received: Timestamp,
}

impl Scene {
    pub(crate) async fn new(recording: Recording, to: &str) -> Self {
        let name = if recording.parts.is_empty() {
            "r/a.mp4"
        } else {
            "r/a.m3u8"
        };
        let world = FolderBuckets::new();
        world.record(&recording, &place("recorded", name)).await;
        Self {
            journal: Journal::new(place("recorded", name), world.gate.clone()),
            world,
            extent: recording.extent(),
            recording,
            to: place("recorded", to),
            on_conflict: OnConflict::Fail,
            moved_by: None,
            received: Timestamp::from_millis(0),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.journal.state.lock().unwrap().place.clone().unwrap()
    }

    pub(crate) async fn run(&self) -> Result<Done, Stopped> {
        let step = Rendered::Rename(Rename {
            to: self.to.clone(),
            on_conflict: self.on_conflict,
            suffix: "0123abcd".into(),
        });
        let subject = ActionSubject {
            rule: "archive".into(),
            place: Some(self.place()),
            extent: self.extent,
            moved_by: self.moved_by.clone(),
            replaced: None,
            received: self.received,
            now: clock::now(),
        };
        let (reach, mut journal) = (self.world.reach(), self.journal.clone());
        let ran = tokio::select! {
            ran = run(&reach, &step, &subject, &mut journal) => ran,
            () = self.world.gate.died() => Err(Stopped::LeaseLost),
        };
        self.world.gate.quiet().await;
        ran
    }

    /// Runs until the process dies at the first operation of this name.
    pub(crate) async fn die_at(&self, name: &'static str, how: How) {
        self.world.gate.break_at(Which::First(name), how);
        assert_eq!(self.run().await, Err(Stopped::LeaseLost));
        self.world.gate.mend();
    }

    pub(crate) async fn failure(&self) -> Failure {
        match self.run().await {
            Err(Stopped::Failed { failure, .. }) => *failure,
            other => panic!("{other:?} is no failure"),
        }
    }

    pub(crate) async fn undo(&self) -> Undo {
        let (reach, mut journal) = (self.world.reach(), self.journal.clone());
        undo(&reach, &mut journal).await.unwrap()
    }
}

#[tokio::test]
async fn outputs_say_where_the_recording_is_and_how_much_moved() {
    let scene = Scene::new(Recording::mp4(), "classes/b c.mp4").await;
    let output = scene.run().await.unwrap().output;
    assert_eq!(output["bucket"], "recorded");
    assert_eq!(output["key"], "classes/b c.mp4");
    assert_eq!(output["objects"], 1);
    assert_eq!(output["bytes"], 13);
    let url = output["url"].as_str().unwrap();
    assert!(url.starts_with("file:///") && url.ends_with("/recorded/classes/b%20c.mp4"));
}

#[cfg(unix)]
#[tokio::test]
async fn recording_is_never_deleted_as_the_source_of_itself() {
    type Make = fn(&FolderBuckets);
    let same: Make = |world| {
        std::fs::remove_dir(world.path("archive")).unwrap();
        std::os::unix::fs::symlink(world.path("recorded"), world.path("archive")).unwrap();
    };
    let hard_link: Make = |world| {
        let (from, to) = (place("recorded", "r/a.mp4"), place("archive", "r/a.mp4"));
        std::fs::create_dir_all(world.path("archive").join("r")).unwrap();
        std::fs::hard_link(world.path_of(&from), world.path_of(&to)).unwrap();
    };
    for (case, make) in [("one directory", same), ("hard link", hard_link)] {
        let mut scene = Scene::new(Recording::mp4(), "").await;
        make(&scene.world);
        scene.to = place("archive", "r/a.mp4");
        scene.on_conflict = OnConflict::Overwrite;
        let failure = scene.failure().await;
        assert_eq!(failure.kind, FailureKind::Forbidden, "{case}: {failure}");
        let whole = scene
            .world
            .is_whole(&scene.recording, &place("recorded", "r/a.mp4"));
        assert!(whole, "{case}: {failure}");
    }
}

#[tokio::test]
async fn recording_that_is_at_its_target_is_not_touched() {
    let scene = Scene::new(Recording::hls(), "r/a.m3u8").await;
    let output = scene.run().await.unwrap().output;
    assert_eq!(
        (&output["objects"], &output["key"]),
        (&0.into(), &"r/a.m3u8".into())
    );
    // What is there may be another recording.
    assert_eq!(
        scene.world.gate.log(),
        ["outline", "put_by_others", "made_from"]
    );
}

/// A replayed event runs its steps again.
#[tokio::test]
async fn recording_that_has_the_other_name_already_stays_there() {
    for (recording, to, other_name) in [
        (Recording::mp4(), "s/b.mp4", "s/b-0123abcd.mp4"),
        (Recording::hls(), "s/b.m3u8", "s-0123abcd/b.m3u8"),
        (
            Recording::absolute_hls("r"),
            "r/b.m3u8",
            "r/b-0123abcd.m3u8",
        ),
    ] {
        let mut scene = Scene::new(recording, to).await;
        scene.on_conflict = OnConflict::KeepBoth;
        scene.world.write(&scene.to, "stranger");
        assert_eq!(scene.run().await.unwrap().output["key"], other_name);
        for is_taken in [true, false] {
            scene.journal = scene.journal.next_task(place("recorded", other_name));
            let before = scene.world.objects();
            let output = scene.run().await.unwrap().output;
            assert_eq!(
                (&output["objects"], &output["key"]),
                (&0.into(), &other_name.into()),
                "taken: {is_taken}"
            );
            assert_eq!(scene.world.objects(), before, "taken: {is_taken}");
            if is_taken {
                scene.world.remove(&scene.to);
            }
        }
    }
}

#[tokio::test]
async fn playlist_that_is_renamed_in_its_folder_leaves_its_segments() {
    let scene = Scene::new(Recording::absolute_hls("r"), "r/b.m3u8").await;
    assert_eq!(scene.run().await.unwrap().output["objects"], 1);
    let expected = Recording {
        named: (String::new(), scene.recording.named.0.clone()),
        ..scene.recording.clone()
    };
    scene.world.assert_only(&expected, &scene.to).await;
}

#[tokio::test]
async fn other_recordings_in_the_folder_stay() {
    let scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    let others = ["r/0.ts", "r/6.ts", "r/z.m3u8", "r/ts/4.ts"].map(|key| place("recorded", key));
    for other in &others {
        scene.world.write(other, "other");
    }
    scene.run().await.unwrap();
    assert!(
        others
            .iter()
            .all(|other| scene.world.objects().contains_key(other))
    );
    assert!(scene.world.is_whole(&scene.recording, &scene.to));
}

#[tokio::test]
async fn master_playlist_takes_its_renditions_along() {
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n/r/hd/v.m3u8\n";
    let moved = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhd/v.m3u8\n";
    let mut recording = Recording::with(master, moved, &["hd/1.ts"]);
    recording
        .parts
        .insert("hd/v.m3u8".into(), "#EXTM3U\n1.ts\n".into());
    let scene = Scene::new(recording, "s/b.m3u8").await;
    scene.run().await.unwrap();
    scene.world.assert_only(&scene.recording, &scene.to).await;
}

#[tokio::test]
async fn playlist_that_cannot_be_followed_is_refused_and_nothing_is_touched() {
    for (playlist, kind) in [
        ("<html>404</html>", FailureKind::Invalid),
        ("#EXTM3U\na.m3u8\n", FailureKind::Invalid),
        (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8\n",
            FailureKind::Invalid,
        ),
        ("#EXTM3U\n../../../1.ts\n", FailureKind::Invalid),
        (
            "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128 URI=\"k.key\"\n1.ts\n",
            FailureKind::Invalid,
        ),
        ("#EXTM3U\ngone.ts\n", FailureKind::Missing),
    ] {
        let mut recording = Recording::with(playlist, playlist, &["1.ts"]);
        let back = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
        recording.parts.insert("loop.m3u8".into(), back.into());
        let scene = Scene::new(recording, "s/b.m3u8").await;
        let before = scene.world.objects();
        assert_eq!(scene.failure().await.kind, kind, "{playlist}");
        assert_eq!(scene.world.objects(), before);
        assert!(scene.journal.moves().is_empty());
    }
}

#[tokio::test]
async fn playlist_above_the_limit_is_not_read() {
    let recording = Recording::with(
        &format!("#EXTM3U\n{}", "#\n".repeat(6 << 20)),
        "",
        &["1.ts"],
    );
    let scene = Scene::new(recording, "s/b.m3u8").await;
    assert_eq!(scene.failure().await.kind, FailureKind::Unsupported);
}

#[tokio::test]
async fn object_outside_only_under_is_refused_on_either_side() {
    for (bucket, prefix) in [("recorded", "r/ts/"), ("archive", "s/ts/")] {
        let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
        scene.to.bucket = "archive".into();
        scene.world.configure(bucket, |bucket| {
            bucket.only_under = vec![prefix.into(), "r/a.m3u8".into(), "s/b.m3u8".into()];
        });
        let before = scene.world.objects();
        assert_eq!(scene.failure().await.kind, FailureKind::Forbidden);
        assert_eq!(scene.world.objects(), before);
    }
}

#[tokio::test]
async fn missing_source_is_waited_for_until_its_grace_is_over() {
    for missing in ["r/a.m3u8", "r/ts/2.ts"] {
        let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
        scene.world.remove(&place("recorded", missing));
        scene.received = clock::now();
        assert_eq!(scene.failure().await.kind, FailureKind::NotThereYet);
        scene.received = clock::now().minus(Duration::from_secs(901));
        let failure = scene.failure().await;
        assert_eq!(failure.kind, FailureKind::Missing);
        assert!(failure.reason.contains(missing), "{failure}");
    }
}

#[tokio::test]
async fn recording_that_another_rule_of_the_planning_moved_is_not_moved_again() {
    let mut scene = Scene::new(Recording::mp4(), "s/b.mp4").await;
    let by = |rule: &str, same_planning| {
        Some(MovedBy {
            rule: rule.into(),
            same_planning,
            took_it_whole: false,
        })
    };
    scene.moved_by = by("other", true);
    let failure = scene.failure().await;
    assert_eq!(failure.kind, FailureKind::AlreadyMoved);
    assert_eq!(failure.reason, "rule \"other\" moved the recording already");
    for moved_by in [by("other", false), by("archive", true)] {
        let mut scene = Scene::new(Recording::mp4(), "s/b.mp4").await;
        scene.moved_by = moved_by;
        scene.run().await.unwrap();
    }
}

#[tokio::test]
async fn strangers_object_at_a_target_is_final_or_avoided_as_the_rule_says() {
    let stranger = place("recorded", "s/ts/2.ts");
    for (on_conflict, key) in [
        (OnConflict::Fail, None),
        (OnConflict::Overwrite, None),
        (OnConflict::KeepBoth, Some("s-0123abcd/b.m3u8")),
    ] {
        let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
        scene.on_conflict = on_conflict;
        scene.world.write(&stranger, "stranger");
        match key {
            None => assert_eq!(scene.failure().await.kind, FailureKind::Conflict),
            Some(key) => assert_eq!(scene.run().await.unwrap().output["key"], key),
        }
        assert_eq!(scene.world.objects()[&stranger], "stranger");
        assert!(scene.world.is_whole(&scene.recording, &scene.place()));
        assert_eq!(
            scene.place() == place("recorded", "r/a.m3u8"),
            key.is_none()
        );
    }
}

/// Once the playlist has replaced another one, the move cannot be given up.
#[tokio::test]
async fn playlist_replaces_another_one_only_once_all_copies_were_seen() {
    let mut scene = Scene::new(Recording::absolute_hls("r"), "s/b.m3u8").await;
    scene.on_conflict = OnConflict::Overwrite;
    let (part, old) = (
        place("recorded", "s/ts/2.ts"),
        "#EXTM3U\n#EXTINF:2,\nts/2.ts\n",
    );
    scene.world.write(&scene.to, old);
    scene.world.write(&part, "old");
    scene.die_at("put", How::DiesBefore).await;
    // The copy was answered as made, but does not exist.
    scene.world.write(&part, "old");
    assert_eq!(scene.failure().await.kind, FailureKind::Unknown);
    assert_eq!(scene.world.objects()[&scene.to], old);
    assert_eq!(scene.failure().await.kind, FailureKind::Conflict);
    assert!(matches!(scene.undo().await, Undo::Undone { .. }));
    let objects = scene.world.objects();
    assert_eq!((&*objects[&scene.to], &*objects[&part]), (old, "old"));
}

#[tokio::test]
async fn object_at_the_target_of_a_single_one_is_replaced_if_the_rule_says_so() {
    let mut scene = Scene::new(Recording::mp4(), "s/b.mp4").await;
    scene.on_conflict = OnConflict::Overwrite;
    scene.world.write(&scene.to, "stranger");
    assert_eq!(scene.run().await.unwrap().output["key"], "s/b.mp4");
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}

#[tokio::test]
async fn target_that_has_the_name_of_a_folder_is_taken_and_one_below_an_object_cannot_be() {
    for (on_conflict, to, key) in [
        (OnConflict::Fail, "s/b.mp4", None),
        (OnConflict::KeepBoth, "s/b.mp4", Some("s/b-0123abcd.mp4")),
        (OnConflict::Fail, "s/b.mp4/in/c.mp4/x.mp4", None),
        (OnConflict::KeepBoth, "s/b.mp4/in/c.mp4/x.mp4", None),
    ] {
        let mut scene = Scene::new(Recording::mp4(), to).await;
        scene.on_conflict = on_conflict;
        let other = place("recorded", "s/b.mp4/in/c.mp4");
        scene.world.write(&other, "stranger");
        match key {
            None => assert_eq!(scene.failure().await.kind, FailureKind::Conflict, "{to}"),
            Some(key) => assert_eq!(scene.run().await.unwrap().output["key"], key),
        }
        assert_eq!(scene.world.objects()[&other], "stranger");
        assert!(scene.world.is_whole(&scene.recording, &scene.place()));
    }
}

#[tokio::test]
async fn failure_other_than_a_conflict_is_retried() {
    let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    scene.on_conflict = OnConflict::KeepBoth;
    let gate = &scene.world.gate;
    gate.break_at(Which::First("copy"), How::Fails);
    assert_ne!(scene.failure().await.kind, FailureKind::Conflict);
    let undone = |one: &Move| one.phase == MovePhase::Undone;
    assert!(!scene.journal.moves().iter().any(undone));
}

#[tokio::test]
async fn stranger_that_appears_at_a_target_is_neither_replaced_nor_deleted() {
    let stranger = place("recorded", "s/ts/2.ts");
    for on_conflict in [OnConflict::Fail, OnConflict::KeepBoth] {
        let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
        scene.on_conflict = on_conflict;
        scene.die_at("manifest", How::DiesAfter).await;
        scene.world.write(&stranger, "stranger");
        if on_conflict == OnConflict::Fail {
            assert_eq!(scene.failure().await.kind, FailureKind::Conflict);
            assert_eq!(scene.undo().await, Undo::Undone { left: None });
        } else {
            assert_eq!(
                scene.run().await.unwrap().output["key"],
                "s-0123abcd/b.m3u8"
            );
        }
        let mut objects = scene.world.objects();
        assert_eq!(objects.remove(&stranger).as_deref(), Some("stranger"));
        assert_eq!(objects, scene.recording.at(&scene.place()));
    }
}

#[tokio::test]
async fn source_that_changes_amid_the_copies_is_moved_as_it_is_then() {
    let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    scene.die_at("commit", How::DiesBefore).await;
    // Everything is copied; the recorder appends before the old objects are deleted.
    let appended = format!("{}6.ts\n", scene.recording.named.0);
    scene.world.write(&place("recorded", "r/6.ts"), "six");
    scene.world.write(&place("recorded", "r/a.m3u8"), &appended);
    scene.run().await.unwrap();
    assert_eq!(
        scene.world.objects()[&place("recorded", "r/a.m3u8")],
        appended
    );

    // The next task finds the segments where the first one moved them.
    scene.journal = scene.journal.next_task(place("recorded", "r/a.m3u8"));
    assert_eq!(scene.run().await.unwrap().output["objects"], 9);
    let present = scene
        .journal
        .moves()
        .iter()
        .filter(|one| one.target == Target::Present)
        .count();
    assert_eq!(present, 7);
    scene.recording.parts.insert("6.ts".into(), "six".into());
    scene.recording.named.1 = appended;
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}

#[tokio::test]
async fn source_that_changes_before_its_copy_withdraws_the_manifest() {
    let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    scene.die_at("manifest", How::DiesAfter).await;
    scene
        .world
        .write(&place("recorded", "r/ts/2.ts"), "longer than it was");
    assert_eq!(scene.failure().await.kind, FailureKind::SourceChanged);
    assert!(
        scene
            .journal
            .moves()
            .iter()
            .all(|one| one.phase == MovePhase::Undone)
    );
    assert!(
        scene
            .world
            .objects()
            .keys()
            .all(|place| place.key.starts_with("r/"))
    );
    scene.run().await.unwrap();
    scene
        .recording
        .parts
        .insert("ts/2.ts".into(), "longer than it was".into());
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}

#[tokio::test]
async fn later_event_with_another_target_fetches_the_segments_and_leaves_no_broken_playlist() {
    let mut scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    scene.run().await.unwrap();
    let appended = format!("{}6.ts\n", scene.recording.named.0);
    scene.world.write(&place("recorded", "r/6.ts"), "six");
    scene.world.write(&place("recorded", "r/a.m3u8"), &appended);
    scene.journal = scene.journal.next_task(place("recorded", "r/a.m3u8"));
    scene.to = place("archive", "t/c.m3u8");
    assert_eq!(scene.run().await.unwrap().output["objects"], 9);
    scene.recording.parts.insert("6.ts".into(), "six".into());
    scene.recording.named.1 = appended;
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}

#[tokio::test]
async fn copy_that_vanishes_before_the_commit_is_made_again() {
    let scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    scene.die_at("commit", How::DiesBefore).await;
    scene.world.remove(&place("recorded", "s/ts/2.ts"));
    assert_eq!(scene.failure().await.kind, FailureKind::Unknown);
    assert!(
        scene
            .world
            .is_whole(&scene.recording, &place("recorded", "r/a.m3u8"))
    );
    scene.run().await.unwrap();
    scene.world.assert_only(&scene.recording, &scene.to).await;
}

#[tokio::test]
async fn source_that_is_gone_with_a_matching_target_is_done() {
    let scene = Scene::new(Recording::mp4(), "s/b.mp4").await;
    scene.die_at("manifest", How::DiesAfter).await;
    let (from, to) = (
        scene.world.path("recorded").join("r/a.mp4"),
        scene.world.path_of(&scene.to),
    );
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(from, to).unwrap();
    scene.run().await.unwrap();
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}

#[tokio::test]
async fn undo_keeps_a_copy_whose_source_is_gone() {
    let scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    scene.die_at("commit", How::DiesBefore).await;
    scene.world.remove(&place("recorded", "r/ts/2.ts"));
    let kept = place("recorded", "s/ts/2.ts");
    // A repeated request gets the same result.
    for _ in 0..2 {
        let left = Some(format!("copies are left: {kept}"));
        assert_eq!(scene.undo().await, Undo::Undone { left });
    }
    assert!(scene.world.objects().contains_key(&kept));
    assert!(!scene.world.objects().contains_key(&scene.to));
}

#[tokio::test]
async fn named_object_that_was_replaced_goes_forward() {
    let mut scene = Scene::new(Recording::mp4(), "s/b.mp4").await;
    scene.on_conflict = OnConflict::Overwrite;
    scene.world.write(&scene.to, "stranger");
    scene.die_at("copy", How::DiesAfter).await;
    for _ in 0..2 {
        assert!(matches!(scene.undo().await, Undo::GoesForward { .. }));
        assert_eq!(scene.journal.moves()[0].phase, MovePhase::Copied);
    }
    scene.run().await.unwrap();
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
}

#[tokio::test]
async fn interrupted_rename_stores_what_it_did_and_goes_on_from_there() {
    let scene = Scene::new(Recording::hls(), "s/b.m3u8").await;
    for checkpoints in 0..12 {
        scene.journal.state.lock().unwrap().interrupt_after = Some(checkpoints);
        let before = scene.world.gate.log().len();
        match scene.run().await {
            Err(Stopped::Interrupted) => assert!(scene.world.gate.log().len() > before),
            ran => {
                ran.unwrap();
                break;
            }
        }
    }
    scene.world.assert_only(&scene.recording, &scene.to).await;
    let copies = scene
        .world
        .gate
        .log()
        .iter()
        .filter(|name| **name == "copy")
        .count();
    assert_eq!(
        copies,
        scene.recording.objects(),
        "no object is copied twice"
    );
}

/// A playlist with absolute references to this many segments: more than one page of moves.
pub(crate) fn long(segments: usize) -> Recording {
    let names: Vec<String> = (0..segments).map(|number| format!("{number}.ts")).collect();
    let playlist = |folder: &str| {
        let line = |name: &String| format!("{folder}{name}\n");
        format!("#EXTM3U\n{}", names.iter().map(line).collect::<String>())
    };
    let parts: Vec<&str> = names.iter().map(String::as_str).collect();
    Recording::with(&playlist("/r/"), &playlist(""), &parts)
}

#[tokio::test]
async fn long_recording_is_moved_or_given_up_page_by_page() {
    let scene = Scene::new(long(1_002), "s/b.m3u8").await;
    let before = scene.world.objects();
    scene.die_at("commit", How::DiesBefore).await;
    assert_eq!(scene.undo().await, Undo::Undone { left: None });
    assert_eq!(scene.world.objects(), before);
    assert_eq!(scene.run().await.unwrap().output["objects"], 1_003);
    assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
    let log = scene.world.gate.log();
    let pages = log
        .iter()
        .filter(|name| ["draft", "manifest"].contains(*name));
    assert_eq!(pages.collect::<Vec<_>>(), [&"draft", &"manifest"]);
}

#[tokio::test]
async fn process_that_dies_between_two_pages_of_the_manifest_has_begun_nothing() {
    for (name, how) in [("draft", How::DiesAfter), ("manifest", How::DiesBefore)] {
        let mut scene = Scene::new(long(1_002), "s/b.m3u8").await;
        scene.die_at(name, how).await;
        assert!(scene.journal.moves().is_empty());
        assert_eq!(scene.undo().await, Undo::Undone { left: None });

        // What exists by then is moved.
        let shorter = long(3);
        let main = place("recorded", "r/a.m3u8");
        scene.world.write(&main, &shorter.named.0);
        for number in 3..1_002 {
            let gone = place("recorded", &format!("r/{number}.ts"));
            scene.world.remove(&gone);
        }
        scene.recording = shorter;
        assert_eq!(scene.run().await.unwrap().output["objects"], 4);
        assert_eq!(scene.world.objects(), scene.recording.at(&scene.to));
    }
}

#[tokio::test]
async fn buckets_and_keys_that_are_not_acceptable_are_refused() {
    for (to, kind) in [
        (place("unknown", "s/b.mp4"), FailureKind::Forbidden),
        (place("archive", "s/../b.mp4"), FailureKind::Invalid),
        (place("archive", "s//b.mp4"), FailureKind::Invalid),
        (place("archive", "/b.mp4"), FailureKind::Invalid),
        (place("archive", "s/"), FailureKind::Invalid),
    ] {
        let mut scene = Scene::new(Recording::mp4(), "").await;
        scene.to = to.clone();
        assert_eq!(scene.failure().await.kind, kind, "{to}");
    }
}
