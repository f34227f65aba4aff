//! A log that nobody reads, that cannot be written, or into which a stranger tries to write: only log
//! lines are lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use aftertake::clock;
use aftertake::recorder::sparkrtc::signature;
use futures_util::future::join_all;
use http::HeaderValue;
use reqwest::Client;
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use secrecy::SecretString;

use crate::support::test_service::callback;
use crate::support::{TOO_LONG, in_time};

const RULES: &str = "destinations: { lms: { url: 'http://127.0.0.1:9/hook', allow_private: true } }\n\
     rules: [{ name: announce, steps: [{ notify: lms }] }]\n";

/// A program that logs where the test wants, killed when dropped.
struct Program {
    child: Child,
    public: String,
    admin: String,
    systemd: UnixDatagram,
    client: Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Serves in this folder at an address that no other test uses, and waits until it is ready
    /// without reading its log.
    fn start(folder: &Path, log: impl Into<Stdio>) -> Self {
        Self::start_with(folder, log, RULES, "text")
    }

    /// The same with other rules and another log format.
    fn start_with(folder: &Path, log: impl Into<Stdio>, rules: &str, format: &str) -> Self {
        static PORTS: AtomicU16 = AtomicU16::new(18_000);
        let pid = std::process::id();
        let host = format!("127.{}.{}.{}", 1 + (pid >> 16), pid >> 8 & 255, pid & 255);
        let address = || format!("{host}:{}", PORTS.fetch_add(1, Ordering::Relaxed));
        let (public, admin) = (address(), address());
        std::fs::write(folder.join("rules.yaml"), rules).unwrap();
        let path = folder.join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_read_timeout(Some(TOO_LONG)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_aftertake"))
            .args(["serve", "--listen", &public, "--admin-listen", &admin])
            .args(["--grace", "1h", "--log-format", format])
            .env("NOTIFY_SOCKET", path)
            .current_dir(folder)
            .stderr(log)
            .spawn()
            .unwrap();
        let program = Self {
            child,
            public,
            admin,
            systemd,
            client: Client::builder().no_proxy().build().unwrap(),
        };
        program.told("READY=1");
        program
    }

    /// Waits until this message is sent to systemd.
    fn told(&self, message: &str) {
        let mut told = [0; 1024];
        loop {
            let length = self.systemd.recv(&mut told).unwrap();
            if told[..length].starts_with(message.as_bytes()) {
                return;
            }
        }
    }

    async fn post(&self, body: String) -> u16 {
        let url = format!("http://{}/callbacks/sparkrtc", self.public);
        let answer = in_time(self.client.post(url).body(body).send()).await;
        answer.unwrap().status().as_u16()
    }

    async fn ask(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        let answer = in_time(self.client.get(url).send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn lost(&self) -> u64 {
        let (_, metrics) = self.ask("/metrics").await;
        let name = "aftertake_log_lines_lost_total ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Serves a callback and stops in order.
    async fn serves_and_stops(&mut self) {
        for object in ["a.mp4", "b.mp4", "c.mp4"] {
            assert_eq!(self.post(callback(object)).await, 200);
        }
        let (status, said) = self.ask("/readyz").await;
        assert_eq!(status, 200, "{said}");
        self.signal("-TERM");
        assert_eq!(self.ends().await, Some(0));
    }

    /// Waits until it exits; returns the exit code.
    async fn ends(&mut self) -> Option<i32> {
        let ends = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                tokio::task::yield_now().await;
            }
        };
        in_time(ends).await
    }
}

#[tokio::test]
async fn service_whose_log_cannot_be_written_does_its_work_counts_the_lines_and_stops() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = std::fs::File::options().write(true).open("/dev/full");
    for log in [Stdio::from(writer), Stdio::from(full.unwrap())] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::start(folder.path(), log);
        in_time(async { while program.lost().await == 0 {} }).await;
        program.serves_and_stops().await;
    }
}

#[tokio::test]
async fn service_whose_log_nobody_reads_does_its_work_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let (log, room) = (writer.try_clone().unwrap(), fcntl_getpipe_size(&reader));
    // Blocks until somebody reads.
    let fill = std::thread::spawn(move || writer.write_all(&vec![b'-'; 1 << 20]));
    let room = room.unwrap() as u64;
    in_time(async {
        while ioctl_fionread(&reader).unwrap() < room {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut program = Program::start(folder.path(), log);
    program.serves_and_stops().await;
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    fill.join().unwrap().unwrap();
    assert_eq!(text.len(), 1 << 20, "no line had room");
}

#[tokio::test]
async fn lost_lines_are_reported_once_somebody_reads_again() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Program::start(folder.path(), writer);
    // Each refusal logs some hundred bytes; a megabyte is buffered.
    in_time(async {
        while program.lost().await == 0 {
            let posts = (0..256).map(|_| program.post("[]".to_owned()));
            assert_eq!(join_all(posts).await, [400; 256]);
        }
    })
    .await;
    let mut lines = BufReader::new(reader).lines();
    lines
        .by_ref()
        .find(|line| line.as_ref().unwrap().contains("log lines were lost"))
        .unwrap()
        .unwrap();
    let rest = std::thread::spawn(move || lines.map(Result::unwrap).last().unwrap());
    program.serves_and_stops().await;
    assert!(rest.join().unwrap().contains("stopped"));
}

#[tokio::test]
async fn second_signal_ends_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    let hangs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = hangs.local_addr().unwrap().to_string();
    let rules = RULES.replace(
        "http://127.0.0.1:9/hook'",
        &format!("http://{to}/hook', timeout: 10m"),
    );
    let mut program = Program::start_with(folder.path(), Stdio::null(), &rules, "text");
    assert_eq!(program.post(callback("a.mp4")).await, 200);
    let _held = in_time(hangs.accept()).await.unwrap();
    program.signal("-TERM");
    program.told("STOPPING=1");
    program.signal("-TERM");
    assert_eq!(program.ends().await, Some(0));
}

