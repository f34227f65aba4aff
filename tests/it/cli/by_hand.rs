//! Bulk interventions on tasks and events, with the real program.

use std::sync::Arc;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::TaskId;
use aftertake::model::task::{Lane, Outputs};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::{Hold, NextStep, Transition};
use aftertake::rules::file::parse;
use aftertake::rules::plan::plan;
use aftertake::store::{Arrival, LaneRoom, Settlement, Store};
use serde_json::{Value, json};

use super::endings::served;
use super::{Folder, Ran};
use crate::support::event;
use crate::support::service_process::serve;
use crate::support::sink::Sink;

/// When everything happened: 2026-03-02T01:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

/// A URL where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:9/";

fn announcing(url: &str, rules: &[&str]) -> String {
    let rules = rules.iter().map(|rule| {
        format!("  - {{ name: {rule}, steps: [{{ id: tell, notify: {{ destination: lms, path: '/{rule}' }} }}] }}\n")
    });
    let rules: String = rules.collect();
    format!(
        "destinations: {{ lms: {{ url: '{url}', allow_private: true }} }}\n\
         retry: {{ first: 1ms, longest: 1ms, tries: 2 }}\nrules:\n{rules}"
    )
}

async fn announce(folder: &Folder, rooms: &[&str]) {
    let store = served(folder);
    let text = std::fs::read_to_string(folder.path("rules.yaml")).unwrap();
    let env = std::collections::BTreeMap::new();
    let file = parse("rules.yaml", &text, &folder.path(""), &env).unwrap();
    let rules = file.rules;
    let kept = store.keep_revision(rules.revision, rules.text.clone());
    kept.await.unwrap();
    for (number, room) in rooms.iter().enumerate() {
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": format!("{number}.mp4"),
            "room_id": room, "end_time": "2026-03-02T01:01:02Z",
        });
        let event = event(body.to_string(), NOW);
        let arrival = Arrival {
            plan: plan(&rules, &event, 0),
            event: Arc::new(event),
        };
        store.record(arrival, vec![]).await.unwrap();
    }
    let lanes = vec![lms(), Lane::Bucket("b".into())];
    store.mark_unknown_lanes(lanes).await.unwrap();
}

fn lms() -> Lane {
    Lane::Destination("lms".into())
}

/// Ends the current step of every due task this way.
async fn end(folder: &Folder, lane: Lane, transition: Transition) {
    let store = served(folder);
    let room = LaneRoom::new(lane, 10_000);
    let claims = store.claim(vec![room], NOW).await.unwrap().claims;
    let ended = claims.into_iter().map(|claim| {
        let settlement = Settlement {
            transition: transition.clone(),
            attempt: None,
            outputs: Outputs::new(),
            leaves: None,
        };
        store.apply(claim, settlement, NOW)
    });
    futures_util::future::try_join_all(ended).await.unwrap();
}

async fn bury(folder: &Folder, kind: FailureKind) {
    let why = Failure::new(kind, "no");
    end(folder, lms(), Transition::Bury { why, notice: None }).await;
}

/// A folder with a dead task of rule `tell` for each room.
async fn buried(rooms: &[&str]) -> Folder {
    let folder = Folder::new();
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell"]));
    announce(&folder, rooms).await;
    bury(&folder, FailureKind::Refused).await;
    folder
}

