//! Copies in parts: as safe as in one request, and no upload stays open.

use std::sync::Arc;

use aftertake::model::bucket::ObsBucket;
use aftertake::model::failure::FailureKind;
use aftertake::object::obs::ObsStore;
use aftertake::object::{Copy, CopyHalted, CopyStopped, ObjectMeta, ObjectStore, UploadLog};
use async_trait::async_trait;

use crate::support::fake_obs::{FakeObs, Fault, Gate, IMPATIENT, Object, Recorded, store_with};

/// Records notes, and stops the copy when configured to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) notes: Vec<Option<String>>,
    /// Parts that the next try finds.
    gained: usize,
    /// How often the copy asked whether to go on.
    asked: usize,
    /// Stops the copy when it asks after this many times.
    stop_after: Option<usize>,
    /// Fails to write the note after this many.
    full_after: Option<usize>,
}

impl Log {
    fn newest(&self) -> Option<&str> {
        self.notes.last()?.as_deref()
    }
}

#[async_trait]
impl UploadLog for Log {
    async fn record(&mut self, note: Option<&str>) -> Result<(), CopyHalted> {
        if self.full_after.is_some_and(|full| self.notes.len() >= full) {
            return Err(CopyHalted);
        }
        self.notes.push(note.map(str::to_owned));
        Ok(())
    }

    fn recorded(&self) -> Option<&str> {
        self.newest()
    }

    fn gained(&mut self) {
        self.gained += 1;
    }

    fn go_on(&mut self) -> Result<(), CopyHalted> {
        self.asked += 1;
        match self.stop_after {
            Some(after) if self.asked > after => Err(CopyHalted),
            _ => Ok(()),
        }
    }
}

/// A server with a large source with all metadata at `a b/源`, and a stranger's upload to the target.
pub(crate) struct Scene {
    pub(crate) obs: FakeObs,
    store: Arc<ObsStore>,
    source: ObjectMeta,
}

const FROM: &str = "a b/源";
pub(crate) const TO: &str = "to/源+1";

impl Scene {
    pub(crate) async fn start() -> Self {
        let obs = FakeObs::start().await;
        let store = Arc::new(obs.store("b1"));
        obs.world(|world| world.put("b1", FROM, Object::large(1150).dressed()));
        obs.world(|world| world.open_upload("b1", TO));
        let source = store.head(FROM).await.unwrap().unwrap();
        store.layout().await.unwrap();
        let original = obs.world(|world| world.object("b1", FROM).unwrap().clone());
        obs.after_every_mutation(move |world| {
            assert_eq!(world.object("b1", FROM), Some(&original));
            if let Some(copied) = world.object("b1", TO) {
                assert_eq!(
                    copied.content, original.content,
                    "a copy is whole or absent"
                );
            }
        });
        Self { obs, store, source }
    }

    fn copy(&self) -> Copy<'_> {
        Copy {
            source: "b1",
            from: FROM,
            to: TO,
            etag: &self.source.etag,
            size: self.source.size,
            mark: None,
        }
    }

    pub(crate) async fn attempt(&self, log: &mut Log) -> Result<ObjectMeta, CopyStopped> {
        self.store.copy_logged(self.copy(), None, log).await
    }

    /// [`Self::attempt`] with a client that gives up a request soon.
    pub(crate) async fn attempt_impatiently(
        &self,
        log: &mut Log,
    ) -> Result<ObjectMeta, CopyStopped> {
        let access = ObsBucket {
            timeouts: IMPATIENT,
            ..self.obs.access()
        };
        let store = store_with("b1", &access);
        store.copy_logged(self.copy(), None, log).await
    }

    /// Begins a copy that dies after this request is carried out, before its response.
    async fn dies_at(&self, log: &mut Log, wanted: impl Fn(&Recorded) -> bool + Send + 'static) {
        let gate = Gate::new();
        self.obs
            .strike_first(wanted, Fault::HoldAfter(gate.clone()));
        tokio::select! {
            _ = self.attempt(log) => panic!("it was held"),
            () = gate.reached() => {}
        }
    }

    /// Resumes as an action does: look first, then copy.
    pub(crate) async fn resume(&self, log: &mut Log) -> ObjectMeta {
        let found = self.store.find_copy(self.copy(), None, log.newest());
        match found.await.unwrap() {
            Some(found) => found,
            None => self.attempt(log).await.unwrap(),
        }
    }

    /// Asserts that the copy is complete and only the stranger's upload is open.
    pub(crate) fn check_end(&self, at: &str) {
        self.obs.world(|world| {
            let source = world.object("b1", FROM).unwrap();
            let copied = world
                .object("b1", TO)
                .unwrap_or_else(|| panic!("{at}: no copy"));
            assert!(
                copied.upload_id.is_some() && copied.etag.ends_with("-4"),
                "{at}"
            );
            let bare = Object {
                etag: source.etag.clone(),
                upload_id: None,
                ..copied.clone()
            };
            assert_eq!(bare, *source, "{at}");
            assert_eq!(world.open_uploads(), 1, "{at}");
        });
    }

    fn check_nothing(&self, at: &str) {
        self.obs.world(|world| {
            assert_eq!(world.object("b1", TO), None, "{at}");
            assert_eq!(world.open_uploads(), 1, "{at}");
        });
    }
}

