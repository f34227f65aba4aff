//! The program as systemd sees it: ready, alive, reloading, stopping.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

const RULES: &str = "destinations: { lms: { url: 'https://lms.example.com/hook' } }\n\
                     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Served {
    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let told = Command::new("kill").args([name, &pid]).status();
        assert!(told.unwrap().success());
    }
}

/// Serves, and returns the socket on which systemd would listen.
fn serve(folder: &Path) -> (Served, UnixDatagram) {
    std::fs::write(folder.join("rules.yaml"), RULES).unwrap();
    let path = folder.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // A missing message fails the test instead of hanging it.
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_aftertake"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Served(child), socket)
}

/// Receives messages until one contains the line; returns that message.
fn told(socket: &UnixDatagram, line: &str) -> String {
    let mut message = [0; 1024];
    loop {
        let length = socket.recv(&mut message).unwrap();
        let text = std::str::from_utf8(&message[..length]).unwrap();
        if text.lines().any(|told| told == line) {
            return text.to_owned();
        }
    }
}

#[test]
fn systemd_is_notified_of_readiness_watchdog_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (mut served, socket) = serve(folder.path());
    told(&socket, "READY=1");
    told(&socket, "WATCHDOG=1");
    told(&socket, "WATCHDOG=1");
    served.signal("-TERM");
    told(&socket, "STOPPING=1");
    assert!(served.0.wait().unwrap().success());
}

#[test]
fn systemd_is_notified_when_a_reload_begins_and_ends_even_if_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (served, socket) = serve(folder.path());
    told(&socket, "READY=1");
    for rules in [RULES, "rules: [", RULES] {
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        served.signal("-HUP");
        let begins = told(&socket, "RELOADING=1");
        assert!(begins.contains("\nMONOTONIC_USEC="), "{begins}");
        told(&socket, "READY=1");
    }
}
