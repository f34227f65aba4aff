//! `POST /-/reload`: an operator asks to reload the rules file.
//!
//! Knows only the response; `app` does the loading.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::{HeaderMap, Method};
use serde_json::json;
use warp::http::StatusCode;
use warp::reply::Response;

use super::ops::Ops;
use super::{origin, reply};
use crate::in_force::Snapshot;
use crate::model::time::Timestamp;

#[async_trait]
pub trait Reload: Send + Sync {
    /// Loads the whole file, or leaves the rules in force unchanged and returns why. Finishes also
    /// if the caller no longer waits.
    async fn reload(&self) -> Result<Arc<Snapshot>, ReloadRefused>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadRefused {
    pub at: Timestamp,
    /// The message of `rules check`, without secrets.
    pub reason: String,
    /// Whether a retry with the same file may succeed: the store was unavailable.
    pub passing: bool,
}

pub(super) async fn answer(method: Method, headers: HeaderMap, ops: Ops) -> Response {
    if method != Method::POST {
        return reply::not_allowed("POST");
    }
    if let Some(reason) = origin::refusal(&headers, ops.token.is_some()) {
        return reply::error(StatusCode::FORBIDDEN, reason);
    }
    match ops.reload.reload().await {
        Ok(snapshot) => {
            let (revision, loaded) = (snapshot.revision().to_string(), snapshot.loaded);
            let document = json!({ "revision": revision, "loaded": loaded });
            reply::json(StatusCode::OK, document.to_string())
        }
        Err(ReloadRefused {
            reason, passing, ..
        }) if passing => reply::come_again(&reason),
        Err(ReloadRefused { reason, .. }) => {
            reply::error(StatusCode::UNPROCESSABLE_ENTITY, &reason)
        }
    }
}
