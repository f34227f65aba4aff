//! Destinations that fail, refuse further requests, or take only so many at a time.

use std::time::Duration;

use aftertake::clock;
use aftertake::model::breaker::LaneChange;
use aftertake::model::task::Lane;
use aftertake::model::transition::Transition;
use aftertake::store::Store;
use aftertake::store::operator::Operator;
use serde_json::{Value, json};

use crate::support::faults::{How, Which};
use crate::support::folder_buckets::{FolderBuckets, RENAMING};
use crate::support::in_time;
use crate::support::operator::why_waits;
use crate::support::recording::{Recording, place};
use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{Front, PATIENT, TestService, announcing};
use crate::support::test_workers::TestWorkers;

const NOTIFY: &str = "{ notify: lms }";

/// [`announcing`] with more keys of the destination.
fn with(sink: &Sink, keys: &str) -> String {
    announcing(sink, NOTIFY).replace("concurrency: 1", keys)
}

/// One rule per destination, with the destination's name.
fn each(destinations: &[(&str, String, &str)]) -> String {
    let destination = |(name, url, keys): &(&str, String, &str)| {
        format!("{name}: {{ url: '{url}', allow_private: true, {keys} }}")
    };
    let rule = |(name, ..): &(&str, String, &str)| {
        format!("{{ name: {name}, steps: [{{ notify: {name} }}] }}")
    };
    let all = |part: &dyn Fn(&(&str, String, &str)) -> String| {
        let parts: Vec<_> = destinations.iter().map(part).collect();
        parts.join(", ")
    };
    format!(
        "destinations: {{ {} }}\nretry: {{ first: 1ms, longest: 1ms }}\nrules: [{}]\n",
        all(&destination),
        all(&rule),
    )
}

fn unavailable() -> Reply {
    Reply::status(503)
}

