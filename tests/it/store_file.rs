//! SQLite's own: the store as a file, recognizing it, and its copies.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aftertake::store::Store;
use aftertake::store::sqlite::{OpenError, SqliteOperator, SqliteStore};
use rusqlite::Connection;

use crate::store_contract::{NOW, notify};
use crate::support::database::{open, plain};

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Another program's database, which crashed before its WAL was checkpointed.
fn crashed_database(at: &Path) {
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("other.db");
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "PRAGMA journal_mode = wal; CREATE TABLE notes (text); INSERT INTO notes VALUES ('x')",
        )
        .unwrap();
    let log = |path: &Path| path.with_extension("db-wal");
    fs::copy(&path, at).unwrap();
    fs::copy(log(&path), log(at)).unwrap();
    drop(other);
}

#[test]
fn file_of_something_else_is_refused_and_not_touched() {
    for (name, make) in [
        ("database", crashed_database as fn(&Path)),
        ("text", |at| fs::write(at, "rules:\n".repeat(1000)).unwrap()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        make(&path);
        let before = files(dir.path());
        let served = SqliteStore::open(&path, plain());
        assert!(matches!(served, Err(OpenError::Foreign(_))), "{name}");
        let beside = SqliteOperator::open(&path);
        assert!(matches!(beside, Err(OpenError::Foreign(_))), "{name}");
        assert!(files(dir.path()) == before, "{name}");
    }
}

#[tokio::test]
async fn empty_file_becomes_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a # b%20?.db");
    fs::write(&path, "").unwrap();
    open(&path).record(notify("k", 1), vec![]).await.unwrap();
    assert_eq!(open(&path).figures(NOW).await.unwrap().ready, 1);
}

#[tokio::test]
async fn store_that_was_killed_at_its_start_is_still_recognized() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("a.db"), dir.path().join("copy.db"));
    let store = open(&path);
    store.record(notify("k", 1), vec![]).await.unwrap();
    for log in ["", "-wal"] {
        let named = |path: &Path| format!("{}{log}", path.display());
        fs::copy(named(&path), named(&copy)).unwrap();
    }
    assert_eq!(open(&copy).figures(NOW).await.unwrap().ready, 1);
}

/// The first page contains the file's length and is written first.
#[tokio::test]
async fn store_that_was_killed_during_a_checkpoint_is_still_recognized() {
    let dir = tempfile::tempdir().unwrap();
    let (path, log) = (dir.path().join("a.db"), dir.path().join("a.db-wal"));
    let store = open(&path);
    let length = fs::metadata(&path).unwrap().len();
    for number in 0..100 {
        store.record(notify("k", number), vec![]).await.unwrap();
    }
    let logged = fs::read(&log).unwrap();
    drop(store);
    let file = fs::File::options().write(true).open(&path).unwrap();
    assert!(file.metadata().unwrap().len() > length);
    file.set_len(length).unwrap();
    fs::write(&log, logged).unwrap();
    assert_eq!(open(&path).figures(NOW).await.unwrap().ready, 100);
}

/// Copies an open store's files as a crash leaves them; returns the copy's path.
fn crashed(path: &Path) -> std::path::PathBuf {
    let copy = path.with_file_name("crashed.db");
    for end in ["", "-wal"] {
        let named = |path: &Path| format!("{}{end}", path.display());
        fs::copy(named(path), named(&copy)).unwrap();
    }
    copy
}

#[tokio::test]
async fn store_that_other_programs_wrote_to_is_recognized_with_its_wal() {
    for sql in [
        "VACUUM",
        "PRAGMA wal_checkpoint(RESTART); VACUUM",
        "PRAGMA wal_checkpoint(RESTART); CREATE INDEX mine ON events (received)",
        "PRAGMA wal_checkpoint(RESTART); DELETE FROM bodies",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = open(&path);
        store.record(notify("k", 1), vec![]).await.unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch(sql).unwrap();
        drop(open(&crashed(&path)));
        store.record(notify("k", 2), vec![]).await.unwrap();
        let copy = crashed(&path);
        assert_eq!(open(&copy).figures(NOW).await.unwrap().ready, 2, "{sql}");
    }
}

#[test]
fn store_of_a_build_before_the_first_release_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    for version in 1..=3 {
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA application_id = 0x4166746b; CREATE TABLE IF NOT EXISTS t (a)")
            .unwrap();
        conn.pragma_update(None, "user_version", version).unwrap();
        drop(conn);
        let before = fs::read(&path).unwrap();
        let served = SqliteStore::open(&path, plain());
        assert!(matches!(served, Err(OpenError::Unreleased(_))));
        let beside = SqliteOperator::open(&path);
        assert!(matches!(beside, Err(OpenError::Unreleased(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn command_next_to_the_service_leaves_a_store_of_another_version_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    drop(open(&path));
    let of_version = |version: u32| {
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "user_version", version).unwrap();
        drop(conn);
        SqliteOperator::open(&path)
    };
    assert!(matches!(of_version(0), Err(OpenError::Older(_))));
    assert!(matches!(of_version(99), Err(OpenError::Newer { .. })));
}

#[tokio::test]
async fn failed_backup_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copies) = (dir.path().join("a.db"), dir.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let store = open(&path);
    for number in 0..1_000 {
        store.record(notify("k", number), vec![]).await.unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    bytes[pages * 3 / 4 * 4096..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let operator = SqliteOperator::open(&path).unwrap();
    let failed = operator.backup(&copies.join("copy.db"), || ()).unwrap_err();
    assert!(failed.to_string().contains("malformed"), "{failed}");
    assert!(files(&copies).is_empty());
}

#[tokio::test]
async fn backup_over_an_existing_file_leaves_it_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copies) = (dir.path().join("a.db"), dir.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let store = open(&path);
    store.record(notify("k", 1), vec![]).await.unwrap();
    fs::write(copies.join("copy.db"), "precious").unwrap();
    let before = files(&copies);
    let operator = SqliteOperator::open(&path).unwrap();
    assert!(operator.backup(&copies.join("copy.db"), || ()).is_err());
    assert_eq!(files(&copies), before);
}
