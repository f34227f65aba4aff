//! A webhook receiver that answers at once and counts requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// When the request for each callback arrived; kept only on demand.
    arrivals: Option<Mutex<BTreeMap<u64, Instant>>>,
    received: AtomicU64,
    target: AtomicU64,
    reached: Notify,
}

impl Sink {
    /// Serves on a free port until the process ends.
    pub(crate) async fn serve() -> (Arc<Self>, SocketAddr) {
        Self::start(Self::default()).await
    }

    /// Like `serve`, and records when the request for each callback arrives.
    pub(crate) async fn noting() -> (Arc<Self>, SocketAddr) {
        let arrivals = Some(Mutex::default());
        Self::start(Self {
            arrivals,
            ..Self::default()
        })
        .await
    }

    async fn start(sink: Self) -> (Arc<Self>, SocketAddr) {
        let sink = Arc::new(sink);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let counting = Arc::clone(&sink);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&counting).answer(stream));
            }
        });
        (sink, address)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    pub(crate) async fn reached(&self, count: u64) {
        self.target.store(count, Ordering::SeqCst);
        while self.received() < count {
            self.reached.notified().await;
        }
    }

    pub(crate) fn arrival(&self, number: u64) -> Option<Instant> {
        let arrivals = self.arrivals.as_ref()?.lock();
        arrivals.expect("no holder crashes").get(&number).copied()
    }

    fn note(&self, request: &[u8]) {
        let Some(arrivals) = &self.arrivals else {
            return;
        };
        let text = String::from_utf8_lossy(request);
        let name = text.split("stream_name\":\"stream").nth(1);
        if let Some(number) = name.and_then(|rest| rest.get(..9)?.parse().ok()) {
            let mut arrivals = arrivals.lock().expect("no holder crashes");
            arrivals.insert(number, Instant::now());
        }
    }

    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::with_capacity(8192);
        while stream
            .read_buf(&mut buffer)
            .await
            .is_ok_and(|read| read > 0)
        {
            while let Some(length) = request_length(&buffer) {
                self.note(&buffer[..length]);
                buffer.drain(..length);
                if self.received.fetch_add(1, Ordering::SeqCst) + 1
                    >= self.target.load(Ordering::SeqCst)
                {
                    self.reached.notify_one();
                }
                if stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}

/// The length of the first complete request in the buffer.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head + length.unwrap_or(0);
    (buffer.len() >= whole).then_some(whole)
}
