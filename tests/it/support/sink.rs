//! A webhook receiver that answers from a script and records the requests.
//!
//! Real HTTP. Each request takes the script's next reply; when the script is used up, the reply
//! is 200. Tests wait for the n-th request, never for time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use url::Url;

use super::in_time;

#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    /// The header's value; empty if missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// This reply, after the test calls [`Sink::release`].
    Held(Box<Reply>),
    /// No response, ever.
    Hang,
    /// The connection is reset before a response.
    Reset,
    /// 200 and the start of a body, then the connection closes.
    CutShort,
    /// 200 and a body without end.
    Endless,
    /// 200 and the request's own body.
    Echo,
}

impl Reply {
    /// A response with only this status.
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    pub(crate) fn body(mut self, content: impl Into<Bytes>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = content.into();
        }
        self
    }

    /// This reply, held until it is released.
    pub(crate) fn held(self) -> Self {
        Self::Held(Box::new(self))
    }
}

/// The receiver. Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    received: watch::Sender<Vec<Received>>,
    released: Semaphore,
    connections: AtomicUsize,
}

impl Sink {
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            received: watch::Sender::default(),
            released: Semaphore::new(0),
            connections: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            accepting,
        }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        let address = self.address;
        format!("http://{address}{path}").parse().unwrap()
    }

    /// The port, for use with other host names.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn then(&self, reply: Reply) {
        self.shared.script.lock().unwrap().push_back(reply);
    }

    /// Releases `count` held replies.
    pub(crate) fn release(&self, count: usize) {
        self.shared.released.add_permits(count);
    }

    /// Waits until `count` requests were fully received, and returns all so far.
    pub(crate) async fn received(&self, count: usize) -> Vec<Received> {
        let mut received = self.shared.received.subscribe();
        let enough = received.wait_for(|received| received.len() >= count);
        in_time(enough).await.unwrap().clone()
    }

    /// Waits until `count` more requests were received.
    pub(crate) async fn received_more(&self, count: usize) {
        let mut received = self.shared.received.subscribe();
        let enough = received.borrow().len() + count;
        let signal = received.wait_for(|received| received.len() >= enough);
        in_time(signal).await.unwrap();
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.received.borrow().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.received.borrow().len()
    }

    /// The number of connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream, shared.clone()));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let stream = stream.into_std().unwrap();
    // A second handle on the socket: the first belongs to the HTTP server.
    let reset = Arc::new(TcpStream::from_std(stream.try_clone().unwrap()).unwrap());
    let service = service_fn(move |request| answer(request, shared.clone(), reset.clone()));
    let stream = TokioIo::new(TcpStream::from_std(stream).unwrap());
    // Errors are scripted, or the client went away.
    let _ = http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    socket: Arc<TcpStream>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let (head, body) = request.into_parts();
    let received = Received {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let reply = shared.script.lock().unwrap().pop_front();
    let body = received.body.clone();
    shared.received.send_modify(|all| all.push(received));
    let mut reply = reply.unwrap_or_else(|| Reply::status(200));
    while let Reply::Held(inner) = reply {
        shared.released.acquire().await?.forget();
        reply = *inner;
    }
    match reply {
        Reply::Answer {
            status,
            headers,
            body,
        } => Ok(whole(status, headers, body)),
        Reply::Echo => Ok(whole(200, Vec::new(), body)),
        Reply::Hang => std::future::pending().await,
        Reply::Reset => {
            // Closing with linger zero sends RST instead of FIN.
            socket.set_zero_linger()?;
            Err("reset".into())
        }
        Reply::CutShort => Ok(streamed(
            stream::once(async { Ok(Frame::data(Bytes::from_static(b"half"))) }).chain(
                stream::once(async {
                    // Lets the server send the first half before it sees the error.
                    tokio::task::yield_now().await;
                    Err("cut short".into())
                }),
            ),
        )),
        Reply::Endless => Ok(streamed(stream::repeat_with(|| {
            Ok(Frame::data(Bytes::from_static(&[b'x'; 1000])))
        }))),
        Reply::Held(_) => unreachable!("held replies were unwrapped above"),
    }
}

fn whole(status: u16, headers: Vec<(&'static str, String)>, body: Bytes) -> Response<Body> {
    let body = http_body_util::Full::new(body).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

fn streamed<S>(frames: S) -> Response<Body>
where
    S: futures_util::Stream<Item = Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    let frames: Pin<Box<S>> = Box::pin(frames);
    Response::new(StreamBody::new(frames).boxed_unsync())
}