#[tokio::test]
async fn copy_in_parts_preserves_everything_too() {
    let scene = Scene::start().await;
    scene.obs.world(|world| world.page = Some(1));
    let from = scene.obs.requests().len();
    let mut log = Log::default();
    let copied = scene.attempt(&mut log).await.unwrap();
    assert_eq!((copied.key.as_str(), copied.size), (TO, 1150));
    scene.check_end("no fault");
    assert_eq!(log.notes.len(), 2);

    let requests = scene.obs.requests();
    let parts = requests[from..]
        .iter()
        .filter(|request| request.has("partNumber"));
    let mut ranges: Vec<_> = parts
        .map(|part| {
            assert_eq!(
                part.header("x-obs-copy-source-if-match"),
                Some(format!("\"{}\"", scene.source.etag).as_str())
            );
            part.header("x-obs-copy-source-range").unwrap().to_owned()
        })
        .collect();
    ranges.sort();
    assert_eq!(
        ranges,
        [
            "bytes=0-299",
            "bytes=300-599",
            "bytes=600-899",
            "bytes=900-1149"
        ]
    );
}

#[tokio::test]
async fn object_above_the_limit_of_one_request_is_copied_by_parts() {
    let obs = FakeObs::start().await;
    let mut access = obs.access();
    access.copy_part_above = 5 << 30;
    access.part_size = 512 << 20;
    let store = store_with("b1", &access);
    for (key, size, parts) in [("at", 5 << 30, 0), ("above", (5 << 30) + 1, 11)] {
        obs.world(|world| world.put("b1", key, Object::large(size)));
        let source = store.head(key).await.unwrap().unwrap();
        let from = obs.requests().len();
        let copy = Copy {
            source: "b1",
            from: key,
            to: "to",
            etag: &source.etag,
            size,
            mark: None,
        };
        assert_eq!(store.copy(copy).await.unwrap().size, size);
        let requests = &obs.requests()[from..];
        let copied = requests.iter().filter(|request| request.has("partNumber"));
        assert_eq!(copied.count(), parts);
    }
}

#[tokio::test]
async fn no_more_than_four_parts_are_copied_at_once() {
    let obs = FakeObs::start().await;
    let store = Arc::new(obs.store("b1"));
    obs.world(|world| world.put("b1", FROM, Object::large(1800)));
    let source = store.head(FROM).await.unwrap().unwrap();
    let gate = Gate::new();
    obs.strike_every(
        |request| request.has("partNumber"),
        Fault::Hold(gate.clone()),
    );
    let copying = tokio::spawn(async move {
        let copy = Copy {
            source: "b1",
            from: FROM,
            to: TO,
            etag: &source.etag,
            size: source.size,
            mark: None,
        };
        store.copy(copy).await
    });
    for _ in 0..4 {
        gate.reached().await;
    }
    let parts = || {
        obs.requests()
            .iter()
            .filter(|request| request.has("partNumber"))
            .count()
    };
    assert_eq!(parts(), 4);
    gate.open();
    gate.reached().await;
    assert_eq!(parts(), 5);
    for _ in 0..5 {
        gate.open();
    }
    copying.await.unwrap().unwrap();
}

