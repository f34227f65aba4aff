//! `POST /-/reload`: an operator asks for the rules file to be loaded again.
//!
//! Knows how the answer looks; loading is the application's.

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

/// Loads the rules file again.
#[async_trait]
pub trait Reload: Send + Sync {
    /// Loads the file whole, or leaves the rules in force as they are and says why. Goes
    /// on to its end also when nobody waits for the answer.
    async fn reload(&self) -> Result<Arc<Snapshot>, Refused>;
}

/// A reload that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub at: Timestamp,
    /// What `rules check` says of the file; names no secret.
    pub reason: String,
    /// Whether another try can succeed with the file as it is: the store was away.
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
        Err(Refused {
            reason, passing, ..
        }) if passing => reply::come_again(&reason),
        Err(Refused { reason, .. }) => reply::error(StatusCode::UNPROCESSABLE_ENTITY, &reason),
    }
}
