//! The real program, serving in a child process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// The program, killed when it goes out of scope.
pub(crate) struct ServiceProcess {
    pub(crate) child: Child,
    /// The address and port of the public listener.
    pub(crate) public: String,
    /// The address and port of the operator listener.
    pub(crate) admin: String,
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Serves in this folder and waits until the program logs its addresses.
pub(crate) fn serve(folder: &Path) -> ServiceProcess {
    ServiceProcess::start(&mut serving(folder))
}

pub(crate) fn serving(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
    ];
    command.arg("serve").args(listen).current_dir(folder);
    command
}

/// Starts the program; the receiver gets every line that it logs.
pub(crate) fn heard(command: &mut Command) -> (Child, Receiver<String>) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (told, log) = channel();
    // Keep reading, or the program blocks on a full pipe.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = told.send(line);
        }
    });
    (child, log)
}

/// Asks the program to stop in order and waits until it has.
pub(crate) fn stop(child: &mut Child) {
    let pid = child.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(asked.unwrap().success());
    assert!(child.wait().unwrap().success());
}

impl ServiceProcess {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_heard(command).0
    }

    /// Starts the program; the receiver gets what it logs after the addresses.
    pub(crate) fn start_heard(command: &mut Command) -> (Self, Receiver<String>) {
        let (child, log) = heard(command);
        let says = loop {
            let line = log.recv().expect("the program serves");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["listen"].is_string() {
                break line;
            }
        };
        let address = |name: &str| says[name].as_str().unwrap().to_owned();
        let served = Self {
            child,
            public: address("listen"),
            admin: address("admin_listen"),
        };
        (served, log)
    }

    pub(crate) fn callbacks(&self) -> String {
        format!("http://{}/callbacks/sparkrtc", self.public)
    }

    /// Ends the process at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn stop(&mut self) {
        stop(&mut self.child);
    }
}
