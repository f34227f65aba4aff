//! `tasks`, `events` and `backup` on a store that the service left behind.

use std::sync::Arc;
use std::time::Duration;

use aftertake::model::attempt::{AttemptRecord, Exchange, Outcome};
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::moment::{Moment, Present};
use aftertake::model::moves::{Move, MovePhase, Part, Source, Target};
use aftertake::model::plan::Plan;
use aftertake::model::recording::Place;
use aftertake::model::task::{Lane, Outputs, RevisionId};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::rules::file::parse;
use aftertake::rules::plan::plan;
use aftertake::store::{Arrival, Claim, JournalEntry, LaneRoom, Settlement, Store};
use serde_json::{Value, json};

use super::endings::served;
use super::{Folder, SAMPLE};
use crate::support::event;

/// When everything happened: 2026-03-02T01:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

const TASK: &str = "task_6089239abc2e2142ba02b1e9e028c8b7";
const EVENT: &str = "evt_6089239abc2e2142601366dba4427b1a";
const NOBODY: &str = "task_00000000000000000000000000000000";

/// A folder whose store holds the sample, planned under the example's rules.
async fn stored() -> Folder {
    let folder = Folder::new();
    record(&folder).await;
    folder
}

async fn record(folder: &Folder) {
    let store = served(folder);
    let text = std::fs::read_to_string(folder.path("rules.yaml")).unwrap();
    let env = std::collections::BTreeMap::new();
    let rules = parse("rules.yaml", &text, &folder.path(""), &env)
        .unwrap()
        .rules;
    let event = event(SAMPLE, NOW);
    let arrival = Arrival {
        plan: plan(&rules, &event, 0),
        event: Arc::new(event),
    };
    let kept = store.keep_revision(rules.revision, rules.text);
    kept.await.unwrap();
    store.record(arrival, Vec::new()).await.unwrap();
    let known = vec![Lane::Bucket("abc-rtc-bucket2".into())];
    store.mark_unknown_lanes(known).await.unwrap();
}

/// A folder whose store holds the sample's task, dead after a half-done rename.
async fn buried() -> Folder {
    let folder = stored().await;
    let store = served(&folder);
    let room = LaneRoom::new(Lane::Bucket("abc-rtc-bucket2".into()), 1);
    let mut claims = store.claim(vec![room], NOW).await.unwrap().claims;
    let claim: Claim = claims.pop().unwrap();
    let moves = JournalEntry::Manifest(vec![half_moved()]);
    let present = Present {
        time: NOW,
        moment: Moment::default(),
    };
    store.journal(&claim, moves, present).await.unwrap();
    let why = Failure::new(
        FailureKind::Conflict,
        "b/to/a.ts exists;\u{1b}[2J remove it",
    );
    let settlement = Settlement {
        transition: Transition::Bury {
            why: why.clone(),
            notice: None,
        },
        attempt: Some(attempt(why)),
        outputs: Outputs::new(),
        leaves: None,
    };
    store.apply(claim, settlement, NOW).await.unwrap();
    folder
}

fn half_moved() -> Move {
    let place = |key: &str| Place {
        bucket: "abc-rtc-bucket2".into(),
        key: key.into(),
    };
    Move {
        number: 0,
        from: place("from/a.ts"),
        to: place("to/a.ts"),
        part: Part::Segment,
        size: 7,
        etag: "e".into(),
        target: Target::Absent,
        target_etag: None,
        upload: None,
        is_marked: false,
        source: Source::Goes,
        phase: MovePhase::Undone,
    }
}

fn attempt(why: Failure) -> AttemptRecord {
    AttemptRecord {
        step: 0,
        step_id: "rename".into(),
        action: "rename".into(),
        started: NOW,
        took: Duration::from_millis(120),
        outcome: Outcome::Failed(why),
        exchange: Some(Exchange {
            method: "PUT".into(),
            url: "https://bucket.example/to/a.ts".into(),
            status: Some(409),
            request_id: Some("r-1".into()),
            unsent: false,
            sent_length: 2,
            sent_digest: "d1".into(),
            sent: Some("{}".into()),
            answer: Some("<Error>\n  <Code>Exists</Code>\n</Error>".into()),
        }),
    }
}

