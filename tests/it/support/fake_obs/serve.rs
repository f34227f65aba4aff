//! Connections, faults, and the headers of every response.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::clock;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::fault::{Fault, Lost, Planned};
use super::operations::{self, Effect, Outcome, Reply};
use super::request::Recorded;
use super::{State, signature, xml};

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;
type Shared = Arc<Mutex<State>>;

pub(super) async fn start(state: Shared) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let state = Arc::clone(&state);
            connections.spawn(async move {
                let answer = service_fn(move |request| answer(Arc::clone(&state), request));
                // An error here is a fault that closed the connection on purpose.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
    (address, serving)
}

/// Counts the request as in flight while it is answered.
async fn answer(state: Shared, request: Request<Incoming>) -> io::Result<Response<Body>> {
    {
        let mut state = state.lock().unwrap();
        state.under_way += 1;
        state.most = state.most.max(state.under_way);
    }
    let answered = respond(Arc::clone(&state), request).await;
    state.lock().unwrap().under_way -= 1;
    answered
}

/// `Err` closes the connection.
async fn respond(state: Shared, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let arrived;
    let (request, fault) = {
        let mut state = state.lock().unwrap();
        let request = Recorded::new(state.requests.len(), &parts, body);
        state.requests.push(request.clone());
        arrived = state.arrived.clone();
        let fault = Planned::take(&mut state.faults, &request);
        (request, fault)
    };
    arrived.send_replace(());
    let time = state.lock().unwrap().answer_time.clone();
    if let Some(time) = time {
        tokio::time::sleep(time(&request)).await;
    }
    let outcome = match &fault {
        Some(Fault::SilentBefore) => pending().await,
        Some(Fault::DropBefore) => return Err(io::Error::other("dropped before")),
        Some(Fault::Refuse(status, code)) => Err((*status, *code)),
        Some(Fault::ErrorInside(code)) => Ok(Reply::document(200, error(&request, code))),
        Some(Fault::NothingInside) => Ok(Reply::status(200)),
        Some(Fault::Page(status)) => Ok(page(*status)),
        Some(Fault::Redirect(location)) => Ok(Reply::status(307).header("location", location)),
        Some(Fault::Wait(seconds)) => {
            let reply = refusal(&request, 503, "SlowDown");
            Ok(reply.header("retry-after", &seconds.to_string()))
        }
        Some(Fault::Stale) => {
            let before = state.lock().unwrap().before.clone();
            let mut before = before.expect("the test keeps the world for stale reads");
            operations::carry_out(&mut before, &request)
        }
        Some(Fault::Hold(gate)) => {
            gate.pass().await;
            carry_out(&state, &request)
        }
        Some(Fault::Slow(gate)) => {
            let gate = gate.clone();
            take_time(&state, &request, async move { gate.pass().await }).await
        }
        Some(Fault::Late(_)) => set_aside(&state, &request),
        _ => match copy_time(&state, &request) {
            Some(time) => take_time(&state, &request, tokio::time::sleep(time)).await,
            None => carry_out(&state, &request),
        },
    };
    let outcome = match fault {
        Some(Fault::SilentAfter) => pending().await,
        Some(Fault::DropAfter) => return Err(io::Error::other("dropped after")),
        Some(Fault::RefuseAfter(status, code)) => Err((status, code)),
        Some(Fault::ErrorInsideAfter(code)) => Ok(Reply::document(200, error(&request, code))),
        Some(Fault::NothingInsideAfter) => Ok(Reply::status(200)),
        Some(Fault::PageAfter(status)) => Ok(page(status)),
        Some(Fault::HoldAfter(ref gate)) => {
            gate.pass().await;
            outcome
        }
        Some(Fault::Late(lost)) if outcome.is_ok() => match lost {
            Lost::Dropped => return Err(io::Error::other("dropped")),
            Lost::Silent => pending().await,
            Lost::Refused(status, code) => Err((status, code)),
        },
        _ => outcome,
    };
    let reply = outcome.unwrap_or_else(|(status, code)| refusal(&request, status, code));
    let mut state = state.lock().unwrap();
    state.requests[request.number].status = Some(reply.status);
    let body = match fault {
        Some(Fault::CutAnswer) => half(&reply.body, stream::iter([Err(io::Error::other("cut"))])),
        Some(Fault::StallAnswer) => half(&reply.body, stream::pending()),
        _ => Full::new(reply.body.clone()).map_err(never).boxed_unsync(),
    };
    Ok(frame(&reply, &request, state.ahead_ms, body))
}

fn carry_out(state: &Shared, request: &Recorded) -> Outcome {
    let mut state = state.lock().unwrap();
    signature::check(request, state.ahead_ms, state.token)?;
    state.change(request, |world| operations::carry_out(world, request))
}

fn accept(state: &mut State, request: &Recorded) -> Result<Effect, (u16, &'static str)> {
    signature::check(request, state.ahead_ms, state.token)?;
    operations::accept(&mut state.world, request)
}

fn copy_time(state: &Shared, request: &Recorded) -> Option<Duration> {
    let time = state.lock().unwrap().copy_time.clone()?;
    request.is_copy().then(|| time(request))
}

/// Accepts a request and carries it out after `time`, on a separate task: a server goes on
/// when its client is gone.
async fn take_time(
    state: &Shared,
    request: &Recorded,
    time: impl Future<Output = ()> + Send + 'static,
) -> Outcome {
    let effect = accept(&mut state.lock().unwrap(), request)?;
    let (state, request) = (Arc::clone(state), request.clone());
    let work = tokio::spawn(async move {
        time.await;
        state.lock().unwrap().change(&request, effect)
    });
    work.await.unwrap()
}

/// Accepts a request that the test carries out later.
fn set_aside(state: &Shared, request: &Recorded) -> Outcome {
    let arrived = {
        let mut state = state.lock().unwrap();
        let effect = accept(&mut state, request)?;
        state.late.push((request.clone(), effect));
        state.arrived.clone()
    };
    arrived.send_replace(());
    Ok(Reply::status(202))
}

fn request_id(request: &Recorded) -> String {
    format!("FAKE{:08}", request.number)
}

fn error(request: &Recorded, code: &str) -> String {
    let inside = format!(
        "<Code>{code}</Code><Message>the fake says {code}</Message><RequestId>{}</RequestId>\
         <HostId>fake</HostId>",
        request_id(request)
    );
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{inside}</Error>")
}

/// A refusal; for HEAD the error is in headers.
fn refusal(request: &Recorded, status: u16, code: &str) -> Reply {
    if request.method == Method::HEAD {
        let mut reply = Reply::status(status);
        if !code.is_empty() {
            let message = format!("the fake says {code}");
            reply = reply
                .header("x-obs-error-code", code)
                .header("x-obs-error-message", &message);
        }
        return reply;
    }
    Reply::document(status, error(request, &xml::escape(code)))
}

/// A proxy's error page.
fn page(status: u16) -> Reply {
    let body = format!("<html><head><title>{status}</title></head><body>proxy</body></html>");
    Reply {
        body: Bytes::from(body),
        ..Reply::status(status)
    }
    .header("content-type", "text/html")
}

fn frame(reply: &Reply, request: &Recorded, ahead_ms: i64, body: Body) -> Response<Body> {
    let now_ms = clock::now().millis() + ahead_ms;
    let date = chrono::DateTime::from_timestamp_millis(now_ms).unwrap();
    let mut response = Response::builder()
        .status(reply.status)
        .header("server", "OBS")
        .header("x-obs-request-id", request_id(request))
        .header("date", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}

/// Half of the body, then `then`.
fn half(body: &Bytes, then: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static) -> Body {
    let half = Frame::data(body.slice(..body.len() / 2));
    let frames = stream::iter([Ok(half)]).chain(then).boxed();
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

fn never(never: Infallible) -> io::Error {
    match never {}
}
