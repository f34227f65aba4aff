//! The counterparts in each comparison: the same parts without a store, each in a child process
//! like the service.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aftertake::model::recorder::Recorder;
use aftertake::model::time::Timestamp;
use aftertake::recorder;
use bytes::Bytes;
use clap::ValueEnum;
use tokio::sync::mpsc;
use warp::Filter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Counterpart {
    /// Parses a callback and answers.
    Parse,
    /// Parses a callback, hands it to senders in memory, and answers.
    Forward,
    /// Sends generated requests.
    Send,
}

/// A counterpart's process, killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// Where it takes callbacks; `None` for a sender.
    pub(crate) address: Option<SocketAddr>,
}

impl Counterpart {
    pub(crate) fn start(self, to: Option<SocketAddr>, connections: usize) -> Running {
        let name = self.to_possible_value().expect("no variant is hidden");
        let mut command = Command::new(std::env::current_exe().expect("the benchmark's own path"));
        command
            .args(["--counterpart", name.get_name()])
            .args(["--connections", &connections.to_string()])
            .stdout(Stdio::piped());
        if let Some(to) = to {
            command.args(["--to", &to.to_string()]);
        }
        let mut child = command.spawn().expect("the counterpart starts");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        said.read_line(&mut line)
            .expect("the counterpart says that it runs");
        Running {
            child,
            address: line.trim().parse().ok(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn run(counterpart: Counterpart, to: Option<SocketAddr>, connections: usize) {
    let to = || format!("http://{}/hook", to.expect("--to says where to send"));
    match counterpart {
        Counterpart::Parse => serve(Outbox::default()).await,
        Counterpart::Forward => serve(Outbox::start(connections, &to())).await,
        Counterpart::Send => {
            println!("sending");
            let body = Bytes::from(vec![b'x'; 1200]);
            let client = client();
            let sending = (0..connections).map(|_| {
                let (client, to, body) = (client.clone(), to(), body.clone());
                tokio::spawn(async move {
                    loop {
                        send(&client, &to, body.clone()).await;
                    }
                })
            });
            futures_util::future::join_all(sending).await;
        }
    }
}

/// Senders with a short queue each; without senders it drops what it gets.
#[derive(Clone, Default)]
struct Outbox {
    senders: Arc<Vec<mpsc::Sender<Bytes>>>,
    next: Arc<AtomicUsize>,
}

impl Outbox {
    fn start(count: usize, to: &str) -> Self {
        let client = client();
        let sender = |_| {
            let (sender, mut taken) = mpsc::channel(64);
            let (client, to) = (client.clone(), to.to_owned());
            tokio::spawn(async move {
                while let Some(body) = taken.recv().await {
                    send(&client, &to, body).await;
                }
            });
            sender
        };
        Self {
            senders: Arc::new((0..count).map(sender).collect()),
            next: Arc::default(),
        }
    }

    async fn take(&self, body: Bytes) {
        if self.senders.is_empty() {
            return;
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        let taken = self.senders[next].send(body).await;
        taken.expect("senders run as long as the process");
    }
}

/// The same warp route as the service's, without a store.
async fn serve(outbox: Outbox) {
    let route = warp::path!("callbacks" / "sparkrtc")
        .and(warp::post())
        .and(warp::any().map(move || outbox.clone()))
        .and(warp::header::headers_cloned())
        .and(warp::body::bytes())
        .then(
            async |outbox: Outbox, headers: warp::http::HeaderMap, body: Bytes| {
                let event = recorder::parse(
                    Recorder::SparkRtc,
                    &headers,
                    body.clone(),
                    Timestamp::from_millis(0),
                );
                event.expect("the load is made of callbacks");
                outbox.take(body).await;
                r#"{"status":1,"result":"success"}"#
            },
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    println!("{}", listener.local_addr().expect("a bound port"));
    warp::serve(route).incoming(listener).run().await;
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

async fn send(client: &reqwest::Client, to: &str, body: Bytes) {
    let sent = client.post(to).body(body).send().await;
    sent.expect("the receiver answers");
}
