//! Posts to wrong paths.
//!
//! If the path is mistyped in the recorder's console, every callback is lost and the recorder
//! reports nothing. So they are counted, and logged at most once a minute.

use std::future::ready;
use std::sync::Arc;

use hyper::Method;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::reply;
use crate::model::recorder::Recorder;
use crate::recorder;
use crate::telemetry::log::OncePerMinute;
use crate::telemetry::{CallbackResult, Metrics};

/// Longest part of a path in the log, in characters.
const SHOWN: usize = 200;

/// Answers 404 to a POST that no other route takes; rejects everything else.
pub(super) fn wrong_path(
    metrics: Arc<Metrics>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let limited = Arc::new(OncePerMinute::default());
    warp::method()
        .and(warp::path::full())
        .and_then(move |method: Method, path: FullPath| {
            let is_known = path.as_str() == reply::HEALTHZ;
            if method != Method::POST || is_known {
                return ready(Err(warp::reject::not_found()));
            }
            metrics.callback(CallbackResult::WrongPath);
            if let Some(left_out) = limited.line() {
                log(path.as_str(), left_out);
            }
            ready(Ok(reply::nothing_here()))
        })
}

fn log(path: &str, left_out: u64) {
    let path: String = path.chars().take(SHOWN).collect();
    tracing::warn!(
        result = CallbackResult::WrongPath.name(),
        ?path,
        left_out,
        "posted to a wrong path; callbacks go to {}",
        Recorder::ALL.map(recorder::path).join(", ")
    );
}