/// The whole content of the store, as the program prints it.
fn everything(folder: &Folder) -> Vec<String> {
    let mut all = vec![folder.fine(&["events", "list", "--json"])];
    for task in folder.json(&["tasks", "list"]).as_array().unwrap() {
        let id = task["id"].as_str().unwrap();
        all.push(folder.fine(&["tasks", "show", id, "--json"]));
    }
    all
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

fn ids(folder: &Folder, state: &str) -> Vec<String> {
    let tasks = folder.json(&["tasks", "list", "--state", state]);
    let tasks = tasks.as_array().unwrap().iter();
    tasks
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn filter_that_selects_everything_needs_yes() {
    let folder = buried(&["class-1", "class-2"]).await;
    let before = everything(&folder);
    let narrow =
        "narrow it with --rule, --room, --since, --until, --failure or --destination, or say --yes";
    for (args, would) in [
        (
            &["tasks", "retry"][..],
            "retry every dead task, 2 tasks now",
        ),
        (
            &["tasks", "retry", "--state", "dead"],
            "retry every dead task, 2 tasks now",
        ),
        (
            &["tasks", "cancel"],
            "cancel every ready or running task, 0 tasks now",
        ),
    ] {
        let refusal = format!("error: this would {would}; {narrow}\n");
        folder.refused(args, 2, &refusal);
    }
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell", "added"]));
    let refusal = "error: this would look at every event, 2 events, and make 2 tasks; \
                   narrow it with --room, --rule, --since or --until, or say --yes\n";
    folder.refused(&["events", "replay"], 2, refusal);
    for empty in ["--rule", "--room", "--destination"] {
        let ran = folder.run(&["tasks", "retry", empty, ""]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.err.contains("the value is empty"), "{}", ran.err);
    }
    assert_eq!(everything(&folder), before);

    let replayed = folder.json(&["events", "replay", "--yes"]);
    assert_eq!(replayed["tasks"], 2);
    let retried = folder.json(&["tasks", "retry", "--yes"]);
    assert_eq!(retried["changed"], 2);
    let cancelled = folder.json(&["tasks", "cancel", "--yes"]);
    assert_eq!(cancelled["changed"], 4);
    assert_eq!(ids(&folder, "cancelled").len(), 4);
}

#[tokio::test]
async fn contradictory_filter_flags_are_refused() {
    let folder = buried(&["class-1"]).await;
    let id = &ids(&folder, "dead")[0];
    let event = folder.json(&["events", "list"])[0]["id"].clone();
    let event = event.as_str().unwrap();
    for (args, err) in [
        (
            &["tasks", "retry", id, "--rule", "tell"][..],
            "error: name tasks or give a filter, not both\n",
        ),
        (
            &["tasks", "cancel", id, "--state", "dead"],
            "error: name tasks or give a filter, not both\n",
        ),
        (
            &["events", "replay", event, "--since", "1h"],
            "error: name events or give a filter, not both\n",
        ),
        (
            &["tasks", "list", "--since", "1h", "--until", "2h"],
            "error: --since 1h is not before --until 2h\n",
        ),
        (
            &["events", "replay", "--rule", "tel"],
            "error: rules.yaml has no rule \"tel\"; it has tell\n",
        ),
    ] {
        folder.refused(args, 2, err);
    }
    let ran = folder.run(&["tasks", "retry", "--since", "yesterday"]);
    assert_eq!(ran.code, Some(2));
    let first = "error: --since <TIME>: \"yesterday\" is not a time like 2026-03-02T01:00:00Z, \
                 or a duration back from now like 2h or 3d";
    assert_eq!(ran.err.lines().next(), Some(first));
}

#[tokio::test]
async fn dry_run_counts_and_samples_what_the_real_run_does_then() {
    let folder = buried(&["class-1", "class-2", "class-3", "lab-1", "lab-2", "lab-3"]).await;
    let before = everything(&folder);
    for (args, text) in [
        (&["tasks", "retry", "--rule", "tell"][..], "retry"),
        (
            &["tasks", "cancel", "--state", "dead", "--room", "lab-1"],
            "cancel",
        ),
    ] {
        let shown = folder.fine(&[args, &["--dry-run"]].concat());
        insta::assert_snapshot!(format!("dry_run_of_{text}"), shown);
    }
    let retry = ["tasks", "retry", "--failure", "refused", "--room", "lab-1"];
    let dry = folder.json(&[&retry[..], &["--dry-run"]].concat());
    assert_eq!(everything(&folder), before);
    let sample = &dry["sample"][0];
    assert_eq!(
        (&sample["state"], &sample["rule"]),
        (&json!("dead"), &json!("tell"))
    );
    let groups = json!([{ "rule": "tell", "failure": "refused", "tasks": 1 }]);
    let counts = |tally: &Value, dry_run: bool| {
        let expected = json!({
            "dry_run": dry_run, "matched": 1, "changed": 1, "groups": groups, "refused": [],
        });
        let mut tally = tally.clone();
        tally.as_object_mut().unwrap().remove("sample");
        assert_eq!(tally, expected);
    };
    counts(&dry, true);
    counts(&folder.json(&retry), false);
    assert_eq!(ids(&folder, "ready"), [sample["id"].as_str().unwrap()]);
    let again = folder.fine(&retry);
    assert_eq!(again, "no task matches\n");
}

#[tokio::test]
async fn dry_run_of_named_tasks_lists_those_it_would_skip() {
    let folder = buried(&["class-1"]).await;
    let before = everything(&folder);
    let nobody = "task_00000000000000000000000000000000";
    let id = &ids(&folder, "dead")[0];
    let ran = folder.run(&["tasks", "retry", id, nobody, id, "--dry-run", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    let tally = document(&ran);
    assert_eq!(
        (&tally["matched"], &tally["changed"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(tally["refused"][0]["example"], nobody);
    assert_eq!(everything(&folder), before);
}

#[tokio::test]
async fn cancelled_tasks_are_retried_only_on_request() {
    let folder = buried(&["class-1", "class-2"]).await;
    folder.fine(&["tasks", "cancel", "--state", "dead", "--room", "class-1"]);
    assert_eq!(
        folder.json(&["tasks", "retry", "--rule", "tell"])["changed"],
        1
    );
    let cancelled = ["tasks", "retry", "--rule", "tell", "--state", "cancelled"];
    assert_eq!(folder.json(&cancelled)["changed"], 1);
    assert_eq!(ids(&folder, "ready").len(), 2);
}

#[tokio::test]
async fn long_bulk_run_prints_its_progress() {
    let folder = Folder::new();
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell"]));
    announce(&folder, &["class-7"; 1_001]).await;
    let ran = folder.run(&["tasks", "cancel", "--room", "class-7", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(document(&ran)["changed"], 1_001);
    let told: Vec<&str> = ran.err.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("500 tasks so far, up to task_"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("1000 tasks so far, up to task_"),
        "{told:?}"
    );
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell", "added"]));
    let ran = folder.run(&["events", "replay", "--room", "class-7", "--json"]);
    assert_eq!(document(&ran)["tasks"], 1_001);
    let told = "1000 events so far, received until 2026-03-02T01:00:00Z\n";
    assert!(ran.err.ends_with(told), "{}", ran.err);
}

#[tokio::test]
async fn retry_by_filter_makes_the_running_service_deliver() {
    let folder = buried(&["class-1", "class-2", "lab-1"]).await;
    let sink = Sink::start([]).await;
    let url = sink.url("/").to_string();
    folder.write("rules.yaml", &announcing(&url, &["tell"]));
    let _served = serve(&folder.path(""));
    let args = ["tasks", "retry", "--room", "lab-1", "--why", "lms is back"];
    assert_eq!(folder.json(&args)["changed"], 1);
    let body: Value = serde_json::from_slice(&sink.received(1).await[0].body).unwrap();
    assert_eq!(body["data"]["room_id"], "lab-1");
    let args = [
        "tasks",
        "retry",
        "--destination",
        "lms",
        "--failure",
        "refused",
    ];
    assert_eq!(folder.json(&args)["changed"], 2);
    sink.received(3).await;
    let shown = folder.json(&["tasks", "show", body["data"]["task_id"].as_str().unwrap()]);
    let by_hand = &shown["interventions"][0];
    assert_eq!(
        (&by_hand["act"], &by_hand["was"]),
        (&json!("retried"), &json!("dead"))
    );
    assert_eq!(by_hand["why"], "lms is back");
}

#[tokio::test]
async fn replay_makes_the_running_service_deliver_what_is_missing_and_once() {
    let folder = Folder::new().with_env("USER", "ada");
    let sink = Sink::start([]).await;
    let url = sink.url("/").to_string();
    folder.write("rules.yaml", &announcing(&url, &["tell"]));
    announce(&folder, &["class-1", "class-2", "lab-1"]).await;
    let _served = serve(&folder.path(""));
    sink.received(3).await;

    folder.write("new.yaml", &announcing(&url, &["tell", "added"]));
    let replay = [
        "events", "replay", "--room", "class-1", "--rules", "new.yaml",
    ];
    insta::assert_snapshot!(folder.fine(&[&replay[..], &["--dry-run"]].concat()));
    let why = ["--why", "added late"];
    let made = folder.json(&[&replay[..], &why].concat());
    assert_eq!((&made["events"], &made["tasks"]), (&json!(1), &json!(1)));
    let received = sink.received(4).await;
    assert_eq!(received[3].target, "/added");
    let again = folder.json(&replay);
    assert_eq!(
        (&again["complete"], &again["tasks"]),
        (&json!(1), &json!(0))
    );

    let body: Value = serde_json::from_slice(&received[3].body).unwrap();
    let (event, task) = (&body["data"]["event_id"], &body["data"]["task_id"]);
    let shown = folder.json(&["events", "show", event.as_str().unwrap()]);
    let by_hand = &shown["interventions"][0];
    assert_eq!(
        (&by_hand["task"], &by_hand["act"]),
        (task, &json!("replayed"))
    );
    assert_eq!(
        (&by_hand["by"], &by_hand["why"]),
        (&json!("ada"), &json!("added late"))
    );
    let text = folder.fine(&["tasks", "show", task.as_str().unwrap()]);
    assert!(text.contains("\nby hand\n  "), "{text}");
    assert!(text.contains("  replayed by ada on rules rev_"), "{text}");
    let text = folder.fine(&["events", "show", event.as_str().unwrap()]);
    assert!(text.contains(": added late\n"), "{text}");
}

#[tokio::test]
async fn full_replay_delivers_again_under_another_id() {
    let folder = Folder::new();
    let sink = Sink::start([]).await;
    let url = sink.url("/").to_string();
    folder.write("rules.yaml", &announcing(&url, &["tell"]));
    announce(&folder, &["class-1"]).await;
    end(&folder, lms(), Transition::Finish).await;
    let event = folder.json(&["events", "list"])[0]["id"].clone();
    let event = event.as_str().unwrap();
    let _served = serve(&folder.path(""));
    let all = ["events", "replay", event, "--all"];
    assert_eq!(folder.json(&all)["tasks"], 1);
    let received = sink.received(1).await;
    let id = |generation| TaskId::derive(event.parse().unwrap(), "tell", generation).webhook_id(0);
    assert_eq!(received[0].header("webhook-id"), id(1));
    assert_ne!(id(0), id(1));
    let shown = folder.json(&["events", "show", event]);
    assert_eq!(shown["tasks"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn replay_that_waits_is_not_made_twice() {
    let folder = Folder::new();
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell"]));
    announce(&folder, &["class-1"]).await;
    let all = ["events", "replay", "--room", "class-1", "--all"];
    let made = folder.json(&all);
    assert_eq!(
        (&made["tasks"], &made["unfinished"]),
        (&json!(0), &json!(1))
    );
    let told = folder.fine(&all);
    let expected = "made 0 tasks of 1 event\n\
                    1 task: not made, as an earlier one of the rule still waits or runs\n";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn events_that_cannot_be_replayed_are_counted_with_the_reason() {
    let folder = Folder::new();
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell"]));
    announce(&folder, &["class-1", "class-2"]).await;
    end(&folder, lms(), Transition::Finish).await;
    let conn = folder.database().sql();
    let gone = conn.execute("DELETE FROM bodies WHERE event = 1", []);
    assert_eq!(gone, Ok(1));
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell", "added"]));
    let ran = folder.run(&[
        "events",
        "replay",
        "--since",
        "2026-01-01T00:00:00Z",
        "--json",
    ]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let made = document(&ran);
    assert_eq!((&made["events"], &made["tasks"]), (&json!(2), &json!(1)));
    let refused = &made["refused"][0];
    assert_eq!(refused["count"], 1);
    let reason = "is too old: --retention has removed its callback's body";
    assert_eq!(refused["reason"], reason);
}

/// A rule with the steps `first`, a tag and `notify`.
fn staged(first: &str, notify: &str, room: &str) -> String {
    format!(
        "buckets: {{ b: {{ store: folder, path: ./b }} }}\n\
         destinations: {{ lms: {{ url: '{NOWHERE}', allow_private: true }}, crm: {{ url: '{NOWHERE}' }} }}\n\
         rules: [{{ name: tell, when: {{ room: '{room}' }}, steps: [{first}{{ tag: {{ tags: {{ a: b }} }} }}, {notify}] }}]\n"
    )
}

const TELL: &str = "{ id: tell, notify: lms }";

/// A folder with a dead task that stopped at its rule's second step.
async fn stopped() -> Folder {
    let folder = Folder::new();
    folder.write("rules.yaml", &staged("", TELL, "*"));
    announce(&folder, &["class-1"]).await;
    let next = NextStep {
        step: 1,
        lane: lms(),
        turn: aftertake::model::plan::Turn::NotNeeded,
        hold: Hold::Leave,
    };
    let bucket = Lane::Bucket("b".into());
    end(&folder, bucket, Transition::Advance(next)).await;
    bury(&folder, FailureKind::Refused).await;
    folder
}

#[tokio::test]
async fn retry_under_current_rules_continues_at_the_same_step_wherever_it_is_now() {
    let folder = stopped().await;
    let first = "{ id: new, notify: crm }, ";
    let tell = "{ id: tell, notify: crm }";
    folder.write("new.yaml", &staged(first, tell, "class-*"));
    let args = [
        "tasks",
        "retry",
        "--rule",
        "tell",
        "--current-rules",
        "new.yaml",
    ];
    assert_eq!(folder.json(&args)["changed"], 1);
    let task = &folder.json(&["tasks", "list"])[0];
    assert_eq!(
        (&task["state"], &task["step"]),
        (&json!("ready"), &json!(2))
    );
    let shown = folder.json(&["tasks", "show", task["id"].as_str().unwrap()]);
    assert_eq!(shown["lane"], "destination/crm");
    let rules = shown["interventions"][0]["rules"].as_str().unwrap();
    assert!(rules.starts_with("rev_"), "{rules}");
}

#[tokio::test]
async fn task_whose_step_or_rule_the_current_rules_lack_is_left_alone_with_the_reason() {
    let folder = stopped().await;
    let before = everything(&folder);
    let none = staged("", TELL, "*").replace("name: tell", "name: other");
    for (rules, reason) in [
        (
            staged("", "{ id: say, notify: lms }", "*"),
            "rule \"tell\" has no step \"tell\" any more",
        ),
        (
            staged("", TELL, "lab-*"),
            "rule \"tell\" does not match any more: room \"class-1\" matches none of lab-*",
        ),
        (none, "the rules file has no rule \"tell\""),
    ] {
        folder.write("new.yaml", &rules);
        for dry_run in [&["--dry-run"][..], &[]] {
            let args = [
                "tasks",
                "retry",
                "--room",
                "class-1",
                "--json",
                "--current-rules",
                "new.yaml",
            ];
            let ran = folder.run(&[&args[..], dry_run].concat());
            assert_eq!(ran.code, Some(1), "{}", ran.err);
            let tally = document(&ran);
            assert_eq!(
                (&tally["matched"], &tally["changed"]),
                (&json!(1), &json!(0))
            );
            let told = format!("cannot take these rules: {reason}");
            assert_eq!(tally["refused"][0]["reason"], told);
        }
    }
    assert_eq!(everything(&folder), before);
    let id = &ids(&folder, "dead")[0];
    let refusal =
        format!("error: {id} cannot take these rules: the rules file has no rule \"tell\"\n");
    folder.refused(
        &["tasks", "retry", id, "--current-rules", "new.yaml"],
        1,
        &refusal,
    );
}

#[tokio::test]
async fn dry_run_does_not_wait_for_writers() {
    let folder = buried(&["class-1"]).await;
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell", "added"]));
    let conn = folder.database().sql();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let retried = folder.json(&["tasks", "retry", "--dry-run"]);
    assert_eq!(retried["changed"], 1);
    let replayed = folder.json(&["events", "replay", "--dry-run"]);
    assert_eq!(replayed["tasks"], 1);
}

#[tokio::test]
async fn run_that_is_stopped_by_the_store_keeps_whole_chunks_and_goes_on_later() {
    let folder = buried(&["class-7"; 501]).await;
    folder.write("rules.yaml", &announcing(NOWHERE, &["tell", "added"]));
    let conn = folder.database().sql();
    for (sql, args, done, field) in [
        (
            "CREATE TRIGGER broken BEFORE UPDATE ON tasks WHEN old.seq >> 16 = 501 BEGIN SELECT raise(abort, 'broken'); END",
            &["tasks", "retry", "--room", "class-7"][..],
            "500 tasks",
            "changed",
        ),
        (
            "CREATE TRIGGER broken BEFORE INSERT ON tasks WHEN new.seq >> 16 = 501 BEGIN SELECT raise(abort, 'broken'); END",
            &["events", "replay", "--room", "class-7"],
            "500 events",
            "tasks",
        ),
    ] {
        conn.execute_batch(sql).unwrap();
        let ran = folder.run(&[args, &["--json"]].concat());
        assert_eq!(ran.code, Some(69), "{}", ran.err);
        assert_eq!(document(&ran)[field], 500);
        let told = format!(
            "error: stopped after {done}; run the same command again for the rest: \
             store aftertake.db: broken\n"
        );
        assert!(ran.err.ends_with(&told), "{}", ran.err);
        conn.execute_batch("DROP TRIGGER broken").unwrap();
        let ran = folder.run(&[args, &["--json"]].concat());
        assert_eq!((ran.code, &document(&ran)[field]), (Some(0), &json!(1)));
    }
    let ready = folder.json(&["tasks", "list", "--state", "ready", "--limit", "2000"]);
    assert_eq!(ready.as_array().unwrap().len(), 1_002);
}

#[tokio::test]
async fn running_service_carries_out_the_current_rules_of_a_retried_task() {
    let folder = buried(&["class-1"]).await;
    let sink = Sink::start([]).await;
    let old = announcing(sink.url("/").as_str(), &["tell"]);
    folder.write("rules.yaml", &old);
    let first = "steps: [{ id: new, notify: { destination: lms, path: '/corrected' } }, ";
    folder.write("new.yaml", &old.replace("steps: [", first));
    let _served = serve(&folder.path(""));
    let args = [
        "tasks",
        "retry",
        "--rule",
        "tell",
        "--current-rules",
        "new.yaml",
    ];
    assert_eq!(folder.json(&args)["changed"], 1);
    let received = sink.received(2).await;
    let targets = received.iter().map(|one| one.target.as_str());
    assert_eq!(targets.collect::<Vec<_>>(), ["/corrected", "/tell"]);
}

#[tokio::test]
async fn only_the_named_rule_is_replayed() {
    let folder = buried(&["class-1"]).await;
    folder.write(
        "rules.yaml",
        &announcing(NOWHERE, &["tell", "added", "other"]),
    );
    let made = folder.json(&["events", "replay", "--rule", "added"]);
    let groups = json!([{ "rule": "added", "tasks": 1, "dead": 0 }]);
    assert_eq!(made["groups"], groups);
}

#[tokio::test]
async fn reason_of_current_rules_hides_what_came_from_the_environment() {
    let folder = buried(&["class-1"]).await.with_env("ROOM", "s3cret-room");
    let rules = announcing(NOWHERE, &["tell"]);
    let narrow = "name: tell, when: { room: '${ROOM}' },";
    folder.write("new.yaml", &rules.replace("name: tell,", narrow));
    let args = [
        "tasks",
        "retry",
        "--rule",
        "tell",
        "--current-rules",
        "new.yaml",
    ];
    let ran = folder.run(&args);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.contains("matches none of ***"), "{}", ran.out);
}

#[tokio::test]
async fn planned_rules_that_can_no_longer_be_read_are_named() {
    let folder = stopped().await;
    let conn = folder.database().sql();
    let old = "UPDATE revisions SET text = replace(text, '\"tell\"', '\"${GONE}\"')";
    assert_eq!(conn.execute(old, []), Ok(1));
    let args = [
        "tasks",
        "retry",
        "--rule",
        "tell",
        "--current-rules",
        "rules.yaml",
    ];
    let ran = folder.run(&args);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let rule = "rule \"tell\" of rev_";
    assert!(ran.out.contains(rule), "{}", ran.out);
    assert!(ran.out.contains("cannot be read: "), "{}", ran.out);
    assert!(ran.out.contains("GONE"), "{}", ran.out);
}
