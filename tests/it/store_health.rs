//! SQLite's own: whether a store can take a callback, and the reason if not.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aftertake::model::task::RevisionId;
use aftertake::store::sqlite::{AroundCommit, SqliteStore};
use aftertake::store::{Store, Unavailable};

use crate::support::database::open;
use crate::support::in_time;

/// Writes a row as large as a callback.
async fn write(store: &SqliteStore, name: &str) -> Result<(), Unavailable> {
    let text = name.repeat(64 * 1024 / name.len());
    store.keep_revision(RevisionId::of(name), text).await
}

#[tokio::test]
async fn full_store_is_not_ready_until_there_is_room_though_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = open(&path);
    for name in ["a", "b"] {
        store.ready().await.unwrap();
        // Uses up what the probe left free.
        write(&store, name).await.unwrap();
        store.limit_pages(1).await.unwrap();
        let full = store.ready().await.unwrap_err().to_string();
        let shown = format!("store {}: database or disk is full", path.display());
        assert_eq!(full, shown);
        store.limit_pages(1_000_000).await.unwrap();
    }
    store.ready().await.unwrap();
}

#[tokio::test]
async fn damaged_store_is_not_ready_although_other_writes_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(open(&path));
    let conn = rusqlite::Connection::open(&path).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'revisions'";
    let page: u64 = conn.query_row(root, [], |row| row.get(0)).unwrap();
    drop(conn);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 4096], (page - 1) * 4096).unwrap();

    let store = open(&path);
    store.ready().await.unwrap();
    let refused = write(&store, "a").await.unwrap_err();
    assert!(refused.reason.contains("malformed"), "{refused}");
    for _ in 0..2 {
        let unready = store.ready().await.unwrap_err();
        assert_eq!(unready.reason, refused.reason);
    }
}

#[tokio::test]
async fn store_with_a_crashed_writer_fails_every_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let crashes: AroundCommit = Arc::new(|_, commit| {
        commit();
        panic!("planted");
    });
    let store = SqliteStore::open(&path, crashes).unwrap();
    let refused = write(&store, "a").await.unwrap_err();
    let ended = in_time(store.ended()).await;
    let unready = store.ready().await.unwrap_err();
    for error in [refused, ended, unready] {
        let said = "the writer has stopped; restart the service";
        assert_eq!(error.reason, said);
    }
}
