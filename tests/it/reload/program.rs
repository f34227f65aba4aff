//! The real program, which reloads on a signal or when it sees the file change.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use aftertake::rules::file::parse;
use serde_json::Value;

/// A timeout that no test reaches: turns a hang into a failure.
const TOO_LONG: Duration = Duration::from_mins(1);

struct Program {
    child: Child,
    log: Receiver<Value>,
    admin: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Serves `rules.yaml` of the folder.
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .args(flags)
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        let serves = wait(&log, "aftertake serves");
        Self {
            child,
            log,
            admin: serves["admin_listen"].as_str().unwrap().to_owned(),
        }
    }

    fn says(&self, message: &str) -> Value {
        wait(&self.log, message)
    }

    fn hang_up(&self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(told.unwrap().success());
    }

    fn assert_loads(&self, rules: &str) {
        assert_eq!(self.says("rules loaded")["revision"], revision(rules));
    }

    fn status(&self, flags: &[&str]) -> Output {
        status(&[&["--admin", &self.admin], flags].concat())
    }
}

/// Waits for the log line whose message begins like this.
fn wait(log: &Receiver<Value>, message: &str) -> Value {
    loop {
        let line = log.recv_timeout(TOO_LONG).unwrap();
        if line["message"].as_str().unwrap().starts_with(message) {
            return line;
        }
    }
}

fn status(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
    command.args(["rules", "status"]).args(flags);
    command.output().unwrap()
}

fn rules(name: &str) -> String {
    format!(
        "destinations: {{ lms: {{ url: 'https://lms.example.com/hook' }} }}\n\
         rules: [{{ name: {name}, steps: [{{ notify: lms }}] }}]\n"
    )
}

fn revision(rules: &str) -> String {
    let none = std::collections::BTreeMap::new();
    let file = parse("rules.yaml", rules, Path::new(""), &none).unwrap();
    file.rules.revision.to_string()
}

#[test]
fn sighup_loads_the_file_and_the_command_line_shows_what_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    std::fs::write(&path, rules("one")).unwrap();
    let program = Program::start(folder.path(), &[]);
    std::fs::write(&path, rules("two")).unwrap();
    program.hang_up();
    program.assert_loads(&rules("two"));
    let told = program.status(&[]);
    let said = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(0));
    let begin = format!("{} is in force, loaded at ", revision(&rules("two")));
    assert!(
        said.starts_with(&begin) && said.lines().count() == 1,
        "{said}"
    );

    std::fs::write(&path, "rules: [").unwrap();
    program.hang_up();
    program.says("reload refused");
    let told = program.status(&[]);
    let said = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(
        said.starts_with(&begin) && said.contains("was refused:\nerror: "),
        "{said}"
    );
    let told = program.status(&["--json"]);
    let said: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(said["revision"], revision(&rules("two")));
    assert!(
        said["loaded"].is_string() && said["reload_error"]["reason"].is_string(),
        "{said}"
    );
}

#[test]
fn status_of_a_service_that_cannot_be_asked_says_why() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), rules("one")).unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "open sesame\n").unwrap();
    let token = token.to_str().unwrap();
    let program = Program::start(folder.path(), &["--admin-token-file", token]);
    let asked = program.status(&["--admin-token-file", token]);
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    let stranger = program.status(&[]);
    assert_eq!(stranger.status.code(), Some(78));
    let said = String::from_utf8(stranger.stderr).unwrap();
    let expected = format!(
        "error: http://{} asks for another token: give it with --admin-token-file FILE\n",
        program.admin
    );
    assert_eq!(said, expected);
    let admin = program.admin.clone();
    drop(program);
    let gone = status(&["--admin", &admin]);
    assert_eq!(gone.status.code(), Some(69));
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(
        said.starts_with(&format!(
            "error: http://{admin} does not answer; is the service running"
        )),
        "{said}"
    );
}

#[test]
fn watched_file_is_loaded_when_it_is_written_replaced_or_linked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts a ConfigMap: the file is a link through a link to a folder.
    for (version, name) in [("v1", "one"), ("v2", "two")] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("rules.yaml"), rules(name)).unwrap();
    }
    symlink("v1", at("data")).unwrap();
    symlink("data/rules.yaml", at("rules.yaml")).unwrap();
    let program = Program::start(folder.path(), &["--watch"]);
    symlink("v2", at("next")).unwrap();
    std::fs::rename(at("next"), at("data")).unwrap();
    program.assert_loads(&rules("two"));

    // As editors save: another file replaces it.
    std::fs::write(at("rules.yaml~"), rules("three")).unwrap();
    std::fs::rename(at("rules.yaml~"), at("rules.yaml")).unwrap();
    program.assert_loads(&rules("three"));

    std::fs::write(at("rules.yaml"), "rules: [").unwrap();
    program.says("reload refused");
    std::fs::remove_file(at("rules.yaml")).unwrap();
    let gone = program.says("reload refused");
    assert!(
        gone["message"].as_str().unwrap().contains("No such file"),
        "{gone}"
    );
    std::fs::write(at("rules.yaml"), rules("four")).unwrap();
    program.assert_loads(&rules("four"));
}
