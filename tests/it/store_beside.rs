//! SQLite's own: commands next to a running service leave it write access and let the WAL stay small.

use std::cell::RefCell;
use std::path::Path;

use aftertake::model::event::Event;
use aftertake::model::id::TaskId;
use aftertake::model::intervention::{By, Mode};
use aftertake::model::plan::{Plan, Turn};
use aftertake::model::transition::Transition;
use aftertake::store::lists::{EventFilter, Page, TaskFilter};
use aftertake::store::operator::{CHUNK, Operator, Replay, ReplayOutcome, Replayed, Scope};
use aftertake::store::sqlite::{SqliteOperator, SqliteStore};
use aftertake::store::{Recorded, Store};
use futures_util::FutureExt;
use rusqlite::Connection;

use crate::store_contract::{NOW, arrival, claim, end, lane, notify};
use crate::support::database::open;

fn operator(path: &Path) -> SqliteOperator {
    SqliteOperator::open(path).unwrap()
}

/// Plans one task that notifies.
fn announcing(event: &Event, generation: u32) -> Plan {
    let mut plan = notify("any", 1).plan;
    plan.tasks[0].id = TaskId::derive(event.id, "announce", generation);
    plan.tasks[0].generation = generation;
    plan
}

fn everything(plan: &dyn Fn(&Event, u32) -> Plan) -> Replay<'_> {
    Replay {
        scope: Scope::All,
        plan,
        rules: "rules",
    }
}

fn generations(outcomes: &[ReplayOutcome]) -> Vec<Vec<u32>> {
    let of = |outcome: &ReplayOutcome| match outcome {
        ReplayOutcome::Planned(Replayed { tasks, .. }) => {
            tasks.iter().map(|task| task.generation).collect()
        }
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(of).collect()
}

#[tokio::test]
async fn service_writes_while_a_replay_plans() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    // Without a writer thread: a call completes in its first poll.
    let store = SqliteStore::open_here(&path).unwrap();
    store.record(notify("k", 1), vec![]).await.unwrap();
    for claim in claim(&store, lane(), NOW).await {
        end(&store, claim, Transition::Finish).await;
    }
    let stored = RefCell::new(0);
    let plan = |event: &Event, generation| {
        let key = format!("meanwhile {}", stored.borrow());
        let recorded = store.record(notify(&key, 1), vec![]).now_or_never();
        assert!(
            matches!(recorded, Some(Ok(Recorded::New { .. }))),
            "{recorded:?}"
        );
        *stored.borrow_mut() += 1;
        announcing(event, generation)
    };
    let event = notify("k", 1).event.id;
    let made = operator(&path).replay(
        &[event],
        &everything(&plan),
        Mode::Real(&By::default()),
        NOW,
    );
    assert_eq!(generations(&made.unwrap()), [[1]]);
    assert_eq!(*stored.borrow(), 1);
}

#[tokio::test]
async fn replay_looks_again_at_an_event_that_changed_while_it_was_planned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    store.record(notify("k", 1), vec![]).await.unwrap();
    for claim in claim(&store, lane(), NOW).await {
        end(&store, claim, Transition::Finish).await;
    }
    let event = notify("k", 1).event.id;
    let other = RefCell::new(Some(operator(&path)));
    let plan = |event: &Event, generation| {
        // Another person acts first, once.
        if let Some(mut other) = other.borrow_mut().take() {
            let plan = everything(&announcing);
            other
                .replay(&[event.id], &plan, Mode::Real(&By::default()), NOW)
                .unwrap();
        }
        announcing(event, generation)
    };
    let made = operator(&path).replay(
        &[event],
        &everything(&plan),
        Mode::Real(&By::default()),
        NOW,
    );
    assert_eq!(generations(&made.unwrap()), [[0; 0]]);
    assert_eq!(claim(&store, lane(), NOW).await.len(), 1);
}

