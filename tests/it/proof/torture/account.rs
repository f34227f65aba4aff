//! What must hold once the service is idle.

use std::collections::{BTreeMap, BTreeSet};

use aftertake::model::id::{EventId, TaskId};
use aftertake::model::recording::Place;
use aftertake::object::{ObjectStore, TagSupport};
use aftertake::store::lists::{EventDetail, EventFilter, Page};
use aftertake::store::operator::Operator;
use serde_json::Value;

use super::recordings::{RULES, Recordings, recording, room, source, tags, target};
use crate::proof::load::Post;
use crate::support::database::Database;
use crate::support::in_time;
use crate::support::service_process::ServiceProcess;
use crate::support::sink::Sink;

/// Polls the service until it has nothing to do; fails if it stops making progress.
pub(crate) async fn quiet(served: &ServiceProcess) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/metrics", served.admin);
    let ask = async || {
        let metrics = client.get(&url).send().await.unwrap().text().await.unwrap();
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("aftertake_tasks{"));
        counts.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let idle = ["ready", "running"].map(|state| format!("aftertake_tasks{{state=\"{state}\"}} 0"));
    let mut counts = ask().await;
    while !idle.iter().all(|line| counts.contains(line)) {
        let change = async {
            loop {
                let now = ask().await;
                if now != counts {
                    return now;
                }
            }
        };
        counts = in_time(change).await;
    }
}

/// All callbacks posted, and what became of them.
pub(crate) struct Account<'a> {
    recordings: &'a Recordings,
    posts: &'a BTreeMap<EventId, Post>,
    stored: BTreeMap<EventId, EventDetail>,
    /// The `webhook-id`s received, in the order of their first requests.
    received: Vec<String>,
}

impl<'a> Account<'a> {
    pub(crate) fn of(
        recordings: &'a Recordings,
        posts: &'a BTreeMap<EventId, Post>,
        sink: &Sink,
    ) -> Self {
        let database = Database::of_program(recordings.folder());
        database.check().unwrap();
        let operator = database.operator();
        let rows = operator
            .events(&EventFilter::default(), Page::newest(usize::MAX))
            .unwrap()
            .into_iter();
        let stored: BTreeMap<_, _> = rows
            .map(|row| (row.id, operator.event(row.id).unwrap().unwrap()))
            .collect();
        let mut seen = BTreeSet::new();
        let received = sink.requests().into_iter();
        let received = received.map(|one| one.header("webhook-id").to_owned());
        let received = received.filter(|id| seen.insert(id.clone())).collect();
        Self {
            recordings,
            posts,
            stored,
            received,
        }
    }

    /// Asserts all of the following.
    pub(crate) async fn settle(&self) {
        let posts = self.posts;
        let acknowledged = posts.values().filter(|post| post.status == Some(200));
        for post in acknowledged {
            assert!(self.stored.contains_key(&post.id), "{post:?} is lost");
        }
        for (id, event) in &self.stored {
            assert!(posts.contains_key(id), "{event:?} was never posted");
            assert_done(event);
        }
        self.assert_delivered();
        self.assert_in_order();
        self.assert_in_place();
        for id in self.stored.keys() {
            self.assert_tagged(&posts[id]).await;
        }
        self.assert_nothing_left();
    }

    /// Asserts that every task of every event sent its request under its id, and that there
    /// were no other requests.
    fn assert_delivered(&self) {
        let received: BTreeSet<&str> = self.received.iter().map(String::as_str).collect();
        let due = self.stored.keys().flat_map(|event| {
            RULES.map(|(rule, step)| TaskId::derive(*event, rule, 0).webhook_id(step))
        });
        let due: BTreeSet<String> = due.collect();
        assert_eq!(received, due.iter().map(String::as_str).collect());
    }

    /// Asserts that the callbacks of each room, posted one after the other, were first
    /// announced in that order.
    fn assert_in_order(&self) {
        let by_id = |event: &EventId| (TaskId::derive(*event, "in-order", 0).webhook_id(0), *event);
        let events: BTreeMap<String, EventId> = self.stored.keys().map(by_id).collect();
        let mut latest: BTreeMap<String, usize> = BTreeMap::new();
        for event in self.received.iter().filter_map(|id| events.get(id)) {
            let Post { lane, number, .. } = self.posts[event];
            let before = latest.insert(room(lane, number), number);
            assert!(
                before < Some(number),
                "{number} of {lane} came after {before:?}"
            );
        }
    }

    /// Asserts that every recording is whole at its target and nothing is anywhere else.
    fn assert_in_place(&self) {
        let mut expected: BTreeMap<Place, String> = BTreeMap::new();
        for (id, Post { lane, number, .. }) in self.posts {
            let recording = recording(*lane, *number);
            if self.stored.contains_key(id) {
                expected.extend(recording.at(&target(*lane, *number)));
            } else {
                let at = source(*lane, *number);
                let there = recording.at(&at).into_iter();
                expected.extend(there.chain([(at, recording.named.0)]));
            }
        }
        let found = self.recordings.world.objects();
        let of = |place: &Place| (found.get(place).cloned(), expected.get(place).cloned());
        for place in found.keys().chain(expected.keys()) {
            let (found, expected) = of(place);
            assert_eq!(found, expected, "{place}");
        }
    }

    async fn assert_tagged(&self, post: &Post) {
        let place = target(post.lane, post.number);
        let store = &self.recordings.world.stores[&place.bucket];
        let found = store.tags(&place.key).await.unwrap();
        assert_eq!(
            found,
            TagSupport::Tags(tags(post.lane, post.number)),
            "{place}"
        );
    }

    /// Asserts that the buckets keep a sidecar for each tagged recording and no other files.
    fn assert_nothing_left(&self) {
        let own = |bucket| self.recordings.world.path(bucket).join(".aftertake");
        let files = |path: std::path::PathBuf| {
            let entries = std::fs::read_dir(path).into_iter().flatten();
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_file() && !path.ends_with("bucket-id"))
                .count()
        };
        for bucket in ["recorded", "archive"] {
            assert_eq!(files(own(bucket).join("parts")), 0, "parts in {bucket}");
        }
        assert_eq!(files(own("recorded")), 0);
        assert_eq!(files(own("archive")), self.stored.len());
    }
}

/// Asserts that the event has each of its tasks once, and all are done.
fn assert_done(event: &EventDetail) {
    let mut tasks: Vec<_> = event
        .tasks
        .iter()
        .map(|task| (&task.rule[..], task.state))
        .collect();
    tasks.sort_unstable();
    assert_eq!(tasks, RULES.map(|(rule, _)| (rule, "done")), "{event:?}");
    let body: Value = serde_json::from_slice(&event.event.as_ref().unwrap().body).unwrap();
    assert_eq!(event.row.room.as_deref(), body["room_id"].as_str());
}
