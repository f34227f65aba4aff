//! The callback listener: the response to each outcome.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use warp::Filter;
use warp::http::StatusCode;
use warp::reply::Response;

use super::reply;
use super::server::{Cut, Site};
use super::wrong_path::wrong_path;
use crate::clock;
use crate::intake::{Intake, Outcome};
use crate::model::recorder::Recorder;
use crate::recorder::{self, Refusal};
use crate::telemetry::log::OncePerMinute;
use crate::telemetry::{CallbackResult, Metrics};

/// `POST` to the path of each recorder, and `/healthz`.
pub fn site(intake: Arc<Intake>, metrics: Arc<Metrics>) -> Site {
    let elsewhere = wrong_path(Arc::clone(&metrics));
    let counted = Arc::clone(&metrics);
    let callback = warp::path(recorder::CALLBACKS)
        .and(warp::path::param::<Recorder>())
        .and(warp::path::end())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::bytes())
        .then(
            move |from, method: Method, headers: HeaderMap, body: Bytes| {
                let (intake, metrics) = (Arc::clone(&intake), Arc::clone(&counted));
                async move {
                    let (result, response) = match request(&method, &body) {
                        Request::Callback => take(intake, from, &headers, body).await,
                        Request::Probe => (CallbackResult::Probe, success(from)),
                        Request::Other => return reply::not_allowed("GET, HEAD, POST"),
                    };
                    metrics.callback(result);
                    response
                }
            },
        );
    let routes = callback
        .or(reply::healthz())
        .unify()
        .or(elsewhere)
        .unify()
        .recover(async |rejection| Ok::<_, Infallible>(reply::rejected(&rejection)))
        .unify()
        .boxed();
    let limited = OncePerMinute::default();
    Site::new(routes, move |cut| {
        let result = match cut {
            Cut::TooLarge(_) => CallbackResult::TooLarge,
            Cut::TimedOut => CallbackResult::Timeout,
            Cut::Broken => CallbackResult::Malformed,
        };
        metrics.callback(result);
        if let Some(left_out) = limited.line() {
            let result = result.name();
            tracing::warn!(
                result,
                left_out,
                "callback refused: {cut}; the recorder may repeat it"
            );
        }
    })
}

enum Request {
    Callback,
    /// Checks whether the service answers: a recorder's console sends one when the address is set.
    Probe,
    Other,
}

fn request(method: &Method, body: &Bytes) -> Request {
    match *method {
        Method::GET | Method::HEAD => Request::Probe,
        Method::POST if body.is_empty() => Request::Probe,
        Method::POST => Request::Callback,
        _ => Request::Other,
    }
}

async fn take(
    intake: Arc<Intake>,
    from: Recorder,
    headers: &HeaderMap,
    body: Bytes,
) -> (CallbackResult, Response) {
    let outcome = intake.take(from, headers, body, clock::now()).await;
    let response = match &outcome {
        Outcome::Stored | Outcome::Unmatched | Outcome::Duplicate => success(from),
        Outcome::Refused(refusal) => refuse(refusal),
        Outcome::Overloaded => reply::come_again("too many callbacks at once"),
        Outcome::Unavailable => reply::come_again("cannot store the callback now"),
    };
    (outcome.result(), response)
}

fn success(from: Recorder) -> Response {
    reply::json(StatusCode::OK, recorder::success(from))
}

fn refuse(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Signature(_) => {
            reply::error(StatusCode::UNAUTHORIZED, "signature missing or wrong")
        }
        Refusal::NotAnEvent(_) => {
            reply::error(StatusCode::BAD_REQUEST, "body is not a JSON object")
        }
        Refusal::Encoded(reason) => reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason),
    }
}
