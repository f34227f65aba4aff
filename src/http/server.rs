//! One listener: accepts a limited number of connections, passes whole requests to its routes, and
//! drains within a time limit.
//!
//! Replaces warp's own server, which has no timeouts and no limit of connections, panics if the
//! port is taken, and drains without limit.

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

/// Routes that answer every request.
pub type Routes = BoxedFilter<(Response,)>;

/// What a listener serves.
#[derive(Clone)]
pub struct Site {
    routes: Routes,
    on_cut: Arc<dyn Fn(Cut) + Send + Sync>,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. When all are taken, the oldest is closed: at once, or after its present
    /// response.
    pub connections: usize,
    /// Size of a request's head; at least 8,192.
    pub head_bytes: usize,
    /// From accepting a connection to the end of its first request's head.
    pub first_head: Duration,
    /// From a response to the end of the next request's head.
    pub next_head: Duration,
    pub body: BodyLimits,
    /// How long connections may still take when the listener stops.
    pub drain: Duration,
}

impl Limits {
    /// Of the callback listener. A callback has about 1 kB.
    pub const PUBLIC: Self = Self {
        // Half of the common limit of open files: the store and outgoing requests need some too.
        connections: 512,
        head_bytes: 16 * 1024,
        first_head: Duration::from_secs(10),
        // Load balancers keep a pooled connection for 60 s. If we closed it first, a callback sent
        // at that moment would fail with the balancer's 502.
        next_head: Duration::from_secs(75),
        body: BodyLimits {
            bytes: 64 * 1024,
            dropped: 4 * 1024 * 1024,
            time: Duration::from_secs(10),
        },
        drain: Duration::from_secs(10),
    };

    /// Of the operator listener.
    pub const ADMIN: Self = Self {
        connections: 64,
        ..Self::PUBLIC
    };
}

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
    /// Whether a retry may succeed: the other program ends, or the address is configured later.
    pub fn passes(&self) -> bool {
        match self {
            Self::InUse { .. } => true,
            Self::Refused { source, .. } => source.kind() == io::ErrorKind::AddrNotAvailable,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections still open after [`Limits::drain`], which were cut.
    pub cut: usize,
}

/// Listens on `addr`; `flag` is the option that sets it, for error messages.
pub async fn bind(addr: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr, flag },
            _ => BindError::Refused { addr, flag, source },
        })
}

/// Serves `site` on `listener` until `stop`, then finishes the requests that have begun.
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
    /// `on_cut` is called for each request whose body was not read completely; such requests do not
    /// reach `routes`.
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

#[derive(Clone)]
struct Connection {
    site: Site,
    limits: Limits,
    phase: Arc<AtomicU8>,
}

/// Signals to close the connection before the client does.
struct Leave {
    stop: CancellationToken,
    give_way: Pin<Box<OwnedNotified>>,
}

/// No request has arrived yet.
const FRESH: u8 = 0;
/// We wait for the client: for a body, for its next request, or until it reads.
const WAITING: u8 = 1;
const ANSWERING: u8 = 2;

impl Connection {
    /// Serves the connection until it ends. Dropping the future cuts it.
    async fn run(self, stream: TcpStream, mut leave: Leave) {
        // Responses are small and written at once: `TCP_NODELAY` costs nothing.
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
                // The client's error: it closed the connection, or sent no HTTP.
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

/// A place in the queue of connections that `oldest` wakes one by one. Taken when a connection is
/// accepted, not when its task first runs, so that the queue is in that order.
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

/// The reason may be a lack of file handles: retrying at once would only burn the processor.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        // Not the error: it contains the panic's message, which may contain a stranger's input.
        tracing::error!("a request crashed; its connection was cut");
    }
}
