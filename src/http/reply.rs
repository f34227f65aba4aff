//! Responses: a status and a short JSON text without anything private. Details are in the log.

use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::json;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::body::Cut;

pub(super) fn json(status: StatusCode, document: impl Into<String>) -> Response {
    let mut response = document.into().into_response();
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn error(status: StatusCode, reason: &str) -> Response {
    json(status, json!({ "error": reason }).to_string())
}

/// 405 with the allowed methods.
pub(super) fn not_allowed(methods: &'static str) -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed here");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// 503 with `Retry-After: 5`.
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

/// The response to a request whose body was not read completely. Closes the connection, because the
/// start of the next request is unknown.
pub(super) fn cut(cut: Cut) -> Response {
    let status = match cut {
        Cut::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Cut::TimedOut => StatusCode::REQUEST_TIMEOUT,
        Cut::Broken => StatusCode::BAD_REQUEST,
    };
    let mut response = error(status, &cut.to_string());
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(super) fn nothing_here() -> Response {
    error(StatusCode::NOT_FOUND, "nothing here")
}

pub(super) const HEALTHZ: &str = "/healthz";

/// `GET /healthz`: the process is running.
pub(super) fn healthz() -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    warp::path!("healthz")
        .and(get_or_head())
        .map(|| json(StatusCode::OK, r#"{"status":"ok"}"#))
}

/// `GET` and `HEAD`: the only methods of every path except the callback's.
pub(super) fn get_or_head() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::get().or(warp::head()).unify()
}

/// The response to a request that no route took.
pub(super) fn rejected(rejection: &Rejection) -> Response {
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        return not_allowed("GET, HEAD");
    }
    nothing_here()
}