#[tokio::test]
async fn tasks_are_listed_as_a_table_and_as_a_document() {
    let folder = stored().await;
    insta::assert_snapshot!(folder.fine(&["tasks", "list"]));
    let task = json!({
        "id": TASK, "event_id": EVENT, "rule": "archive", "room": "room01", "state": "ready", "step": 0,
        "tries": 0, "due": "2026-03-02T01:00:00Z", "waits": null, "failure": null,
    });
    assert_eq!(folder.json(&["tasks", "list"]), json!([task]));
    for (filter, found) in [
        (["--state", "ready"], true),
        (["--state", "dead"], false),
        (["--rule", "archive"], true),
        (["--rule", "other"], false),
        (["--room", "room01"], true),
        (["--room", "room02"], false),
    ] {
        let listed = folder.json(&[&["tasks", "list"][..], &filter].concat());
        let expected = if found { json!([task]) } else { json!([]) };
        assert_eq!(listed, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn list_that_was_cut_says_so() {
    let folder = stored().await;
    let ran = folder.run(&["tasks", "list", "--limit", "0", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "[]\n"));
    assert_eq!(ran.err, "0 shown; --limit shows more\n");
    assert_eq!(folder.run(&["tasks", "list", "--limit", "1"]).err, "");
}

#[tokio::test]
async fn list_continues_before_the_last_row_shown() {
    let folder = stored().await;
    let store = served(&folder);
    for object in ["a.mp4", "b.mp4"] {
        let body = format!(
            r#"{{"event_type":"RECORD_FILE_COMPLETE","obs_bucket":"b","obs_object":"{object}","end_time":"1"}}"#
        );
        let event = Arc::new(event(body, NOW));
        let plan = Plan {
            revision: RevisionId::of("none"),
            tasks: Vec::new(),
        };
        let arrival = Arrival { event, plan };
        store.record(arrival, Vec::new()).await.unwrap();
    }
    drop(store);
    let all = folder.json(&["events", "list"]);
    let id = |number: usize| all[number]["id"].as_str().unwrap();
    let ran = folder.run(&["events", "list", "--limit", "1", "--json"]);
    let shown = format!(
        "1 shown; --limit shows more, --before {} older ones\n",
        id(0)
    );
    assert_eq!(ran.err, shown);
    let rest = folder.json(&["events", "list", "--before", id(0)]);
    assert_eq!(rest, json!([all[1], all[2]]));
    assert_eq!(
        folder.json(&["events", "list", "--before", id(2)]),
        json!([])
    );
    assert_eq!(folder.json(&["tasks", "list", "--before", TASK]), json!([]));
    let unknown = format!("error: {NOBODY} is not in the store\n");
    folder.refused(&["tasks", "list", "--before", NOBODY], 1, &unknown);
}

#[tokio::test]
async fn dead_task_tells_all_that_happened_and_why() {
    let folder = buried().await;
    insta::assert_snapshot!(folder.fine(&["tasks", "show", TASK]));
    let shown = folder.json(&["tasks", "show", TASK]);
    assert_eq!(shown["state"], "dead");
    assert_eq!(shown["failure"]["kind"], "conflict");
    assert_eq!(shown["attempts"][0]["took_ms"], 120);
    assert_eq!(shown["attempts"][0]["exchange"]["status"], 409);
    assert_eq!(shown["moves"][0]["phase"], "undone");
    assert_eq!(shown["place"]["bucket"], "abc-rtc-bucket2");
}

#[tokio::test]
async fn stopped_task_is_retried_once() {
    let folder = buried().await;
    let ready = format!("{TASK} is ready again\n");
    assert_eq!(folder.fine(&["tasks", "retry", TASK]), ready);
    let listed = folder.json(&["tasks", "list"]);
    assert_eq!(
        (&listed[0]["state"], &listed[0]["tries"]),
        (&json!("ready"), &json!(0))
    );

    let refusal = format!(
        "error: {TASK} is ready already; `aftertake tasks show` says what it waits for\n\
         {NOBODY} is not in the store; `aftertake tasks list` shows those that are\n"
    );
    folder.refused(&["tasks", "retry", TASK, NOBODY], 1, &refusal);
}

#[tokio::test]
async fn task_is_cancelled_once_and_every_task_is_answered_for() {
    let folder = stored().await;
    let ran = folder.run(&["tasks", "cancel", TASK, NOBODY, "--json"]);
    assert_eq!(ran.code, Some(1));
    let changes: Value = serde_json::from_str(&ran.out).unwrap();
    let told = |number: usize| {
        (
            changes[number]["changed"].clone(),
            changes[number]["state"].clone(),
        )
    };
    assert_eq!(told(0), (json!(true), json!("cancelled")));
    assert_eq!(told(1), (json!(false), Value::Null));
    let refusal = format!("error: {TASK} is cancelled already\n");
    folder.refused(&["tasks", "cancel", TASK], 1, &refusal);
    assert_eq!(
        folder.fine(&["tasks", "retry", TASK]),
        format!("{TASK} is ready again\n")
    );
}

#[tokio::test]
async fn event_tells_its_fields_its_tasks_and_why_not_the_other_rules() {
    let folder = stored().await;
    insta::assert_snapshot!(folder.fine(&["events", "show", EVENT]));
    let shown = folder.json(&["events", "show", EVENT]);
    assert_eq!(shown["fields"]["file_size"], 26_254_952);
    assert_eq!(shown["tasks"][0]["id"], TASK);
    assert_eq!(shown["skipped"][0]["rule"], "job-over");
    assert_eq!(shown["body"], SAMPLE);
    assert_eq!(
        folder.json(&["events", "list"]),
        json!([{
            "id": EVENT, "received": "2026-03-02T01:00:00Z", "event_type": "RECORD_FILE_COMPLETE", "room": "room01",
        }])
    );
    assert!(folder.fine(&["events", "list"]).contains("room01"));
}

#[tokio::test]
async fn id_that_is_not_in_the_store_is_an_error_with_the_way_out() {
    let folder = stored().await;
    let task = "task_00000000000000000000000000000000 is not in sqlite:aftertake.db; \
                `aftertake tasks list` shows those that are";
    folder.refused(&["tasks", "show", NOBODY], 1, &format!("error: {task}\n"));
    let event = "evt_00000000000000000000000000000000";
    let refusal = format!(
        "error: {event} is not in sqlite:aftertake.db; `aftertake events list` shows those that are\n"
    );
    folder.refused(&["events", "show", event], 1, &refusal);
}

#[test]
fn lost_callback_is_entered_once() {
    let folder = Folder::new();
    drop(served(&folder));
    let args = ["events", "add", "callback.json"];
    let added = folder.json(&args);
    assert_eq!(added["new"], true);
    assert_eq!(added["id"], EVENT);
    assert_eq!(added["tasks"][0]["id"], TASK);
    assert_eq!(added["skipped"][0]["rule"], "job-over");
    let again = folder.json(&args);
    assert_eq!(again["new"], false);
    assert_eq!(again["received"], added["received"]);
    let told = folder.fine(&args);
    assert!(
        told.starts_with(&format!("stored before; nothing changed: {EVENT}  ")),
        "{told}"
    );
    assert_eq!(folder.json(&["tasks", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn callback_from_an_editor_or_an_archive_is_taken_or_refused_by_name() {
    let folder = Folder::new();
    drop(served(&folder));
    folder.write("marked.json", &format!("\u{feff}{SAMPLE}"));
    let added = folder.json(&["events", "add", "marked.json"]);
    assert_eq!(added["id"], EVENT);
    std::fs::write(folder.path("packed.json"), b"\x1f\x8b\x08\0").unwrap();
    let refusal = "error: read event file packed.json: body is compressed (gzip); it has to come without compression\n";
    folder.refused(&["events", "add", "packed.json"], 65, refusal);
}

#[test]
fn reasons_hide_values_of_the_environment_and_need_them() {
    let mut folder = Folder::new().with_env("ROOM", "s3cret-room");
    drop(served(&folder));
    folder.write(
        "rules.yaml",
        "destinations: { lms: { url: 'https://lms.example.com' } }\n\
         rules: [{ name: r, when: { room: '${ROOM}' }, steps: [{ notify: lms }] }]\n",
    );
    folder.fine(&["events", "add", "callback.json"]);
    let shown = folder.json(&["events", "show", EVENT]);
    assert_eq!(
        shown["skipped"][0]["reason"],
        "room \"room01\" matches none of ***"
    );
    folder.env.clear();
    let shown = folder.json(&["events", "show", EVENT]);
    let unknown = "cannot be read today: the variable ROOM is not set; set ROOM or ROOM_FILE, or give a default: `${ROOM:-…}`";
    assert_eq!(shown["skipped"][0]["reason"], unknown);
}

#[tokio::test]
async fn backup_is_a_store_of_its_own_and_never_overwrites() {
    let folder = stored().await;
    let _served = served(&folder);
    let copied = folder.json(&["backup", "copy.db"]);
    assert_eq!(copied["file"], "copy.db");
    let store = ["tasks", "list", "--store"];
    assert_eq!(
        folder.json(&[&store[..], &["sqlite:copy.db"]].concat()),
        folder.json(&[&store[..], &["sqlite:aftertake.db"]].concat()),
    );
    let refusal = "error: copy.db exists already; name a file that does not\n";
    folder.refused(&["backup", "copy.db"], 1, refusal);
}

#[tokio::test]
async fn destination_that_nothing_names_is_neither_paused_nor_resumed() {
    let folder = stored().await.with_env("USER", "ada");
    for command in ["pause", "resume"] {
        let refusal = "error: destination/nobody is not in the store; `aftertake destinations list` shows those that are\n";
        folder.refused(&["destinations", command, "nobody"], 1, refusal);
    }
    let paused = "bucket/abc-rtc-bucket2 is paused\n";
    let pause = ["destinations", "pause", "bucket/abc-rtc-bucket2"];
    assert_eq!(folder.fine(&pause), paused);
    assert_eq!(folder.fine(&pause), paused.replace('\n', " already\n"));
    let listed = folder.json(&["destinations", "list"]);
    assert_eq!(listed[0]["name"], "bucket/abc-rtc-bucket2");
    assert_eq!(listed[0]["waiting"], 1);
    assert_eq!(listed[0]["why"], "ada paused it");
}