/// The only destination, as `destinations list` prints it.
fn listed(test_service: &TestService) -> Value {
    let listed = test_service.aftertake(&["destinations", "list", "--json"]);
    let mut listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

async fn metrics_say(front: &Front, line: &str) {
    let ask = async { while !front.ask("/metrics").await.lines().any(|one| one == line) {} };
    in_time(ask).await;
}

fn tries(test_service: &TestService) -> u32 {
    test_service.tasks().iter().map(|task| task.tries).sum()
}

#[tokio::test]
async fn breaker_opens_probes_with_one_request_and_closes_and_nobody_else_spends_a_try() {
    let test_service = TestService::new();
    let probe = Reply::status(200).held();
    let sink = Sink::start([unavailable().held(), unavailable(), unavailable(), probe]).await;
    let rules = with(
        &sink,
        "concurrency: 4, breaker: { failures: 2, longest: 1ms }",
    );
    let rules = rules.replace("concurrency: 4", "concurrency: 1");
    let running = test_service.start(&rules, PATIENT).await;
    for object in ["a.mp4", "b.mp4", "c.mp4", "d.mp4"] {
        running.front.announce(object).await;
    }
    sink.release(1);

    sink.received(4).await;
    let opened = running.store.lane_changes(2).await;
    assert!(
        matches!(&opened[..], [LaneChange::Opened(one), LaneChange::Opened(two)]
        if one.waits == 1 && two.waits == 2 && one.since == two.since)
    );
    let shown = listed(&test_service);
    assert_eq!(
        (&shown["state"], &shown["waiting"]),
        (&json!("probing"), &json!(3))
    );
    let why = "unavailable: destination lms answered 503 Service Unavailable";
    assert_eq!(shown["why"], why);
    assert_eq!(tries(&test_service), 4);

    sink.release(1);
    sink.received(7).await;
    running.store.settled(7).await;
    running.service.drain().await;
    assert_eq!(
        running.store.lane_changes(3).await[2..],
        [LaneChange::Closed]
    );
    assert!(test_service.tasks().iter().all(|task| task.state == "done"));
    assert_eq!(tries(&test_service), 7);
    assert_eq!(listed(&test_service)["state"], "closed");
}

#[tokio::test]
async fn probe_is_the_only_request_however_wide_the_lane_is() {
    let test_service = TestService::new();
    let probe = Reply::status(200).held();
    let sink = Sink::start([unavailable().held(), unavailable().held(), probe]).await;
    let rules = with(
        &sink,
        "concurrency: 2, breaker: { failures: 1, longest: 1ms }",
    );
    let running = test_service.start(&rules, PATIENT).await;
    for object in ["a.mp4", "b.mp4", "c.mp4"] {
        running.front.announce(object).await;
    }
    sink.received(2).await;
    sink.release(1);
    running.store.lane_changes(1).await;
    sink.received(3).await;
    // The request in flight counts as a try and does not change the breaker.
    sink.release(1);
    running.store.settled(2).await;
    metrics_say(
        &running.front,
        "aftertake_lane{lane=\"destination/lms\",state=\"open\"} 1",
    )
    .await;
    assert_eq!((sink.requests().len(), tries(&test_service)), (3, 3));
    assert_eq!(running.store.lane_changes(1).await.len(), 1);
    sink.release(1);
    sink.received(5).await;
    running.service.drain().await;
    assert!(test_service.tasks().iter().all(|task| task.state == "done"));
}

#[tokio::test]
async fn open_breaker_survives_a_restart_and_leaves_the_service_ready() {
    let test_service = TestService::new();
    let later = unavailable().header("retry-after", "3000");
    let sink = Sink::start([later]).await;
    let fine = Sink::start([]).await;
    let rules = each(&[
        (
            "lms",
            sink.url("/").to_string(),
            "breaker: { failures: 1, longest: 1h }",
        ),
        ("fine", fine.url("/").to_string(), "concurrency: 1"),
    ]);
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("a.mp4").await;
    running.store.lane_changes(1).await;
    running.store.settled(2).await;
    running.service.drain().await;
    drop(running.store);

    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("b.mp4").await;
    fine.received(2).await;
    metrics_say(
        &running.front,
        "aftertake_lane{lane=\"destination/lms\",state=\"open\"} 1",
    )
    .await;
    let ready: Value = serde_json::from_str(&running.front.ask("/readyz").await).unwrap();
    assert_eq!(ready["ready"], true);
    running.service.drain().await;
    assert_eq!(sink.requests().len(), 1);
    let waits = &test_service.tasks()[2];
    assert_eq!((waits.state, waits.tries), ("ready", 0));
    let note = "destination/lms failed and is left alone for a while: ";
    let why = why_waits(waits).unwrap();
    assert!(why.starts_with(note) && why.len() > note.len(), "{why}");
}

#[tokio::test]
async fn gone_buries_its_task_and_pauses_the_destination_until_a_person_resumes_it() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(410).held()]).await;
    let running = test_service
        .start(&announcing(&sink, NOTIFY), PATIENT)
        .await;
    running.front.announce("a.mp4").await;
    sink.received(1).await;
    running.front.announce("b.mp4").await;
    sink.release(1);
    running.store.settled(1).await;
    running.front.announce("c.mp4").await;
    running.service.drain().await;
    drop(running.store);
    assert_eq!(
        test_service.states(),
        [("dead", 0, 1), ("ready", 0, 0), ("ready", 0, 0)]
    );
    let shown = listed(&test_service);
    assert_eq!(
        (&shown["state"], &shown["waiting"]),
        (&json!("paused"), &json!(2))
    );
    let why = "destination lms answered 410 Gone: it wants no more notifications; correct its url, then resume it";
    assert_eq!(
        (&shown["why"], &shown["next_probe"]),
        (&json!(why), &Value::Null)
    );

    let running = test_service
        .start(&announcing(&sink, NOTIFY), PATIENT)
        .await;
    metrics_say(
        &running.front,
        "aftertake_lane{lane=\"destination/lms\",state=\"paused\"} 1",
    )
    .await;
    let dead = test_service.tasks()[0].id.to_string();
    test_service.aftertake(&["tasks", "retry", &dead]);
    let told = test_service.aftertake(&["destinations", "resume", "lms"]);
    assert_eq!(told, "lms is resumed\n");
    sink.received(4).await;
    running.service.drain().await;
    assert!(test_service.tasks().iter().all(|task| task.state == "done"));
    assert_eq!(listed(&test_service)["state"], "closed");
}

