//! Secrets in files that others can read: the token of the operator listener, and variables of the
//! rules file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::service_process::{heard, serving};

fn keep(path: &Path, secret: &str, mode: u32) {
    std::fs::write(path, secret).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The log messages about the secret before the program serves.
fn said(serve: &mut Command) -> Vec<String> {
    let (mut child, log) = heard(serve);
    let lines = log.iter().map(|line| serde_json::from_str(&line).unwrap());
    let before = lines.take_while(|line: &Value| !line["listen"].is_string());
    let messages = before.map(|line| line["message"].as_str().unwrap().to_owned());
    let said = messages.filter(|message| ["token", "_FILE"].iter().any(|of| message.contains(of)));
    let said = said.collect();
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn weak_or_readable_token_causes_a_warning_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("rules.yaml"), "rules: []\n").unwrap();
    let said = |token: &str, mode| {
        keep(&folder.join("token"), token, mode);
        said(serving(folder).args(["--admin-token-file", "token"]))
    };
    let strong = "0123456789abcdef\n";
    assert!(said(strong, 0o600).is_empty());
    assert_eq!(
        said(" 0123456789abcde\n", 0o600),
        [
            "--admin-token-file token: its token has 15 characters and can be guessed; `openssl rand -hex 32` makes another"
        ]
    );
    for (mode, who) in [
        (0o604, "every user of this machine"),
        (0o640, "every user of its group"),
    ] {
        assert_eq!(
            said(strong, mode),
            [format!(
                "--admin-token-file token: {who} can read it (mode {mode:o}); `chmod go=` ends that"
            )]
        );
    }
}

#[test]
fn secret_in_a_readable_file_causes_a_warning_wherever_rules_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rules = "callbacks: { sparkrtc: { keys: [\"${KEY}\", \"${KEY}\"] } }\nrules: []\n";
    std::fs::write(folder.join("rules.yaml"), rules).unwrap();
    let at_a_start = || said(serving(folder).env("KEY_FILE", "key"));
    let of_command = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
        command.args(args).current_dir(folder).env_clear();
        let ran = command.env("KEY_FILE", "key").stdin(Stdio::null()).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{ran:?}");
        let told = [ran.stdout, ran.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert!(!told.contains("s3cr3t"), "{told}");
        let warns = |line: &&str| line.starts_with("warning: ") && line.contains("_FILE");
        told.lines().filter(warns).map(str::to_owned).collect()
    };
    let everywhere = || -> [Vec<String>; 3] {
        [
            at_a_start(),
            of_command(&["rules", "check", "rules.yaml"]),
            of_command(&["doctor"]),
        ]
    };
    keep(
        &folder.join("key"),
        "s3cr3t-callback-key-of-32-letters",
        0o600,
    );
    assert!(everywhere().concat().is_empty());
    for (mode, who) in [
        (0o644, "every user of this machine"),
        (0o640, "every user of its group"),
    ] {
        keep(
            &folder.join("key"),
            "s3cr3t-callback-key-of-32-letters",
            mode,
        );
        let sentence = format!(
            "rules.yaml:1:33: the file that KEY_FILE names: {who} can read it (mode {mode:o}); `chmod go=` ends that"
        );
        let warning = format!("warning: {sentence}");
        assert_eq!(
            everywhere(),
            [vec![sentence], vec![warning.clone()], vec![warning]]
        );
    }
}