/// Requests for parts, in all tries.
fn parts_asked(obs: &FakeObs) -> usize {
    let requests = obs.requests();
    let parts = requests.iter().filter(|one| one.has("partNumber"));
    parts.count()
}

#[tokio::test]
async fn halted_copy_goes_on_with_the_parts_that_it_has() {
    for after in 0..4 {
        let scene = Scene::start().await;
        let at = format!("after {after}");
        let mut log = Log {
            stop_after: Some(after),
            ..Log::default()
        };
        let stopped = scene.attempt(&mut log).await;
        assert_eq!(stopped, Err(CopyStopped::Halted), "{at}");
        assert_eq!(log.gained, 4, "{at}");
        scene
            .obs
            .world(|world| assert_eq!(world.open_uploads(), 2, "{at}"));
        log.stop_after = None;
        scene.resume(&mut log).await;
        scene.check_end(&at);
        assert_eq!(parts_asked(&scene.obs), 4, "{at}");
    }
}

#[tokio::test]
async fn copy_that_is_halted_again_and_again_copies_each_part_once() {
    let obs = FakeObs::start().await;
    obs.world(|world| {
        world.page = Some(2);
        world.put("b1", FROM, Object::large(6000));
    });
    let store = obs.store("b1");
    let source = store.head(FROM).await.unwrap().unwrap();
    let copy = Copy {
        source: "b1",
        from: FROM,
        to: TO,
        etag: &source.etag,
        size: source.size,
        mark: None,
    };
    let mut log = Log {
        stop_after: Some(0),
        ..Log::default()
    };
    let mut tries = 1;
    while let Err(stopped) = store.copy_logged(copy, None, &mut log).await {
        assert_eq!(stopped, CopyStopped::Halted);
        log.asked = 0;
        tries += 1;
        assert!(tries < 20, "each try has to gain something");
    }
    assert!(tries > 2);
    assert_eq!(parts_asked(&obs), 20);
    obs.world(|world| {
        let content = |key| world.object("b1", key).unwrap().content.clone();
        assert_eq!(content(TO), content(FROM));
        assert_eq!(world.open_uploads(), 0);
    });
}

/// The existing parts belong to another copy, or the new copy needs none.
#[tokio::test]
async fn halted_copy_starts_again_when_its_part_settings_change() {
    for (part_size, copy_part_above) in [(400, 1000), (200, 1000), (300, 5 << 30)] {
        let scene = Scene::start().await;
        let mut log = Log {
            stop_after: Some(0),
            ..Log::default()
        };
        scene.attempt(&mut log).await.unwrap_err();
        let access = ObsBucket {
            part_size,
            copy_part_above,
            ..scene.obs.access()
        };
        log.stop_after = None;
        let store = store_with("b1", &access);
        let found = store.find_copy(scene.copy(), None, log.newest()).await;
        assert_eq!(found.unwrap(), None);
        let made = store.copy_logged(scene.copy(), None, &mut log).await;
        assert_eq!(made.unwrap().size, 1150);
        scene.obs.world(|world| {
            assert!(world.object("b1", TO).is_some());
            assert_eq!(world.open_uploads(), 1, "the stranger's");
        });
    }
}

#[tokio::test]
async fn upload_whose_note_could_not_be_written_is_aborted_by_the_next_try() {
    for full in 0..2 {
        let scene = Scene::start().await;
        let mut log = Log {
            full_after: Some(full),
            ..Log::default()
        };
        let stopped = scene.attempt(&mut log).await;
        assert_eq!(stopped, Err(CopyStopped::Halted), "full after {full}");
        log.full_after = None;
        scene.resume(&mut log).await;
        scene.check_end(&format!("full after {full}"));
    }
}

#[tokio::test]
async fn abandoned_copy_aborts_the_upload_in_its_note() {
    for held in [
        "POST b1/to/源+1?uploads",
        "PUT b1/to/源+1?partNumber=2&uploadId (copy)",
    ] {
        let scene = Scene::start().await;
        let mut log = Log::default();
        scene
            .dies_at(&mut log, move |request| request.line() == held)
            .await;
        scene
            .obs
            .world(|world| assert_eq!(world.open_uploads(), 2, "{held}"));
        for _ in 0..2 {
            let note = log.newest().unwrap();
            scene.store.abandon(TO, Some(note)).await.unwrap();
            scene.check_nothing(held);
        }
    }
}

