//! Breaks every operation of a rename and of its undo, one after the other, in every way, and checks
//! the world after each effect and at the end.

use aftertake::action::rename::{Undo, undo};
use aftertake::action::{ActionSubject, Done, Stopped, run};
use aftertake::clock;
use aftertake::model::moves::stage::Stage;
use aftertake::model::recording::Place;
use aftertake::model::step::{OnConflict, Rename, Rendered};
use aftertake::model::time::Timestamp;

use super::support::faults::{How, Which};
use super::support::folder_buckets::FolderBuckets;
use super::support::journal::{Journal, outline};
use super::support::recording::{Recording, place};

/// A recording, and the rename to run.
struct Case {
    recording: Recording,
    from: Place,
    to: Place,
}

impl Case {
    fn all() -> Vec<Self> {
        let case = |recording, from: &str, (bucket, to): (&str, &str)| Self {
            recording,
            from: place("recorded", from),
            to: place(bucket, to),
        };
        vec![
            case(Recording::mp4(), "r/a.mp4", ("recorded", "classes/7/b.mp4")),
            case(
                Recording::hls(),
                "r/x/a.m3u8",
                ("archive", "classes/7/b.m3u8"),
            ),
            case(
                Recording::absolute_hls("r/x"),
                "r/x/a.m3u8",
                ("recorded", "r/x/y/b.m3u8"),
            ),
            // Only the callback says that these are playlists.
            case(
                Recording::absolute_hls("r"),
                "r/a",
                ("archive", "classes/7"),
            ),
        ]
    }

    async fn begin(&self) -> Begun<'_> {
        let world = FolderBuckets::new();
        world.record(&self.recording, &self.from).await;
        let places = [self.from.clone(), self.to.clone()];
        let check = world.whole_somewhere(&self.recording, places);
        world.gate.check_after_each(check);
        let journal = Journal::new(self.from.clone(), world.gate.clone());
        Begun {
            case: self,
            world,
            journal,
        }
    }
}

struct Begun<'a> {
    case: &'a Case,
    world: FolderBuckets,
    journal: Journal,
}

impl Begun<'_> {
    /// One try; `None` if the process died.
    async fn try_once(&self) -> Option<Result<Done, Stopped>> {
        let step = Rendered::Rename(Rename {
            to: self.case.to.clone(),
            on_conflict: OnConflict::Fail,
            suffix: "0123abcd".into(),
        });
        let subject = ActionSubject {
            rule: "archive".into(),
            place: self.place(),
            extent: self.case.recording.extent(),
            moved_by: None,
            replaced: None,
            received: Timestamp::from_millis(0),
            now: clock::now(),
        };
        let (reach, mut journal) = (self.world.reach(), self.journal.clone());
        let ran = tokio::select! {
            ran = run(&reach, &step, &subject, &mut journal) => Some(ran),
            () = self.world.gate.died() => None,
        };
        self.world.gate.quiet().await;
        ran
    }

    async fn undo(&self) -> Option<Result<Undo, Stopped>> {
        let (reach, mut journal) = (self.world.reach(), self.journal.clone());
        let undone = tokio::select! {
            undone = undo(&reach, &mut journal) => Some(undone),
            () = self.world.gate.died() => None,
        };
        self.world.gate.quiet().await;
        undone
    }

    fn place(&self) -> Option<Place> {
        self.journal.state.lock().unwrap().place.clone()
    }

    async fn assert_moved(&self) {
        assert_eq!(self.place().as_ref(), Some(&self.case.to));
        self.world
            .assert_only(&self.case.recording, &self.case.to)
            .await;
    }

    async fn assert_at_source(&self) {
        assert_eq!(self.place().as_ref(), Some(&self.case.from));
        let begins = Recording {
            named: (
                self.case.recording.named.0.clone(),
                self.case.recording.named.0.clone(),
            ),
            ..self.case.recording.clone()
        };
        self.world.assert_only(&begins, &self.case.from).await;
    }
}

/// A run without faults: how many operations it has, and the numbers of the one that stores the last
/// copy and of the commit.
async fn clean_run(case: &Case) -> (usize, usize, usize) {
    let begun = case.begin().await;
    let done = begun.try_once().await.unwrap().unwrap();
    assert_eq!(done.output["objects"], case.recording.objects());
    begun.assert_moved().await;
    let log = begun.world.gate.log();
    let commit = log.iter().position(|name| *name == "commit").unwrap();
    let stored = log[..commit].iter().rposition(|name| *name == "moved");
    (log.len(), stored.unwrap(), commit)
}

#[tokio::test]
async fn rename_that_fails_anywhere_is_completed_by_the_next_try() {
    for case in Case::all() {
        let (operations, ..) = clean_run(&case).await;
        for how in How::ALL {
            for number in 0..operations {
                let begun = case.begin().await;
                begun.world.gate.break_at(Which::Number(number), how);
                let broken = begun.try_once().await;
                assert!(
                    !matches!(broken, Some(Ok(_))),
                    "{how:?} at {number}: {broken:?}"
                );
                begun.world.gate.mend();
                let next = begun.try_once().await.unwrap();
                assert!(next.is_ok(), "after {how:?} at {number}: {next:?}");
                begun.assert_moved().await;
            }
        }
    }
}

#[tokio::test]
async fn rename_that_fails_anywhere_can_be_undone_before_its_commit_and_completes_after_it() {
    for case in Case::all() {
        let (operations, _, commit) = clean_run(&case).await;
        for how in How::ALL {
            for number in 0..operations {
                let begun = case.begin().await;
                begun.world.gate.break_at(Which::Number(number), how);
                let _ = begun.try_once().await;
                begun.world.gate.mend();
                let undone = begun.undo().await.unwrap().unwrap();
                let committed = begun.place().as_ref() == Some(&case.to);
                if committed {
                    assert!(number >= commit);
                    assert!(matches!(undone, Undo::GoesForward { .. }));
                    begun.try_once().await.unwrap().unwrap();
                    begun.assert_moved().await;
                } else {
                    assert_eq!(undone, Undo::Undone { left: None }, "{how:?} at {number}");
                    begun.assert_at_source().await;
                    begun.try_once().await.unwrap().unwrap();
                    begun.assert_moved().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn undo_that_fails_anywhere_completes_when_it_is_repeated() {
    for case in Case::all() {
        let (_, stored, commit) = clean_run(&case).await;
        // With the last copy made and not stored, and with everything stored except the commit.
        for before in [stored, commit] {
            for how in How::ALL {
                for number in 0.. {
                    let begun = case.begin().await;
                    begun
                        .world
                        .gate
                        .break_at(Which::Number(before), How::DiesBefore);
                    assert!(begun.try_once().await.is_none());
                    begun.world.gate.break_at(Which::Number(number), how);
                    let broken = begun.undo().await;
                    let out_of_operations = begun.world.gate.log().len() <= number;
                    begun.world.gate.mend();
                    let undone = begun.undo().await.unwrap().unwrap();
                    assert_eq!(undone, Undo::Undone { left: None }, "{how:?} at {number}");
                    begun.assert_at_source().await;
                    let stage = Stage::of(outline(&begun.journal.moves(), false));
                    assert!(matches!(stage, Stage::Untouched), "{stage:?}");
                    if out_of_operations {
                        assert!(matches!(broken, Some(Ok(_))));
                        break;
                    }
                }
            }
        }
    }
}
