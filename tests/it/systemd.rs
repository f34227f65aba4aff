//! The program as systemd sees it: ready, alive, stopping.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

const RULES: &str = "destinations: { lms: { url: 'https://lms.example.com/hook' } }\n\
                     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";

/// Receives messages until one has the line.
fn told(socket: &UnixDatagram, line: &str) {
    let mut message = [0; 1024];
    loop {
        let length = socket.recv(&mut message).unwrap();
        let text = std::str::from_utf8(&message[..length]).unwrap();
        if text.lines().any(|told| told == line) {
            return;
        }
    }
}

#[test]
fn systemd_is_told_of_readiness_of_life_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // A message that never comes fails the test instead of holding it up.
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_aftertake"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    told(&socket, "READY=1");
    told(&socket, "WATCHDOG=1");
    told(&socket, "WATCHDOG=1");
    let terminated = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(terminated.unwrap().success());
    told(&socket, "STOPPING=1");
    assert!(child.wait().unwrap().success());
}
