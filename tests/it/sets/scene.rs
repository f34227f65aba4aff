//! An OBS bucket, the service that moves what is recorded in it, and checks of its content.

use std::collections::BTreeMap;

use aftertake::store::lists::TaskRow;
use bytes::Bytes;
use serde_json::json;

use crate::support::fake_obs::{ACCESS_KEY, Content, FakeObs, Kind, Object, Recorded, SECRET_KEY};
use crate::support::obs_recording::RECORDED;
use crate::support::test_service::{PATIENT, Running, TestService};

/// The content of a bucket by key.
pub(super) type Objects = BTreeMap<String, String>;

pub(super) struct Scene {
    pub(super) obs: FakeObs,
    pub(super) test_service: TestService,
    running: Option<Running>,
}

pub(super) fn playlist(segments: &[&str]) -> String {
    let line = |name: &&str| format!("#EXTINF:6,\n{name}\n");
    let lines: String = segments.iter().map(line).collect();
    format!("#EXTM3U\n{lines}#EXT-X-ENDLIST\n")
}

pub(super) fn objects(objects: &[(&str, &str)]) -> Objects {
    let owned = |(key, content): &(&str, &str)| ((*key).to_owned(), (*content).to_owned());
    objects.iter().map(owned).collect()
}

impl Scene {
    /// The service with one rule per room, which names the target of its recordings.
    pub(super) async fn new(rooms: &[(&str, &str)]) -> Self {
        Self::with(rooms, "source_grace: 1ms").await
    }

    /// Like `new`, with more settings of the bucket.
    pub(super) async fn with(rooms: &[(&str, &str)], bucket: &str) -> Self {
        let obs = FakeObs::start().await;
        obs.keep_nothing();
        obs.world(|world| world.make(RECORDED, Kind::Objects));
        let rule = |(room, to): &(&str, &str)| {
            let of = format!("name: of-{room}, when: {{ room: '{room}' }}");
            format!("{{ {of}, steps: [{{ rename: {{ to: '{to}' }} }}] }}")
        };
        let rules: Vec<String> = rooms.iter().map(rule).collect();
        let rules = format!(
            "buckets: {{ {RECORDED}: {{ store: obs, endpoint: 'http://{}', access_key: {ACCESS_KEY}, \
             secret_key: {SECRET_KEY}, addressing: path, {bucket} }} }}\n\
             retry: {{ first: 1ms, longest: 1ms, tries: 4 }}\nrules: [{}]\n",
            obs.address,
            rules.join(", "),
        );
        let test_service = TestService::new();
        let running = test_service.start(&rules, PATIENT).await;
        Self {
            obs,
            test_service,
            running: Some(running),
        }
    }

    pub(super) fn put(&self, key: &str, content: &str) {
        let content = Bytes::copy_from_slice(content.as_bytes());
        let object = Object::of(Content::Bytes(content));
        self.obs.world(|world| world.put(RECORDED, key, object));
    }

    pub(super) fn put_all(&self, objects: &[(&str, &str)]) {
        for (key, content) in objects {
            self.put(key, content);
        }
    }

    /// Posts a recording's callback; each room gets only one.
    pub(super) async fn announce(&self, key: &str, room: &str) {
        self.announce_of(None, key, room).await;
    }

    /// Like `announce`, with a job.
    pub(super) async fn announce_of(&self, job: Option<&str>, key: &str, room: &str) {
        let second = self.test_service.tasks().len();
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": RECORDED, "obs_object": key,
            "record_format": "HLS", "room_id": room, "job_id": job,
            "end_time": format!("2026-03-02T01:01:{second:02}Z"),
        });
        let running = self.running.as_ref().unwrap();
        let answer = running.front.post(body.to_string()).await;
        assert_eq!(answer.status(), 200, "{key}");
    }

    /// Waits until no task has anything left to do.
    pub(super) async fn rest(&self) {
        let is_settled = |task: &TaskRow| ["done", "dead"].contains(&task.state);
        let running = self.running.as_ref().unwrap();
        for settlements in 1.. {
            running.store.settled(settlements).await;
            if self.test_service.tasks().iter().all(is_settled) {
                return;
            }
        }
    }

    /// Waits until the room's only task has nothing left to do.
    pub(super) async fn rests(&self, room: &str) {
        let is_its = |task: &TaskRow| task.room.as_deref() == Some(room);
        let is_settled = |task: &TaskRow| ["done", "dead"].contains(&task.state);
        let running = self.running.as_ref().unwrap();
        let settled = || {
            let tasks = self.test_service.tasks();
            tasks.iter().any(|task| is_its(task) && is_settled(task))
        };
        assert!(running.store.comes_true(settled).await, "{room}");
    }

    /// Announces a recording and waits for its task's state and reason.
    pub(super) async fn play(&self, key: &str, room: &str) -> (&'static str, String) {
        self.announce(key, room).await;
        self.rest().await;
        self.task(room)
    }

    pub(super) async fn moves(&self, key: &str, room: &str) {
        assert_eq!(self.play(key, room).await, ("done", String::new()), "{key}");
    }

    /// State of the room's only task, and the reason if it is dead.
    pub(super) fn task(&self, room: &str) -> (&'static str, String) {
        let mut tasks = self.test_service.tasks();
        tasks.retain(|task| task.room.as_deref() == Some(room));
        assert_eq!(tasks.len(), 1, "{room}");
        let task = tasks.remove(0);
        let why = task.failure.map(|failure| failure.reason);
        (task.state, why.unwrap_or_default())
    }

    pub(super) fn id(&self, room: &str) -> String {
        let tasks = self.test_service.tasks();
        let is_its = |task: &&TaskRow| task.room.as_deref() == Some(room);
        tasks.iter().find(is_its).unwrap().id.to_string()
    }

    pub(super) fn objects(&self) -> Objects {
        self.obs.world(|world| {
            let all = world.bucket(RECORDED).objects.iter();
            let text = |content: &Content| match content {
                Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Content::Synthetic { size, .. } => format!("{size} bytes"),
            };
            all.map(|(key, object)| (key.clone(), text(&object.content)))
                .collect()
        })
    }

    /// The keys that were copied to.
    pub(super) fn copied(&self) -> Vec<String> {
        let requests = self.obs.requests();
        let copies = requests.iter().filter(|one| one.is_copy());
        copies.map(|copy| copy.key.clone()).collect()
    }

    /// The reads of object contents so far.
    pub(super) fn read(&self) -> Vec<String> {
        let is_read = |one: &&Recorded| one.method == "GET" && !one.key.is_empty();
        let is_content = |one: &&Recorded| is_read(one) && one.query.is_empty();
        let requests = self.obs.requests();
        let reads = requests.iter().filter(is_content);
        reads.map(|one| one.key.clone()).collect()
    }
}
