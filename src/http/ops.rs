//! The operator listener: readiness, metrics and reload.
//!
//! Readiness never depends on a bucket or a destination: while they are down, callbacks must still
//! arrive and be stored.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use warp::http::StatusCode;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use crate::clock;
use crate::in_force::Current;
use crate::intake::backlog::BacklogLimits;
use crate::store::{Figures, Store, Unavailable};
use crate::telemetry::{Metrics, metrics};

use super::reload::{self, Reload, ReloadRefused};
use super::reply;
use super::server::Site;

/// How long the store may take to prove that it can store a callback: as long as a sender waits.
const STORE_PATIENCE: Duration = BacklogLimits::SERVICE.stored_within;

#[derive(Clone)]
pub struct Ops {
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
    pub current: Current,
    pub status: watch::Receiver<ServiceStatus>,
    pub reload: Arc<dyn Reload>,
    /// Required for everything except `/healthz`.
    pub token: Option<Token>,
}

/// Present state of reloads and workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceStatus {
    /// The last reload, if it was refused.
    pub refused: Option<ReloadRefused>,
    /// Why no task is claimed at present.
    pub workers_paused: Option<String>,
}

/// The bearer token of the operator listener, stored as its digest.
#[derive(Clone)]
pub struct Token([u8; 32]);

pub fn site(ops: Ops) -> Site {
    let token = ops.token.clone();
    let ops = warp::any().map(move || ops.clone());
    let readyz = warp::path!("readyz")
        .and(reply::get_or_head())
        .and(ops.clone())
        .then(readyz);
    let metrics = warp::path!("metrics")
        .and(reply::get_or_head())
        .and(ops.clone())
        .then(metrics);
    let reload = warp::path!("-" / "reload")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(ops)
        .then(reload::answer);
    let guarded = readyz.or(metrics).unify().or(reload).unify();
    let routes = reply::healthz()
        .or(token_bearer(token).and(guarded))
        .unify()
        .recover(async |rejection| Ok::<_, Infallible>(rejected(&rejection)))
        .unify()
        .boxed();
    Site::new(routes, |_cut| {})
}

async fn readyz(ops: Ops) -> Response {
    let store = ops.store_ready().await;
    let status = ops.status.borrow().clone();
    let (ready, in_force) = (store.is_ok(), ops.current.get());
    let document = json!({
        "ready": ready,
        "version": env!("CARGO_PKG_VERSION"),
        "revision": in_force.revision().to_string(),
        "loaded": in_force.loaded,
        "reload_error": status.refused.map(|ReloadRefused { at, reason, .. }| json!({ "at": at, "reason": reason })),
        "store": store.map_or_else(|reason| reason, |()| "open".to_owned()),
        "workers_paused": status.workers_paused,
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    reply::json(status, document.to_string())
}

async fn metrics(ops: Ops) -> Response {
    // Without an answer the queue's last figures remain, and `store_up` is 0.
    let (figures, store) = tokio::join!(ops.figures(), ops.store_ready());
    ops.metrics.store_up(figures.is_ok() && store.is_ok());
    if let Ok(figures) = figures {
        let Figures {
            ready,
            running,
            done,
            dead,
            cancelled,
            oldest_due,
            oldest_waiting,
            leaving,
        } = figures;
        let tasks = [ready, running, done, dead, cancelled];
        ops.metrics.queue(tasks, oldest_due, oldest_waiting);
        ops.metrics.leaving(leaving);
    }
    let paused = ops.status.borrow().workers_paused.is_some();
    ops.metrics.workers_paused(paused);
    let mut response = ops.metrics.encode().into_response();
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(metrics::CONTENT_TYPE),
    );
    response
}

impl Ops {
    async fn figures(&self) -> Result<Figures, String> {
        in_time(self.store.figures(clock::now())).await
    }

    async fn store_ready(&self) -> Result<(), String> {
        in_time(self.store.ready()).await
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Unavailable>>) -> Result<T, String> {
    tokio::time::timeout(STORE_PATIENCE, call)
        .await
        .map_err(|_elapsed| format!("store: no answer within {} s", STORE_PATIENCE.as_secs()))?
        .map_err(|unavailable| unavailable.to_string())
}

impl Token {
    /// Trims white space: token files often end with a line break.
    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.trim()).into())
    }

    /// Compares digests in full, so that timing reveals nothing about a guess.
    fn is(&self, text: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let difference = self
            .0
            .iter()
            .zip(digest)
            .fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs));
        difference == 0
    }
}

#[derive(Debug)]
struct TokenNeeded;

impl warp::reject::Reject for TokenNeeded {}

fn token_bearer(token: Option<Token>) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::header::headers_cloned()
        .and_then(move |headers: HeaderMap| {
            std::future::ready(match (&token, bearer(&headers)) {
                (None, _) => Ok(()),
                (Some(token), Some(presented)) if token.is(presented) => Ok(()),
                (Some(_), _) => Err(warp::reject::custom(TokenNeeded)),
            })
        })
        .untuple_one()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn rejected(rejection: &Rejection) -> Response {
    match rejection.find::<TokenNeeded>() {
        Some(TokenNeeded) => reply::token_needed(),
        None => reply::rejected(rejection),
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ops")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}