/// Stores this many events with a task each, copies of the existing one.
fn multiply(path: &Path, count: i64) {
    let conn = Connection::open(path).unwrap();
    let events = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                  INSERT INTO events SELECT 1 + i, randomblob(16), received, event_type, \
                  iif(i % ?2 = 0, 'rare', room), revision, recorder FROM events, n WHERE seq = 1";
    conn.execute(events, (count, count / 2)).unwrap();
    let columns = "rule, generation, step, tries, attempt, since, lane, needs_turn, state, due";
    let tasks = format!(
        "INSERT INTO tasks (seq, id, revision, {columns}) SELECT e.seq << 16, randomblob(16), e.revision, {columns} \
         FROM tasks t, events e WHERE t.seq = 1 << 16 AND e.seq > 1"
    );
    conn.execute(&tasks, []).unwrap();
}

#[tokio::test]
async fn few_matches_among_many_rows_are_found_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    let rules = [("announce", lane(), Turn::NotNeeded)];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    multiply(&path, 18_000);
    let operator = operator(&path);
    let rare = Some("rare".to_owned());
    let of_room = TaskFilter {
        room: rare.clone(),
        ..TaskFilter::default()
    };
    let newest = operator.tasks(&of_room, Page::newest(10)).unwrap();
    assert_eq!(newest.len(), 2);
    assert_eq!(
        operator.tasks(&of_room, Page::newest(1)).unwrap(),
        newest[..1]
    );
    let in_state = TaskFilter {
        states: vec!["ready".into()],
        ..of_room.clone()
    };
    assert_eq!(operator.tasks(&in_state, Page::newest(10)).unwrap(), newest);
    for states in [&["ready"][..], &["ready", "dead"]] {
        let filter = TaskFilter {
            states: states.iter().copied().map(str::to_owned).collect(),
            ..of_room.clone()
        };
        let mut walk = operator.walk_tasks(filter).unwrap();
        let mut oldest = operator.next_tasks(&mut walk).unwrap();
        assert!(operator.next_tasks(&mut walk).unwrap().is_empty());
        oldest.reverse();
        assert_eq!(oldest, newest);
    }
    let events = EventFilter {
        room: rare.clone(),
        ..EventFilter::default()
    };
    let shown = operator.events(&events, Page::newest(10)).unwrap();
    let ids = |rows: &[_]| {
        rows.iter()
            .map(|row: &aftertake::store::lists::EventRow| row.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(&shown),
        newest.iter().map(|row| row.event).collect::<Vec<_>>()
    );
    let mut walk = operator.walk_events(events).unwrap();
    let mut oldest = operator.next_events(&mut walk).unwrap();
    oldest.reverse();
    assert_eq!(oldest, shown);

    // A walk visits each task once, in full chunks.
    let mut walk = operator.walk_tasks(TaskFilter::default()).unwrap();
    let mut met = 0;
    loop {
        match operator.next_tasks(&mut walk).unwrap().len() {
            0 => break,
            CHUNK => met += CHUNK,
            rest => {
                met += rest;
                assert_eq!(met, 18_001);
            }
        }
    }
    assert_eq!(met, 18_001);
}

#[tokio::test]
async fn wal_that_grew_during_a_read_shrinks_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    let log = || {
        std::fs::metadata(dir.path().join("a.db-wal"))
            .unwrap()
            .len()
    };
    let reader = Connection::open(&path).unwrap();
    let count = "SELECT count(*) FROM events";
    reader.execute_batch("BEGIN").unwrap();
    reader
        .query_row(count, [], |row| row.get::<_, i64>(0))
        .unwrap();
    let body = "x".repeat(1_000_000);
    let mut number = 0;
    while log() < 40_000_000 {
        number += 1;
        store
            .record(notify(&format!("{number}{body}"), 1), vec![])
            .await
            .unwrap();
    }
    reader.execute_batch("COMMIT").unwrap();
    for number in 0..3 {
        store
            .record(notify(&format!("after {number}"), 1), vec![])
            .await
            .unwrap();
    }
    assert!(log() <= 17_000_000, "{} bytes", log());
}
