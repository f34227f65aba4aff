//! Callbacks arrive while two versions of the file are loaded alternately.

use std::collections::{BTreeMap, BTreeSet};

use aftertake::model::task::RevisionId;
use aftertake::store::lists::{EventFilter, Page};
use aftertake::store::operator::Operator;
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::sink::Sink;
use crate::support::test_service::{Env, PATIENT, TestService, parse};

const ROUNDS: usize = 12;
const EACH: usize = 16;

/// The targets to which the rules with these paths send a recording.
type Targets = BTreeSet<String>;

/// One rule per path.
fn rules(sink: &Sink, paths: &[&str]) -> (String, RevisionId, Targets) {
    let rules: Vec<String> = paths
        .iter()
        .map(|path| {
            format!("{{ name: 'to{path}', steps: [{{ notify: {{ destination: lms, path: '{path}' }} }}] }}")
        })
        .collect();
    let text = format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true }} }}\nrules: [{}]\n",
        sink.url("/"),
        rules.join(", "),
    );
    let revision = parse(&text, &Env::new()).rules.revision;
    let targets = paths.iter().map(|path| (*path).to_owned()).collect();
    (text, revision, targets)
}

/// The revision under which each stored recording's event was planned.
fn planned(operator: &impl Operator) -> BTreeMap<String, RevisionId> {
    let events = operator.events(&EventFilter::default(), Page::newest(usize::MAX));
    let planned = |id| {
        let detail = operator.event(id).unwrap().unwrap();
        let object = detail.event.unwrap().fields.object.clone().unwrap();
        (object, RevisionId::of(&detail.rules.unwrap()))
    };
    events.unwrap().iter().map(|row| planned(row.id)).collect()
}

fn object_of(body: &[u8], at: &str) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body.pointer(at).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_callback_during_reloads_is_carried_out_once_as_one_of_the_files_says() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let files = [rules(&sink, &["/a"]), rules(&sink, &["/b", "/b2"])];
    let running = test_service.start(&files[0].0, PATIENT).await;
    let mut expected = BTreeMap::new();
    for round in 0..ROUNDS {
        let (text, revision, _) = &files[(round + 1) % 2];
        let names: Vec<String> = (0..EACH).map(|n| format!("r{round}-{n}.mp4")).collect();
        let posts = names.iter().map(|name| running.front.announce(name));
        futures_util::join!(test_service.reload(&running, text), join_all(posts));
        let after = format!("r{round}-after.mp4");
        running.front.announce(&after).await;
        expected.insert(after, *revision);
    }

    let planned = planned(&test_service.operator());
    assert_eq!(planned.len(), ROUNDS * (EACH + 1), "each is stored, once");
    for (object, revision) in expected {
        assert_eq!(planned[&object], revision, "{object} came after the reload");
    }
    let targets = |revision| {
        let file = files.iter().find(|(_, known, _)| *known == revision);
        file.unwrap().2.clone()
    };
    let tasks = planned.values().map(|revision| targets(*revision).len());
    let tasks: usize = tasks.sum();
    running.store.settled(tasks).await;
    running.service.drain().await;
    let mut sent: BTreeMap<String, Targets> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for request in sink.requests() {
        let object = object_of(&request.body, "/data/obs_object");
        let new = sent
            .entry(object)
            .or_default()
            .insert(request.target.clone());
        assert!(
            new && ids.insert(request.header("webhook-id").to_owned()),
            "twice: {}",
            request.target
        );
    }
    let planned = planned.into_iter();
    let planned: BTreeMap<_, _> = planned
        .map(|(object, revision)| (object, targets(revision)))
        .collect();
    assert_eq!(sent, planned);
    assert!(
        test_service
            .states()
            .iter()
            .all(|state| *state == ("done", 0, 1))
    );
}