/// Characters that control a terminal, begin a line or reverse the writing direction.
const HOSTILE: &str = "a\u{1b}[2J\r\nERROR forged\u{85}\u{9b}31m\u{202e}\u{2066}b";

/// As many of these characters as a header may contain, repeated.
fn header() -> HeaderValue {
    let text: String = HOSTILE.chars().filter(|c| *c > '\u{1f}').collect();
    HeaderValue::from_bytes(text.repeat(100).as_bytes()).unwrap()
}

impl Program {
    /// Posts an event with hostile fields and these headers.
    async fn post_hostile(&self, headers: [(&str, HeaderValue); 3], body: &str) -> u16 {
        let url = format!("http://{}/callbacks/sparkrtc", self.public);
        let mut request = self.client.post(url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = in_time(request.send()).await.unwrap();
        answer.status().as_u16()
    }
}

#[tokio::test]
async fn nothing_that_a_stranger_sends_reaches_the_log_raw_or_at_length() {
    let key = "hostile-headers-are-32-characters";
    let rules = format!(
        "callbacks: {{ sparkrtc: {{ keys: [{key}], max_age: 1h }} }}\n\
         destinations: {{ lms: {{ url: 'http://127.0.0.1:9/hook', allow_private: true }} }}\n\
         retry: {{ tries: 1 }}\n\
         rules: [{{ name: announce, steps: [{{ notify: {{ destination: lms, headers: {{ X-Room: '{{{{ room_id }}}}' }} }} }}] }}]\n",
    );
    let event = |object: &str| {
        let event = serde_json::json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": object,
            "room_id": HOSTILE, "end_time": "2026-03-02T01:01:02Z", HOSTILE: HOSTILE,
        });
        event.to_string()
    };
    let signed = |rand: HeaderValue, timestamp: HeaderValue, body: &str| {
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        let (r, t) = (text(&rand), text(&timestamp));
        let signature = signature::sign(&SecretString::from(key), &r, &t, body.as_bytes());
        let signature = HeaderValue::from_str(&signature).unwrap();
        [
            (signature::RAND, rand),
            (signature::TIMESTAMP, timestamp),
            (signature::SIGNATURE, signature),
        ]
    };
    let now = || HeaderValue::from(clock::now().seconds());
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = std::fs::File::create(&path).unwrap();
        let mut program = Program::start_with(folder.path(), log, &rules, format);
        let body = event(HOSTILE);
        let forged = signed(header(), header(), "another body");
        assert_eq!(program.post_hostile(forged, &body).await, 401);
        let untimely = signed(header(), header(), &body);
        assert_eq!(program.post_hostile(untimely, &body).await, 401);
        let malformed = format!("{HOSTILE}{body}");
        let headers = signed(header(), now(), &malformed);
        assert_eq!(program.post_hostile(headers, &malformed).await, 400);
        let taken = signed(header(), now(), &body);
        assert_eq!(program.post_hostile(taken, &body).await, 200);
        in_time(async {
            while !program
                .ask("/metrics")
                .await
                .1
                .contains("state=\"dead\"} 1\n")
            {}
        })
        .await;
        program.signal("-TERM");
        assert_eq!(program.ends().await, Some(0));

        let log = std::fs::read_to_string(&path).unwrap();
        let acts = |c: char| {
            c.is_control() && c != '\n'
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
        };
        assert!(!log.contains(acts), "{log:?}");
        let begins = if format == "json" {
            "{\"timestamp\":\"20"
        } else {
            "20"
        };
        assert!(log.lines().all(|line| line.starts_with(begins)), "{log}");
        let refusals: Vec<_> = log
            .lines()
            .filter(|line| line.contains("callback refused"))
            .collect();
        assert_eq!(refusals.len(), 3, "{log}");
        assert!(
            refusals.iter().all(|line| line.len() < 1000),
            "{refusals:?}"
        );
        assert!(log.contains("task is dead"), "{log}");
    }
}
