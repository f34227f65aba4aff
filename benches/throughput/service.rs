//! The real program in a child process, observed from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::KEY;

/// A folder with a rules file, a store and a log.
pub(crate) struct Deployment {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// A running service, killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) callbacks: SocketAddr,
    admin: SocketAddr,
    client: reqwest::Client,
    /// From the start of the process to the first 200 of `/readyz`.
    pub(crate) start: Duration,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        Self::of(binary())
    }

    /// With this build of the program.
    pub(crate) fn of(program: PathBuf) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            program,
        }
    }

    /// Two rules, one of which matches, and a receiver that may be sent `concurrency` requests
    /// at a time.
    pub(crate) fn rules(&self, receiver: SocketAddr, concurrency: usize) {
        let text = format!(
            "callbacks: {{ sparkrtc: {{ keys: [\"{KEY}\"] }} }}\n\
             destinations:\n  lms: {{ url: \"http://{receiver}/hook\", allow_private: true, concurrency: {concurrency}, timeout: 10m }}\n\
             rules:\n  - name: announce\n    when: {{ room: \"class-*\", duration: {{ at_least: 30s }} }}\n    steps: [{{ notify: lms }}]\n  \
             - name: labs\n    when: {{ room: \"lab-*\" }}\n    steps: [{{ notify: lms }}]\n",
        );
        self.write_rules(&text);
    }

    pub(crate) fn write_rules(&self, text: &str) {
        std::fs::write(self.folder.path().join("rules.yaml"), text).expect("a rules file");
    }

    /// Bytes of the store once the service has ended.
    pub(crate) fn store_bytes(&self) -> u64 {
        let path = self.folder.path().join("aftertake.db");
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of the database's WAL.
    pub(crate) fn log_bytes(&self) -> u64 {
        let path = self.folder.path().join("aftertake.db-wal");
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    /// Events removed by the last sweep, once it or the service has ended.
    pub(crate) fn swept_events(&self) -> Option<u64> {
        let log = std::fs::read_to_string(self.folder.path().join("serve.log")).ok()?;
        let of = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "pruned old history").then(|| line["events"].as_u64())?
        };
        log.lines().filter_map(of).next_back()
    }

    pub(crate) async fn serve(&self) -> Service {
        self.serve_with(&[]).await
    }

    /// Serves with more flags.
    pub(crate) async fn serve_with(&self, flags: &[&str]) -> Service {
        let path = self.folder.path().join("serve.log");
        let log = std::fs::File::create(&path).expect("a log file");
        let begun = Instant::now();
        let child = Command::new(&self.program)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ])
            .args(["--log-format", "json"])
            .args(flags)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let (callbacks, admin) = addresses(&path).await;
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let mut service = Service {
            child,
            callbacks,
            admin,
            client,
            start: Duration::ZERO,
        };
        while !service.is_ready().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        service.start = begun.elapsed();
        service
    }
}

impl Service {
    async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.client
            .get(format!("http://{}{path}", self.admin))
            .send()
            .await
    }

    async fn is_ready(&self) -> bool {
        self.get("/readyz")
            .await
            .is_ok_and(|answer| answer.status() == 200)
    }

    pub(crate) async fn idle(&self) {
        loop {
            let answer = self.get("/metrics").await.expect("the service answers");
            let text = answer.text().await.expect("metrics are text");
            let none =
                |state: &str| text.contains(&format!("aftertake_tasks{{state=\"{state}\"}} 0\n"));
            if none("ready") && none("running") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A value of `/proc/PID/status` in bytes: `VmRSS` is the current memory, `VmHWM` the peak.
    pub(crate) fn memory(&self, figure: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with(figure))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Processor time of the service so far, in seconds
    /// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>, at 100 ticks a second).
    pub(crate) fn processor(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("the service runs");
        // The program's name, which ends at the last parenthesis, may contain anything.
        let (_, fields) = stat.rsplit_once(')').expect("a process's figures");
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }

    pub(crate) fn stop(mut self) {
        let stopped = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(stopped.is_ok_and(|status| status.success()), "kill -TERM");
        self.child.wait().expect("the service ends");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program to measure, as `cargo bench` built it.
pub(crate) fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_aftertake").into()
}

async fn addresses(log: &Path) -> (SocketAddr, SocketAddr) {
    loop {
        let text = std::fs::read_to_string(log).expect("the log can be read");
        let said = text.lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let address = |name: &str| line[name].as_str()?.parse().ok();
            Some((address("listen")?, address("admin_listen")?))
        });
        if let Some(said) = said {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
