//! SQLite's own: where the store's file is and who may open it: links, permissions, and other
//! processes' locks.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aftertake::store::Store;
use aftertake::store::sqlite::{OpenError, SqliteOperator, SqliteStore};

use crate::store_contract::{NOW, notify};
use crate::support::database::{open, plain};
use crate::support::service_process::{ServiceProcess, serve, serving};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rules = "destinations: { lms: { url: 'http://127.0.0.1:9/', allow_private: true } }\n\
                 rules: [{ name: announce, steps: [{ notify: lms }] }]\n";
    fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    folder
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Runs the program with this umask.
fn under(umask: &str, folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("sh");
    let script = format!("umask {umask}; exec \"$0\" \"$@\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_aftertake")])
        .args(args)
        .current_dir(folder);
    command.output().unwrap()
}

#[test]
fn files_of_a_store_are_for_their_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "277"] {
        let folder = folder();
        let mut serving = Command::new("sh");
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let program = serving_args(folder.path());
        serving
            .args(["-c", &script])
            .args(program)
            .current_dir(folder.path());
        let mut served = ServiceProcess::start(&mut serving);
        let copied = under(umask, folder.path(), &["backup", "copy.db"]);
        assert!(copied.status.success(), "{copied:?}");
        let of_store = ["", "-wal", "-shm", ".lock"].map(|end| format!("aftertake.db{end}"));
        for name in of_store.iter().map(String::as_str).chain(["copy.db"]) {
            assert_eq!(mode(&folder.path().join(name)), 0o600, "{umask} {name}");
        }
        served.stop();
        let restored = under(umask, folder.path(), &["restore", "copy.db"]);
        assert!(restored.status.success(), "{restored:?}");
        assert_eq!(mode(&folder.path().join("aftertake.db")), 0o600, "{umask}");
    }
}

/// The program and its arguments to serve in this folder.
fn serving_args(folder: &Path) -> Vec<std::ffi::OsString> {
    let command = serving(folder);
    let program = [command.get_program().to_owned()].into_iter();
    program
        .chain(command.get_args().map(ToOwned::to_owned))
        .collect()
}

#[test]
fn lock_file_that_others_can_open_is_named_and_closed_to_them_at_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let (path, lock) = (dir.path().join("a.db"), dir.path().join("a.db.lock"));
    let held = fs::File::create(&lock).unwrap();
    held.set_permissions(fs::Permissions::from_mode(0o644))
        .unwrap();
    held.lock().unwrap();
    let refused = SqliteStore::open(&path, plain()).unwrap_err();
    assert!(matches!(refused, OpenError::Held { mode: 0o644, .. }));
    let told = refused.to_string();
    assert!(
        told.contains(&format!(
            "its lock file {}, which other users can open (mode 644)",
            lock.display()
        )),
        "{told}"
    );
    drop(held);
    drop(open(&path));
    assert_eq!(mode(&lock), 0o600);
}

fn linked(dir: &Path) -> (PathBuf, PathBuf) {
    let (real, link) = (dir.join("data"), dir.join("etc"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&link).unwrap();
    let (real, link) = (real.join("real.db"), link.join("aftertake.db"));
    symlink(&real, &link).unwrap();
    (real, link)
}

#[tokio::test]
async fn store_behind_a_link_is_served_with_its_log_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = linked(dir.path());
    for result in [
        SqliteStore::open(&link, plain()).map(drop),
        SqliteOperator::open(&link).map(drop),
    ] {
        let told = result.unwrap_err().to_string();
        assert!(
            told.ends_with("is a link to a missing file; point the link to a store, or remove it"),
            "{told}"
        );
    }
    drop(open(&real));
    let store = open(&link);
    store.record(notify("k", 1), vec![]).await.unwrap();
    // One lock, whichever name is used.
    for path in [&real, &link] {
        let second = SqliteStore::open(path, plain());
        assert!(matches!(second, Err(OpenError::Served(_))));
    }
    // As a crash leaves it.
    let crashed = dir.path().join("crashed.db");
    for end in ["", "-wal"] {
        let named = |path: &Path| format!("{}{end}", path.display());
        fs::copy(named(&real), named(&crashed)).unwrap();
    }
    drop(store);
    fs::remove_file(&link).unwrap();
    symlink(&crashed, &link).unwrap();
    assert_eq!(open(&link).figures(NOW).await.unwrap().ready, 1);
    let beside = fs::read_dir(link.parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1, "no file is created next to the link");
    let operator = SqliteOperator::open(&link).unwrap();
    operator.backup(&dir.path().join("copy.db"), || ()).unwrap();
}

#[test]
fn backup_is_restored_behind_a_link() {
    let folder = folder();
    serve(folder.path()).stop();
    let copied = under("022", folder.path(), &["backup", "copy.db"]);
    assert!(copied.status.success());
    fs::rename(
        folder.path().join("aftertake.db"),
        folder.path().join("real.db"),
    )
    .unwrap();
    symlink("real.db", folder.path().join("aftertake.db")).unwrap();
    let restored = under("022", folder.path(), &["restore", "copy.db"]);
    assert!(restored.status.success(), "{restored:?}");
    assert!(folder.path().join("aftertake.db").is_symlink());
    let told = String::from_utf8(restored.stdout).unwrap();
    assert!(told.contains("real.db-replaced-"), "{told}");
    serve(folder.path()).stop();
}

/// A user without permissions; only root can become that user.
const NOBODY: u32 = 65_534;

/// A folder that everybody may write to, with a copy of the program that the user can run.
fn open_to_all() -> tempfile::TempDir {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::copy(
        env!("CARGO_BIN_EXE_aftertake"),
        folder.path().join("program"),
    )
    .unwrap();
    folder
}

/// The same command, run by that user with the copy of the program.
fn as_nobody(folder: &Path, command: &Command) -> Command {
    let mut program = Command::new(folder.join("program"));
    program.args(command.get_args()).current_dir(folder);
    program.uid(NOBODY).gid(NOBODY);
    program
}

#[test]
fn store_of_another_user_is_refused_with_its_owners_name_and_no_file_is_created() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = open_to_all();
    serve(folder.path()).stop();
    let store = folder.path().join("aftertake.db");
    fs::remove_file(folder.path().join("aftertake.db.lock")).unwrap();
    for rights in [0o600, 0o444] {
        fs::set_permissions(&store, fs::Permissions::from_mode(rights)).unwrap();
        let mut list = Command::new("aftertake");
        list.args(["tasks", "list"]);
        for command in [&list, &serving(folder.path())] {
            let ran = as_nobody(folder.path(), command).output().unwrap();
            let err = String::from_utf8(ran.stderr).unwrap();
            let expected = format!(
                "error: store aftertake.db: this user may not read and write it: it belongs to user 0 (mode {rights:o}); \
                 run the command as that user, for example with `sudo -u '#0'`\n"
            );
            assert_eq!(ran.status.code(), Some(66), "{err}");
            assert!(err.ends_with(&expected), "{err}");
            let beside = fs::read_dir(folder.path()).unwrap();
            assert_eq!(beside.count(), 3, "the rules, the program and the store");
        }
    }
}

/// Like a volume that root owns and a container's user may write to.
#[test]
fn store_is_made_in_a_folder_that_another_user_owns() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = open_to_all();
    for _ in 0..2 {
        ServiceProcess::start(&mut as_nobody(folder.path(), &serving(folder.path()))).stop();
    }
}
