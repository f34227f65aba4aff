//! How commands end: exit codes, messages, and closed pipes.

use std::net::TcpListener;

use aftertake::store::Store;

use super::{Folder, Ran};

#[test]
fn mistakes_are_named_with_their_way_out() {
    let folder = Folder::new();
    folder.write("broken.json", "{\"event_type\": ");
    folder.write("list.json", "[]");
    let store = "error: store aftertake.db does not exist; `aftertake serve` makes it, \
                 or name another with --store\n";
    for (args, code, err) in [
        (
            &["rules", "check", "none.yaml"][..],
            66,
            "error: read rules file none.yaml: No such file or directory (os error 2)\n",
        ),
        (
            &["rules", "try", "rules.yaml", "none.json"],
            66,
            "error: read event file none.json: No such file or directory (os error 2)\n",
        ),
        (
            &["rules", "try", "rules.yaml", "broken.json"],
            65,
            "error: read event file broken.json: body is not JSON: EOF while parsing a value at line 1 column 15\n",
        ),
        (
            &["rules", "try", "rules.yaml", "list.json"],
            65,
            "error: read event file list.json: body is JSON but not an object\n",
        ),
        (&["tasks", "list"], 66, store),
        (&["events", "add", "callback.json"], 66, store),
        (&["backup", "copy.db"], 66, store),
        (
            &["serve", "--admin-listen", ":8081"],
            78,
            "error: --admin-listen 0.0.0.0:8081 can be reached from other machines; add --admin-token-file FILE\n",
        ),
        (
            &["serve", "--admin-token-file", "none"],
            66,
            "error: read --admin-token-file none: No such file or directory (os error 2)\n",
        ),
        (
            &["serve", "--rules", "none.yaml"],
            66,
            "error: read rules file none.yaml: No such file or directory (os error 2)\n",
        ),
    ] {
        folder.refused(args, code, err);
    }
}

#[test]
fn wrong_usage_is_refused_with_the_accepted_values() {
    let folder = Folder::new();
    for (args, first) in [
        (
            &["tasks", "show", "task_7"][..],
            "error: <ID>: \"task_7\" is not a task id (task_ and 32 hexadecimal digits)",
        ),
        (
            &["events", "show", "task_00000000000000000000000000000000"],
            "error: <ID>: \"task_00000000000000000000000000000000\" is not an event id (evt_ and 32 hexadecimal digits)",
        ),
        (
            &["tasks", "list", "--state", "failed"],
            "error: invalid value 'failed' for '--state <STATE>'",
        ),
        (
            &["serve", "--listen", "8080"],
            "error: --listen <ADDRESS:PORT>: \"8080\" is not an address and port, such as 127.0.0.1:8080",
        ),
        (
            &["serve", "--grace", "25"],
            "error: --grace <DURATION>: \"25\" is not a duration with a unit, such as 30d, 12h or 25s",
        ),
    ] {
        let ran = folder.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}");
        assert_eq!(ran.err.lines().next(), Some(first), "{args:?}");
    }
}

#[test]
fn command_without_arguments_shows_the_help() {
    let ran = Folder::new().run(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("Start here:"), "{}", ran.err);
}

#[test]
fn flag_beats_its_twin_in_the_environment_and_help_shows_neither_value() {
    let folder = Folder::new().with_env("AFTERTAKE_STORE", "sqlite:of-the-environment.db");
    assert_eq!(
        folder.run(&["tasks", "list"]).err,
        "error: store of-the-environment.db does not exist; `aftertake serve` makes it, or name another with --store\n"
    );
    let ran = folder.run(&["tasks", "list", "--store", "sqlite:of-the-flag.db"]);
    assert!(
        ran.err.starts_with("error: store of-the-flag.db "),
        "{}",
        ran.err
    );
    let help = folder.fine(&["tasks", "list", "--help"]);
    assert!(help.contains("AFTERTAKE_STORE") && !help.contains("of-the-environment"));
}

#[test]
fn store_of_a_newer_version_is_left_alone() {
    let folder = Folder::new();
    drop(served(&folder));
    let conn = folder.database().sql();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    for args in [&["tasks", "list"][..], &["backup", "copy.db"], &SERVE] {
        let ran = folder.run(args);
        assert_eq!(ran.code, Some(78), "{args:?}: {}", ran.err);
        let message =
            "error: store aftertake.db was written by a newer version of aftertake (schema 99, ";
        assert!(ran.err.contains(message), "{}", ran.err);
    }
}

#[test]
fn file_that_is_no_store_is_left_alone() {
    let folder = Folder::new();
    std::fs::write(folder.path("aftertake.db"), "something else's").unwrap();
    for args in [&["tasks", "list"][..], &["backup", "copy.db"], &SERVE] {
        let ran = folder.run(args);
        assert_eq!(ran.code, Some(78), "{args:?}: {}", ran.err);
        let message =
            "error: aftertake.db is not a store of aftertake; name another file with --store\n";
        assert!(ran.err.ends_with(message), "{}", ran.err);
    }
    let kept = std::fs::read_to_string(folder.path("aftertake.db")).unwrap();
    assert_eq!(kept, "something else's");
}

#[test]
fn service_that_cannot_start_says_whether_a_restart_may_help() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = [
        "serve",
        "--admin-listen",
        "127.0.0.1:0",
        "--listen",
        &address,
    ];
    let ran = folder.run(&listen);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains(&address), "{}", ran.err);

    let _store = served(&folder);
    let ran = folder.run(&SERVE);
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    let message = "error: store aftertake.db is already served by another process; stop it, or use another --store\n";
    assert!(ran.err.ends_with(message), "{}", ran.err);
}

#[test]
fn store_in_a_folder_that_is_not_there_is_not_tried_again() {
    let ran = Folder::new().run(&[&SERVE[..], &["--store", "sqlite:none/a.db"]].concat());
    let message = "error: store none/a.db: cannot make its lock file: No such file or directory (os error 2)\n";
    assert_eq!(ran.code, Some(66), "{}", ran.err);
    assert!(ran.err.ends_with(message), "{}", ran.err);
}

#[test]
fn closed_pipe_is_no_error() {
    let folder = Folder::new();
    drop(served(&folder));
    for args in [
        &["tasks", "list"][..],
        &["events", "list", "--json"],
        &["rules", "try", "rules.yaml", "callback.json"],
        &["rules", "schema"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = folder.command(args).stdout(writer).output().unwrap();
        let ran = Ran::of(&output);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

const SERVE: [&str; 5] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
];

/// The folder's default store, opened by this process as a service would.
pub(super) fn served(folder: &Folder) -> impl Store + use<> {
    folder.database().open()
}
