//! Answers: a status and a short JSON text that anybody may read.
//!
//! Nothing private gets in here; what an operator needs beside it is in the log.

use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::body::Cut;

/// A JSON document with this status.
pub(super) fn json(status: StatusCode, document: impl Into<String>) -> Response {
    let mut response = document.into().into_response();
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `{"error": reason}` with this status.
pub(super) fn error(status: StatusCode, reason: &str) -> Response {
    json(status, json!({ "error": reason }).to_string())
}

/// 405 with the methods that are allowed.
pub(super) fn not_allowed(methods: &'static str) -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed here");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// 503 that asks the sender to come again in five seconds.
pub(super) fn come_again(reason: &str) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, reason);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// 401 that asks for a bearer token.
pub(super) fn token_needed() -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, "bearer token missing or wrong");
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The answer to a request whose body was not read whole. It ends the connection, for
/// where the next request would begin is not known.
pub(super) fn cut(cut: Cut) -> Response {
    let mut response = match cut {
        Cut::TooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, "body too large"),
        Cut::TimedOut => error(StatusCode::REQUEST_TIMEOUT, "body did not arrive in time"),
        Cut::Broken => error(StatusCode::BAD_REQUEST, "body broken off"),
    };
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// 404.
pub(super) fn nothing_here() -> Response {
    error(StatusCode::NOT_FOUND, "nothing here")
}

/// The path of [`healthz`].
pub(super) const HEALTHZ: &str = "/healthz";

/// `GET /healthz`: the process runs and answers.
pub(super) fn healthz() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    warp::path!("healthz")
        .and(get_or_head())
        .map(|| json(StatusCode::OK, r#"{"status":"ok"}"#))
}

/// `GET` and `HEAD`: the only methods of every path but the callback's.
pub(super) fn get_or_head() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::get().or(warp::head()).unify()
}

/// The answer to what no route took.
pub(super) fn rejected(rejection: &Rejection) -> Response {
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        return not_allowed("GET, HEAD");
    }
    nothing_here()
}
