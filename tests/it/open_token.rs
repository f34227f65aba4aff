//! The token of the operator listener, where it is not much of a secret.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::served::serving;

/// What a start says of the token before the program serves.
fn said(folder: &Path, token: &str, mode: u32) -> Vec<String> {
    let path = folder.join("token");
    std::fs::write(&path, token).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let mut child = serving(folder)
        .args(["--admin-token-file", "token"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let before = lines.take_while(|line: &Value| !line["listen"].is_string());
    let messages = before.map(|line| line["message"].as_str().unwrap().to_owned());
    let said = messages.filter(|message| message.contains("token"));
    let said = said.collect();
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn token_that_is_weak_or_everybodys_is_warned_of_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("rules.yaml"), "rules: []\n").unwrap();
    let strong = "0123456789abcdef\n";
    assert!(said(folder, strong, 0o640).is_empty());
    assert_eq!(
        said(folder, " 0123456789abcde\n", 0o600),
        [
            "--admin-token-file token: its token has 15 characters and can be guessed; `openssl rand -hex 32` makes another"
        ]
    );
    assert_eq!(
        said(folder, strong, 0o604),
        [
            "--admin-token-file token: every user of this machine can read it (mode 604); `chmod o= token` ends that"
        ]
    );
}
