//! The listeners over real sockets.
//!
//! The store is one whose disk has failed; tests of the whole service use a working store.

mod callback;
mod failed_disk;
mod log;
mod odd_bodies;
mod ops;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aftertake::http::server::{BodyLimits, Drained, Limits, Site, bind, serve};
use aftertake::in_force::{Current, Snapshot};
use aftertake::model::secret::Mask;
use aftertake::model::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::test_service::{Env, parse};

const HOUR: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(50);
/// A timeout that no test reaches: turns a hang into a failure.
const TOO_LONG: Duration = Duration::from_mins(1);

/// These rules in force since `loaded`.
fn in_force(rules: &str, loaded: Timestamp) -> Current {
    let (file, lookup) = (parse(rules, &Env::new()), Arc::new(Env::new()));
    let opened = Snapshot::open(file, lookup, &Mask::default(), loaded);
    Current::new(opened.unwrap())
}

/// Limits that no test reaches by chance.
const PATIENT: Limits = Limits {
    connections: 100,
    head_bytes: 8192,
    first_head: HOUR,
    next_head: HOUR,
    body: BodyLimits {
        bytes: 1000,
        dropped: 100_000_000,
        time: HOUR,
    },
    drain: HOUR,
};

struct Listening {
    addr: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<Drained>,
}

impl Listening {
    async fn start(site: Site, limits: Limits) -> Self {
        let listener = bind(([127, 0, 0, 1], 0).into(), "--listen").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, site, limits, stop.clone()));
        Self { addr, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        rest(&mut stream).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

/// Everything received until the connection ends or is reset.
async fn rest(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    let _ = tokio::time::timeout(TOO_LONG, stream.read_to_end(&mut received))
        .await
        .expect("the connection ends");
    String::from_utf8(received).unwrap()
}
