//! SQLite's own: pages, rows and versions of the store's file.

use std::path::Path;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::moves::{Move, MovePhase, Target};
use aftertake::model::plan::Turn;
use aftertake::model::transition::Transition;
use aftertake::store::operator::Operator;
use aftertake::store::sqlite::{OpenError, SqliteOperator, SqliteStore};
use aftertake::store::{JournalEntry, LaneRoom, Pruned, Retention, Store};

use crate::store_contract::{
    NOW, PRESENT, arrival, bucket, end, lane, moved, notify, one, place, prune_after, ran,
};
use crate::store_history::{DAY, prune};
use crate::support::database::{open, plain};
use crate::support::operator::OneTask;

fn rows(path: &Path, table: &str) -> usize {
    let conn = rusqlite::Connection::open(path).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn full_disk_refuses_and_everything_works_again_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("a.db"));
    store.record(notify("before", 1), vec![]).await.unwrap();
    store.limit_pages(1).await.unwrap();
    let mut stored = 1;
    let mut number = 0;
    let refused = loop {
        number += 1;
        match store
            .record(notify(&format!("{number:01000}"), 1), vec![])
            .await
        {
            Ok(_) => stored += 1,
            Err(refused) => break refused.to_string(),
        }
    };
    assert!(refused.contains("full"), "{refused}");
    assert_eq!(store.figures(NOW).await.unwrap().ready, stored);
    store.limit_pages(1_000_000).await.unwrap();
    store.record(notify("after", 1), vec![]).await.unwrap();
    assert_eq!(store.figures(NOW).await.unwrap().ready, stored + 1);
}

#[tokio::test]
async fn store_is_served_once_and_never_by_an_older_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    let second = SqliteStore::open(&path, plain());
    assert!(matches!(second, Err(OpenError::Served(_))));
    drop(store);
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let newer = SqliteStore::open(&path, plain());
    assert!(matches!(newer, Err(OpenError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn event_with_many_moves_is_forgotten_in_small_steps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    let rules = [("move", bucket(), Turn::Needed)];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let moves = (0..5_000).map(|number| moved(number, MovePhase::Moved));
    let manifest = JournalEntry::Manifest(moves.collect());
    store.journal(&first, manifest, PRESENT).await.unwrap();
    end(&store, first, Transition::Finish).await;
    store.record(notify("newest", 2), vec![]).await.unwrap();

    let keep = Retention {
        history: DAY,
        dedup_horizon: DAY,
    };
    let first = prune_after(&store, keep, DAY * 2).await;
    assert!(first.more);
    assert!(rows(&path, "moves") >= 3_000);
    assert_eq!(
        (first.tasks, first.events),
        (0, 0),
        "they stand for the rest"
    );
    let rest = prune(&store).await;
    assert_eq!(rest.iter().map(|call| call.events).sum::<usize>(), 1);
    assert_eq!((rows(&path, "moves"), rows(&path, "events")), (0, 1));
}

#[tokio::test]
async fn sweep_that_finds_nothing_to_forget_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    for number in 1..4 {
        store.record(notify("k", number), vec![]).await.unwrap();
        let claimed = one(&store, lane(), NOW).await;
        end(&store, claimed, Transition::Finish).await;
    }
    let keep = Retention {
        history: DAY,
        dedup_horizon: DAY * 9,
    };
    let first = prune_after(&store, keep, DAY * 2).await;
    assert_eq!((first.bodies, first.events), (2, 0));
    let other = rusqlite::Connection::open(&path).unwrap();
    let version = || -> i64 {
        let version = other.pragma_query_value(None, "data_version", |row| row.get(0));
        version.unwrap()
    };
    let before = version();
    let second = store.prune(keep, ran(DAY * 2)).await.unwrap();
    assert_eq!((second, version()), (Pruned::default(), before));
}

#[tokio::test]
async fn stored_body_is_parsed_as_that_of_its_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path);
    let arrival = notify("k", 1);
    let id = arrival.event.id;
    store.record(arrival.clone(), vec![]).await.unwrap();
    let operator = SqliteOperator::open(&path).unwrap();
    let detail = operator.event(id).unwrap().unwrap();
    let read = detail.event.unwrap();
    assert_eq!(read.recorder, arrival.event.recorder);
    assert_eq!(read.fields, arrival.event.fields);

    // As a later version with another recorder would store it.
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE events SET recorder = 7", []).unwrap();
    let refused = operator.event(id).unwrap_err().to_string();
    assert!(refused.contains("recorder 7 is not known"), "{refused}");
    let room = vec![LaneRoom::new(lane(), 1)];
    let refused = store.claim(room, NOW).await.unwrap_err().to_string();
    assert!(refused.contains("recorder 7 is not known"), "{refused}");
}

/// As long as a task may still fail because of it.
#[tokio::test]
async fn what_has_replaced_a_recording_is_forgotten_after_its_last_task() {
    for is_dead in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = open(&path);
        let mut operator = SqliteOperator::open(&path).unwrap();
        let rules = [("archive", bucket(), Turn::Needed)];
        store.record(arrival("a", 1, &rules), vec![]).await.unwrap();
        let first = one(&store, bucket(), NOW).await;
        let id = first.task().id;
        end(&store, first, Transition::Cancel).await;
        store.record(arrival("b", 2, &rules), vec![]).await.unwrap();
        let mover = one(&store, bucket(), NOW).await;
        let by = mover.task().id;
        let onto = |phase| {
            vec![Move {
                from: place("b"),
                to: place("a"),
                target: Target::Replace,
                ..moved(0, phase)
            }]
        };
        for entry in [
            JournalEntry::Manifest(onto(MovePhase::Planned)),
            JournalEntry::Progress(onto(MovePhase::Moved)),
            JournalEntry::Commit(place("a")),
        ] {
            store.journal(&mover, entry, PRESENT).await.unwrap();
        }
        end(&store, mover, Transition::Finish).await;
        if is_dead {
            operator.retry_one(id, NOW).unwrap();
            let again = one(&store, bucket(), NOW).await;
            let why = Failure::new(FailureKind::Missing, "replaced");
            end(&store, again, Transition::Bury { why, notice: None }).await;
        }
        store.record(notify("z", 3), vec![]).await.unwrap();
        let newest = one(&store, lane(), NOW).await;
        end(&store, newest, Transition::Finish).await;

        prune(&store).await;
        let kept = usize::from(is_dead);
        assert_eq!(rows(&path, "replaced"), kept, "{is_dead}");
        assert_eq!(rows(&path, "events"), kept + 1, "{is_dead}");
        if is_dead {
            let shown = operator.task(id).unwrap().unwrap().replaced;
            assert_eq!(shown.unwrap().by, by);
            operator.cancel_one(id, NOW).unwrap();
            prune(&store).await;
            assert_eq!(rows(&path, "replaced"), 0);
        }
    }
}
