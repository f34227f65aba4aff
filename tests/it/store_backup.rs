//! SQLite's own: backups of a store during writes, and on a disk without room for them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use aftertake::store::lists::{EventFilter, Page, TaskFilter};
use aftertake::store::operator::Operator;
use aftertake::store::sqlite::{SqliteOperator, SqliteStore, restore};
use aftertake::store::{Recorded, Store};
use futures_util::FutureExt;
use rusqlite::Connection;

use crate::store_contract::{NOW, notify};
use crate::support::database::open;

/// Callbacks stored before a backup: enough that it is copied in several pieces.
const BEFORE: usize = 12;

/// The most callbacks that a test stores during a backup: one that restarts with each of them
/// would never end.
const BESIDE: usize = 100;

fn long(number: usize) -> String {
    format!("{number}{}", "x".repeat(400_000))
}

/// The store as a person sees it, and SQLite's integrity check.
fn seen(path: &Path) -> (Vec<String>, Vec<String>, String) {
    let operator = SqliteOperator::open(path).unwrap();
    let conn = Connection::open(path).unwrap();
    let check = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    let events = operator
        .events(&EventFilter::default(), Page::newest(usize::MAX))
        .unwrap();
    let tasks = operator
        .tasks(&TaskFilter::default(), Page::newest(usize::MAX))
        .unwrap();
    (
        events.iter().map(|row| row.id.to_string()).collect(),
        tasks.iter().map(|row| format!("{row:?}")).collect(),
        check.unwrap(),
    )
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

/// Stores a callback whenever a backup pauses.
struct Beside {
    store: SqliteStore,
    stored: usize,
    copies: PathBuf,
}

impl Beside {
    fn rest(&mut self) {
        self.stored += 1;
        assert!(self.stored < BESIDE, "the backup begins anew and anew");
        let arrival = notify(&format!("beside {}", long(self.stored)), 1);
        // Without a writer thread: a call completes in its first poll.
        let recorded = self.store.record(arrival, vec![]).now_or_never();
        assert!(
            matches!(recorded, Some(Ok(Recorded::New { .. }))),
            "{recorded:?}"
        );
        // A copy gets its name when it is complete, and only its owner may read it before.
        let names = names(&self.copies);
        assert!(!names.contains(&"copy.db".to_owned()), "{names:?}");
        for name in names {
            let mode = fs::metadata(self.copies.join(&name)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600, "{name}");
        }
    }
}

#[tokio::test]
async fn backup_during_writes_is_consistent_and_lets_the_wal_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copies) = (dir.path().join("a.db"), dir.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let store = SqliteStore::open_here(&path).unwrap();
    for number in 0..BEFORE {
        store
            .record(notify(&long(number), 1), vec![])
            .await
            .unwrap();
    }
    let before = seen(&path);
    assert_eq!(before.0.len(), BEFORE);

    let beside = Arc::new(Mutex::new(Beside {
        store,
        stored: 0,
        copies: copies.clone(),
    }));
    let resting = Arc::clone(&beside);
    let operator = SqliteOperator::open(&path).unwrap();
    operator
        .backup(&copies.join("copy.db"), move || {
            resting.lock().unwrap().rest();
        })
        .unwrap();
    drop(operator);

    assert_eq!(names(&copies), ["copy.db"]);
    assert_eq!(seen(&copies.join("copy.db")), before);
    let beside = Arc::into_inner(beside).unwrap().into_inner().unwrap();
    assert!(beside.stored > 4, "{}", beside.stored);
    let stored = BEFORE + beside.stored;
    assert_eq!(seen(&path).0.len(), stored);
    for number in 0..3 {
        let after = notify(&format!("after {number}"), 1);
        beside.store.record(after, vec![]).await.unwrap();
    }
    let log = fs::metadata(dir.path().join("a.db-wal")).unwrap().len();
    assert!(log <= 17_000_000, "{log} bytes");

    // It restores like any other.
    drop(beside);
    restore(&copies.join("copy.db"), &path, NOW).unwrap();
    assert_eq!(seen(&path), before);
}

#[tokio::test]
async fn backup_without_room_says_which_disk_is_full_and_leaves_nothing() {
    // Needs a mount namespace; skipped where the system does not allow one.
    let tried = Command::new("unshare").args(["-rm", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("small")).unwrap();
    let store = open(&dir.path().join("aftertake.db"));
    for number in 0..BEFORE {
        store
            .record(notify(&long(number), 1), vec![])
            .await
            .unwrap();
    }
    for (room, ends) in [("2m", 1), ("64m", 0)] {
        let script = format!(
            "mount -t tmpfs -o size={room} tmpfs small; code=0; \"$0\" backup small/copy.db || code=$?; echo $code; ls -A small"
        );
        let ran = Command::new("unshare")
            .args(["-rm", "sh", "-ec", &script, env!("CARGO_BIN_EXE_aftertake")])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let (out, told) = (
            String::from_utf8(ran.stdout).unwrap(),
            String::from_utf8(ran.stderr).unwrap(),
        );
        let out: Vec<&str> = out.lines().collect();
        if ends == 0 {
            assert_eq!(out[1..], ["0", "copy.db"], "{told}");
        } else {
            assert_eq!(out, ["1"], "{told}");
            let full = "error: copy the store to small/copy.db: store small/copy.db: database or disk is full\n";
            assert_eq!(told, full);
        }
    }
}

#[test]
fn what_a_killed_backup_has_left_is_removed_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir.path().join("a.db")));
    let operator = SqliteOperator::open(&dir.path().join("a.db")).unwrap();
    let copies = dir.path().join("copies");
    fs::create_dir(&copies).unwrap();
    fs::write(copies.join(".aftertake-backup-left"), "a part of it").unwrap();
    let beside = copies.clone();
    let mut first = true;
    let rest = move || {
        if std::mem::take(&mut first) {
            assert_eq!(names(&beside).len(), 1);
            // This one is in progress: another backup must not remove it.
            let second = SqliteOperator::open(&beside.join("../a.db")).unwrap();
            second.backup(&beside.join("second.db"), || ()).unwrap();
        }
    };
    operator.backup(&copies.join("first.db"), rest).unwrap();
    let made: BTreeSet<String> = names(&copies).into_iter().collect();
    assert!(made.into_iter().eq(["first.db", "second.db"]));
}

#[test]
fn second_backup_to_one_file_says_that_it_exists() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir.path().join("a.db")));
    let operator = SqliteOperator::open(&dir.path().join("a.db")).unwrap();
    let copy = dir.path().join("copy.db");
    let (store, other) = (dir.path().join("a.db"), copy.clone());
    let mut first = true;
    let rest = move || {
        if std::mem::take(&mut first) {
            let operator = SqliteOperator::open(&store).unwrap();
            operator.backup(&other, || ()).unwrap();
        }
    };
    let told = operator.backup(&copy, rest).unwrap_err().to_string();
    let expected = "copy.db: it exists already; name a file that does not";
    assert!(told.ends_with(expected), "{told}");
    let names = names(dir.path());
    assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
}