#[tokio::test]
async fn refused_copy_by_parts_ends_its_upload() {
    let scene = Scene::start().await;
    for (wanted, status, code, kind) in [
        (
            "partNumber",
            412,
            "PreconditionFailed",
            FailureKind::SourceChanged,
        ),
        ("partNumber", 403, "AccessDenied", FailureKind::Denied),
        ("uploads", 403, "AccessDenied", FailureKind::Denied),
    ] {
        let mut log = Log::default();
        scene.obs.strike_first(
            move |request| request.method != "GET" && request.has(wanted),
            Fault::Refuse(status, code),
        );
        let stopped = scene.attempt(&mut log).await.unwrap_err();
        let CopyStopped::Failed(failure) = stopped else {
            panic!("{stopped:?}")
        };
        assert_eq!(failure.kind, kind, "{failure}");
        assert_eq!(log.newest(), None);
        scene.check_nothing(code);
    }
}

#[tokio::test]
async fn strangers_object_is_not_found_to_be_the_copy_of_an_open_upload() {
    let scene = Scene::start().await;
    let mut log = Log::default();
    scene
        .dies_at(&mut log, |request| request.has("partNumber"))
        .await;
    let mut strangers = Object::large(1150);
    strangers.upload_id = Some("another".to_owned());
    scene.obs.world(|world| world.put("b1", TO, strangers));
    let found = scene
        .store
        .find_copy(scene.copy(), None, log.newest())
        .await;
    assert_eq!(found.unwrap(), None);
    scene.obs.world(|world| assert_eq!(world.open_uploads(), 2));
    let abandoned = scene.store.abandon(TO, log.newest()).await;
    assert_eq!(abandoned.unwrap(), None);
    scene.obs.world(|world| assert_eq!(world.open_uploads(), 1));
}

#[tokio::test]
async fn upload_that_shows_up_late_is_ended_by_its_note() {
    let scene = Scene::start().await;
    scene
        .obs
        .strike_first(|request| request.method == "POST", Fault::DropAfter);
    // The list before it, then its own check: HEAD, ACL, tags, list, open, list.
    scene.obs.strike(5, Fault::Stale);
    let mut log = Log::default();
    let stopped = scene.attempt(&mut log).await.unwrap_err();
    let CopyStopped::Failed(failure) = stopped else {
        panic!("{stopped:?}")
    };
    assert_eq!(failure.kind, FailureKind::Unknown, "{failure}");
    scene.obs.world(|world| assert_eq!(world.open_uploads(), 2));
    let note = log.newest().unwrap();
    scene.store.abandon(TO, Some(note)).await.unwrap();
    scene.check_nothing("it showed up late");
}

#[tokio::test]
async fn uploads_of_others_stay_open_however_many_pages_they_fill() {
    let scene = Scene::start().await;
    scene.obs.world(|world| {
        world.page = Some(1);
        world.open_upload("b1", TO);
        world.open_upload("b1", &format!("{TO}/longer"));
    });
    let mut log = Log::default();
    let opens = |request: &Recorded| request.method == "POST";
    scene.dies_at(&mut log, opens).await;
    let open = || scene.obs.world(|world| world.open_uploads());
    assert_eq!(open(), 4);
    let note = log.newest().unwrap();
    scene.store.abandon(TO, Some(note)).await.unwrap();
    assert_eq!(open(), 3);
}

#[tokio::test]
async fn completion_is_looked_up_before_it_is_asked_for_again() {
    for (fault, asked) in [
        (Fault::DropAfter, 1),
        (Fault::RefuseAfter(503, "ServiceUnavailable"), 1),
        (Fault::DropBefore, 2),
        (Fault::Refuse(500, "InternalError"), 2),
    ] {
        let scene = Scene::start().await;
        let completes = |request: &Recorded| request.method == "POST" && request.has("uploadId");
        scene.obs.strike_first(completes, fault.clone());
        scene.attempt(&mut Log::default()).await.unwrap();
        scene.check_end(&format!("{fault:?}"));
        let requests = scene.obs.requests();
        let times = requests.iter().filter(|request| completes(request)).count();
        assert_eq!(times, asked, "{fault:?}");
    }
}