#[tokio::test]
async fn gone_on_a_path_that_an_event_made_ends_that_task_alone() {
    let test_service = TestService::new();
    let sink = Sink::start([Reply::status(410)]).await;
    let to_event = "{ notify: { destination: lms, path: '/{{ obs_object }}' } }";
    let running = test_service
        .start(&announcing(&sink, to_event), PATIENT)
        .await;
    running.front.announce("a.mp4").await;
    running.store.settled(1).await;
    running.front.announce("b.mp4").await;
    running.store.settled(2).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("dead", 0, 1), ("done", 0, 1)]);
    assert_eq!(listed(&test_service)["state"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn running_service_heeds_a_person_who_pauses_and_resumes() {
    let test_service = TestService::new();
    let sink = Sink::start([]).await;
    let running = test_service
        .start(&announcing(&sink, NOTIFY), PATIENT)
        .await;
    let said = |json: &str| -> Value { serde_json::from_str(json).unwrap() };
    let pause = ["destinations", "pause", "lms", "--json"];
    let changed = json!({ "name": "lms", "changed": true, "state": "paused" });
    assert_eq!(said(&test_service.aftertake(&pause)), changed);
    // In force as soon as the command has returned.
    let metrics = running.front.ask("/metrics").await;
    let paused = "aftertake_lane{lane=\"destination/lms\",state=\"paused\"} 1\n";
    assert!(metrics.contains(paused), "{metrics}");
    running.front.announce("a.mp4").await;
    let again = said(&test_service.aftertake(&pause));
    assert_eq!(again["changed"], false);
    assert_eq!(listed(&test_service)["why"], "a person paused it");
    assert_eq!(test_service.states(), [("ready", 0, 0)]);
    assert_eq!(
        why_waits(&test_service.tasks()[0]).as_deref(),
        Some("destination/lms is paused: a person paused it")
    );
    test_service.aftertake(&["destinations", "resume", "lms"]);
    sink.received(1).await;
    running.service.drain().await;
    assert_eq!(test_service.states(), [("done", 0, 1)]);
}

#[tokio::test]
async fn destinations_that_hang_refuse_and_fail_hold_up_nothing_but_themselves() {
    let test_service = TestService::new();
    let hanging = Sink::start([Reply::Hang, Reply::Hang]).await;
    let failing = Sink::start((0..1000).map(|_| unavailable())).await;
    let fine = Sink::start([]).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let rules = each(&[
        (
            "hanging",
            hanging.url("/").to_string(),
            "concurrency: 2, timeout: 1h",
        ),
        ("failing", failing.url("/").to_string(), "concurrency: 2"),
        ("refusing", refusing, "concurrency: 2"),
        ("fine", fine.url("/").to_string(), "concurrency: 2"),
    ]);
    let running = test_service.start(&rules, Duration::ZERO).await;
    for number in 0..50 {
        running.front.announce(&format!("{number}.mp4")).await;
    }
    fine.received(50).await;
    // Two destinations open their breakers; the third runs as much as it may.
    running.store.lane_changes(2).await;
    let tasks = test_service.tasks();
    let count = |rule: &str, state: &str| {
        let of = tasks
            .iter()
            .filter(|task| task.rule == rule && task.state == state);
        of.count()
    };
    assert_eq!(
        (count("hanging", "running"), count("hanging", "ready")),
        (2, 48)
    );
    for rule in ["failing", "refusing"] {
        assert!(count(rule, "running") <= 2);
        assert!(count(rule, "ready") >= 48);
    }
    running.service.drain().await;
    let done = test_service.tasks();
    let done = done.iter().filter(|task| task.state == "done");
    assert!(
        done.map(|task| &task.rule)
            .eq(std::iter::repeat_n("fine", 50))
    );
    assert_eq!(hanging.requests().len(), 2);
}

#[tokio::test]
async fn claims_keep_the_rate_and_return_when_to_come_again() {
    let sink = Sink::start([]).await;
    let test_workers = TestWorkers::outward(&with(&sink, "concurrency: 9, rate: 2/m")).await;
    for object in ["a.mp4", "b.mp4", "c.mp4"] {
        test_workers.store_only(object).await;
    }
    let start = clock::present();
    for (number, seconds) in [(1, 0), (2, 30), (3, 60)] {
        let now = start.plus(Duration::from_secs(seconds));
        test_workers.workers.claim_once(now).await.unwrap();
        let next = test_workers.workers.claim_once(now).await.unwrap();
        assert_eq!(next, Some(Duration::from_secs(30)));
        test_workers.store.settled(number).await;
        assert_eq!(sink.requests().len(), number);
    }
    test_workers.workers.drain(PATIENT).await;
    assert_eq!(test_workers.test_service.states(), [("done", 0, 1); 3]);
}

#[tokio::test]
async fn new_task_and_further_step_pass_the_rate_or_wait_in_the_store_without_a_try() {
    let test_service = TestService::new();
    let (sink, other) = (Sink::start([]).await, Sink::start([]).await);
    let rules = format!(
        "destinations: {{ lms: {{ url: '{}', allow_private: true, rate: 1/h }}, other: {{ url: '{}', allow_private: true }} }}\n\
         rules: [{{ name: twice, when: {{ object: a.mp4 }}, steps: [{{ notify: lms }}, {{ id: again, notify: lms }}] }},\n\
         {{ name: once, when: {{ object: b.mp4 }}, steps: [{{ notify: lms }}] }},\n\
         {{ name: crosses, when: {{ object: c.mp4 }}, steps: [{{ notify: other }}, {{ id: on, notify: lms }}] }}]\n",
        sink.url("/"),
        other.url("/"),
    );
    let running = test_service.start(&rules, PATIENT).await;
    running.front.announce("a.mp4").await;
    running.store.settled(1).await;
    running.front.announce("b.mp4").await;
    running.front.announce("c.mp4").await;
    running.store.settled(2).await;
    running.service.drain().await;
    let states = [("ready", 1, 0), ("ready", 0, 0), ("ready", 1, 0)];
    assert_eq!(test_service.states(), states);
    assert_eq!((sink.requests().len(), other.requests().len()), (1, 1));
}

#[tokio::test]
async fn bucket_that_refuses_our_credentials_is_left_alone_at_once_and_burns_no_try() {
    let (recording, from) = (Recording::mp4(), place("recorded", "r/a.mp4"));
    let world = FolderBuckets::new();
    world.record(&recording, &from).await;
    world.gate.break_at(Which::First("head"), How::Locks);
    let test_workers = TestWorkers::new(RENAMING, world.reach()).await;
    let states = test_workers.workers.lanes().states();
    let known = states.into_iter().map(|(lane, _)| lane).collect();
    test_workers.store.mark_unknown_lanes(known).await.unwrap();
    let task = test_workers.record(&from.key).await[0];
    test_workers.workers.start();
    let settled = test_workers.store.settled(1).await;
    assert!(
        matches!(settled[..], [Transition::Wait { .. }]),
        "{settled:?}"
    );
    let changes = test_workers.store.lane_changes(1).await;
    // A breaker that is already open when the clock is checked at the start is stored again.
    assert!(matches!(changes[..], [LaneChange::Opened(_), ..]));
    let waits = test_workers
        .test_service
        .operator()
        .task(task)
        .unwrap()
        .unwrap();
    assert_eq!((waits.row.state, waits.row.tries), ("ready", 0));
    assert_eq!(waits.attempts.len(), 1);
    // Buckets are listed while something is wrong, and resumed by the names of their lanes.
    let listed = test_workers
        .test_service
        .aftertake(&["destinations", "list"]);
    assert!(listed.contains("bucket/recorded  open"), "{listed}");

    world.gate.mend();
    test_workers
        .test_service
        .aftertake(&["destinations", "resume", "bucket/recorded"]);
    // Due a few seconds after its last try; a person need not wait for that.
    let lane = Lane::Bucket("recorded".into());
    in_time(async {
        while test_workers.workers.lanes().permit(&lane).is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let later = clock::present().plus(Duration::from_secs(10));
    test_workers.workers.claim_once(later).await.unwrap();
    let settled = test_workers.store.settled(2).await;
    test_workers.workers.drain(PATIENT).await;
    assert_eq!(settled[1], Transition::Finish);
    assert_eq!(test_workers.test_service.states(), [("done", 0, 1)]);
}
