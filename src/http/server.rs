//! One listener: accepts connections within limits, hands whole requests to its routes,
//! and drains within a time.
//!
//! Knows no path. It stands in for warp's own server, which has no timer and no cap on
//! connections, panics when the port is taken and drains without end.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::body;
use super::reply;

pub use super::body::{BodyLimits, Cut};

/// What a listener answers with: routes that take every request.
pub type Routes = BoxedFilter<(Response,)>;

/// What a listener is bound for.
#[derive(Clone)]
pub struct Site {
    routes: Routes,
    on_cut: Arc<dyn Fn(Cut) + Send + Sync>,
}

/// What a listener puts up with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections held open at once. When the last one is taken, the oldest gives way:
    /// at once, or once its present request is answered.
    pub connections: usize,
    /// Bytes of a request's head; at least 8,192.
    pub head_bytes: usize,
    /// The time from a connection's begin to the end of its first request's head.
    pub first_head: Duration,
    /// The time from an answer to the end of the next request's head.
    pub next_head: Duration,
    pub body: BodyLimits,
    /// The time that connections have to end once the listener stops.
    pub drain: Duration,
}

impl Limits {
    /// The callback listener's. A callback has about a kilobyte.
    pub const PUBLIC: Self = Self {
        // Half of the file handles that a process commonly may open: store and outgoing
        // requests need some too.
        connections: 512,
        head_bytes: 16 * 1024,
        first_head: Duration::from_secs(10),
        // Load balancers keep a pooled connection for 60 s: were we first to close it, a
        // callback sent at that moment would be answered with the balancer's 502.
        next_head: Duration::from_secs(75),
        body: BodyLimits {
            bytes: 64 * 1024,
            dropped: 4 * 1024 * 1024,
            time: Duration::from_secs(10),
        },
        drain: Duration::from_secs(10),
    };

    /// The operator listener's.
    pub const ADMIN: Self = Self {
        connections: 64,
        ..Self::PUBLIC
    };
}

/// Nothing can be listened on at the address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("address in use: another program listens on {addr}; choose another with {flag}")]
    InUse {
        addr: SocketAddr,
        flag: &'static str,
    },
    #[error("cannot listen on {addr}: {source}; choose another with {flag}")]
    Refused {
        addr: SocketAddr,
        flag: &'static str,
        source: io::Error,
    },
}

impl BindError {
    /// Whether another try may succeed: a program ends, or an address is still to be set up.
    pub fn passes(&self) -> bool {
        match self {
            Self::InUse { .. } => true,
            Self::Refused { source, .. } => source.kind() == io::ErrorKind::AddrNotAvailable,
        }
    }
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not ended within [`Limits::drain`] and were cut.
    pub cut: usize,
}

/// Listens on `addr`; `flag` is the option that an operator can choose another with.
pub async fn bind(addr: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr, flag },
            _ => BindError::Refused { addr, flag, source },
        })
}

/// Serves `site` on `listener` until `stop`, then lets requests that have begun end.
pub async fn serve(
    listener: TcpListener,
    site: Site,
    limits: Limits,
    stop: CancellationToken,
) -> Drained {
    let oldest = Arc::new(Notify::new());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept(), if connections.len() < limits.connections => {
                match accepted {
                    Ok((stream, _peer)) => {
                        let connection = Connection {
                            site: site.clone(),
                            limits,
                            phase: Arc::default(),
                        };
                        let leave = Leave {
                            stop: stop.clone(),
                            give_way: in_line(&oldest),
                        };
                        connections.spawn(connection.run(stream, leave));
                        if connections.len() == limits.connections {
                            oldest.notify_one();
                        }
                    }
                    Err(error) => pause(&error).await,
                }
            }
        }
    }
    drop(listener);
    drain(connections, limits.drain).await
}

impl Site {
    /// A site that answers with `routes`, and calls `on_cut` for each request that does
    /// not get to them because its body was not read whole.
    pub fn new(routes: Routes, on_cut: impl Fn(Cut) + Send + Sync + 'static) -> Self {
        Self {
            routes,
            on_cut: Arc::new(on_cut),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

/// One connection and what it is doing.
#[derive(Clone)]
struct Connection {
    site: Site,
    limits: Limits,
    phase: Arc<AtomicU8>,
}

/// What makes a connection end before its client wants it to.
struct Leave {
    stop: CancellationToken,
    give_way: Pin<Box<OwnedNotified>>,
}

/// No request has come yet.
const FRESH: u8 = 0;
/// We wait for the client: for a body, for its next request, for it to read.
const WAITING: u8 = 1;
/// The client waits for us.
const ANSWERING: u8 = 2;

impl Connection {
    /// Serves the connection to its end. Dropping it part-way breaks it off.
    async fn run(self, stream: TcpStream, mut leave: Leave) {
        // Answers are small and written at once: holding them back gains nothing.
        let _ = stream.set_nodelay(true);
        let asked = self.clone();
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.next_head)
                .max_buf_size(self.limits.head_bytes)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request| asked.clone().answer(request)),
                )
        );
        let mut first_head = pin!(tokio::time::sleep(self.limits.first_head));
        let (mut ending, mut begun) = (false, false);
        loop {
            tokio::select! {
                // The error is the client's: it broke off, or sent what is not HTTP.
                _ = connection.as_mut() => return,
                () = &mut first_head, if !begun => {
                    if self.is(FRESH) {
                        return;
                    }
                    begun = true;
                    continue;
                }
                () = leave.stop.cancelled(), if !ending => {}
                () = leave.give_way.as_mut(), if !ending => {
                    if !self.is(ANSWERING) {
                        return;
                    }
                }
            }
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        self.enter(WAITING);
        let (head, incoming) = request.into_parts();
        let body = match body::whole(&head, incoming, self.limits.body).await {
            Ok(body) => body,
            Err(cut) => {
                (self.site.on_cut)(cut);
                return Ok(reply::cut(cut));
            }
        };
        self.enter(ANSWERING);
        let routes = TowerToHyperService::new(warp::service(self.site.routes.clone()));
        let answer = routes
            .call(Request::from_parts(head, Full::new(body)))
            .await;
        self.enter(WAITING);
        answer
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.phase.load(Ordering::Relaxed) == phase
    }
}

/// A place in the line of those that `oldest` wakes one by one: taken when a connection
/// is accepted and not when it first runs, so that the line is in that order.
fn in_line(oldest: &Arc<Notify>) -> Pin<Box<OwnedNotified>> {
    let mut place = Box::pin(Arc::clone(oldest).notified_owned());
    place.as_mut().enable();
    place
}

async fn drain(mut connections: JoinSet<()>, time: Duration) -> Drained {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    let _ = tokio::time::timeout(time, all).await;
    let cut = connections.len();
    connections.shutdown().await;
    Drained { cut }
}

/// A failed accept says nothing of the next one, but may be for want of file handles:
/// trying again at once would only burn the processor.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        // Not the error: it holds the crash's message, and with it what a stranger sent.
        tracing::error!("a request crashed; its connection was cut");
    }
}
