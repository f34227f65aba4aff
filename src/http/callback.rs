//! The callback listener: an event is answered 200 once it is stored, and not before.
//!
//! Knows no recorder's words: a [`Gate`] turns a request into an event with its plan,
//! or refuses it. Knows no worker: a [`Handoff`] takes on what a stored event starts.

use std::convert::Infallible;
use std::fmt::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use warp::Filter;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::clock;
use crate::model::failure::Failure;
use crate::model::id::TaskId;
use crate::model::plan::Plan;
use crate::model::recorder::Recorder;
use crate::model::time::Timestamp;
use crate::recorder::{self, Refusal};
use crate::store::{Arrival, Claim, Recorded, Store};
use crate::supervision::Supervisor;
use crate::telemetry::{CallbackResult, Metrics};

use super::astray::astray;
use super::crowd::Crowd;
use super::reply;
use super::seldom::Seldom;
use super::server::{Cut, Site};

/// Bytes of a refusal's reason that are logged: a stranger must not fill the log.
const LOGGED: usize = 480;

/// Turns a request into an event with its plan, or refuses it.
pub trait Gate: Send + Sync {
    /// Judges the request with these headers and this body, which came at `received`.
    fn admit(
        &self,
        from: Recorder,
        headers: &HeaderMap,
        body: Bytes,
        received: Timestamp,
    ) -> Result<Arrival, Refusal>;
}

/// Takes on the tasks that a stored event starts.
pub trait Handoff: Send + Sync {
    /// Reserves room for as many of the plan's tasks as can run now.
    fn reserve(&self, plan: &Plan) -> Box<dyn Reservation>;
}

/// Room for some of a plan's tasks; dropped, it is free again.
pub trait Reservation: Send {
    /// The tasks that there is room for: what [`Store::record`] starts.
    fn start(&self) -> Vec<TaskId>;

    /// The event is stored: runs the claims in the room reserved, and lets the workers
    /// know of the plan's other tasks.
    fn run(self: Box<Self>, claims: Vec<Claim>);
}

/// What a callback goes through.
#[derive(Clone)]
pub struct Intake {
    pub gate: Arc<dyn Gate>,
    pub store: Arc<dyn Store>,
    pub handoff: Arc<dyn Handoff>,
    pub crowd: Crowd,
    pub metrics: Arc<Metrics>,
    pub supervisor: Supervisor,
}

/// `POST` to the path of each recorder, and `/healthz`.
pub fn site(intake: Intake) -> Site {
    let metrics = Arc::clone(&intake.metrics);
    let elsewhere = astray(Arc::clone(&metrics));
    let serving = Arc::new(Serving {
        intake,
        doomed: Seldom::default(),
    });
    let callback = warp::path!("callbacks" / Recorder)
        .and(warp::any().map(move || Arc::clone(&serving)))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::bytes())
        .then(answer);
    let routes = callback
        .or(reply::healthz())
        .unify()
        .or(elsewhere)
        .unify()
        .recover(async |rejection| Ok::<_, Infallible>(reply::rejected(&rejection)))
        .unify()
        .boxed();
    Site::new(routes, move |cut| match cut {
        Cut::TooLarge => metrics.callback(CallbackResult::TooLarge),
        Cut::TimedOut => metrics.callback(CallbackResult::Timeout),
        Cut::Broken => metrics.callback(CallbackResult::Malformed),
    })
}

/// The intake as it serves.
struct Serving {
    intake: Intake,
    /// Lines about tasks that can never run.
    doomed: Seldom,
}

async fn answer(
    from: Recorder,
    serving: Arc<Serving>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let probe = match method {
        Method::GET | Method::HEAD => true,
        // The recorder's console checks that a URL can be reached when it is set.
        Method::POST => body.is_empty(),
        _ => return reply::not_allowed("GET, HEAD, POST"),
    };
    let (result, response) = if probe {
        (CallbackResult::Probe, success(from))
    } else {
        Arc::clone(&serving).take(from, &headers, body).await
    };
    serving.intake.metrics.callback(result);
    response
}

impl Serving {
    async fn take(
        self: Arc<Self>,
        from: Recorder,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (CallbackResult, Response) {
        let gate = &self.intake.gate;
        let admitted = gate.admit(from, headers, body.clone(), clock::now());
        match admitted {
            Ok(arrival) => {
                let result = self.store_in_time(arrival).await;
                (result, told(from, result))
            }
            Err(refusal) => refuse(&refusal, &body),
        }
    }

    /// Stores the arrival once there is a place for it. Lanes are not asked for room before,
    /// or a flood would keep it from tasks that wait in the store.
    ///
    /// A sender that has waited too long for the commit is refused though the event may be
    /// stored all the same: sent again it is a duplicate, and its tasks run either way.
    async fn store_in_time(self: Arc<Self>, arrival: Arrival) -> CallbackResult {
        let (event_id, crowd) = (arrival.event.id, self.intake.crowd.clone());
        let Some(place) = crowd.place().await else {
            tracing::warn!(%event_id, "too many callbacks wait for the disk; answered 503, not stored");
            return CallbackResult::Overloaded;
        };
        // In a task of its own: the server drops an answer in the making when the client
        // goes. Were the store's reply dropped with it, the claims in it would be held by
        // nobody until the next start.
        // A crash ends the service for the same reason.
        let supervisor = self.intake.supervisor.clone();
        let stored = tokio::spawn(async move {
            let stores = supervisor.watch("storing a callback", self.store(arrival));
            let result = stores.await;
            drop(place);
            result
        });
        match tokio::time::timeout(crowd.stored_within(), stored).await {
            Ok(Ok(Some(result))) => result,
            Ok(Ok(None) | Err(_)) => {
                tracing::error!(%event_id, "storing an event crashed; answered 503");
                CallbackResult::Unavailable
            }
            Err(_elapsed) => {
                tracing::warn!(%event_id, "the disk is slow; answered 503 before the event was stored");
                CallbackResult::Overloaded
            }
        }
    }

    /// Stores the arrival and hands on what it starts.
    async fn store(&self, arrival: Arrival) -> CallbackResult {
        let event_id = arrival.event.id;
        let tasks = arrival.plan.tasks.len();
        let doomed = doomed(&arrival.plan);
        let reservation = self.intake.handoff.reserve(&arrival.plan);
        let start = reservation.start();
        match self.intake.store.record(arrival, start).await {
            Ok(Recorded::New { claims }) => {
                tracing::info!(%event_id, tasks, "event stored");
                if let Some((task_id, failure)) = doomed
                    && let Some(left_out) = self.doomed.line()
                {
                    tracing::error!(%task_id, %event_id, %failure, left_out, "task is dead from the beginning");
                }
                reservation.run(claims);
                match tasks {
                    0 => CallbackResult::Unmatched,
                    _ => CallbackResult::Stored,
                }
            }
            Ok(Recorded::Duplicate { of }) => {
                tracing::info!(event_id = %of, "event was stored before");
                CallbackResult::Duplicate
            }
            Err(error) => {
                tracing::error!(%event_id, %error, "event not stored; answered 503");
                CallbackResult::Unavailable
            }
        }
    }
}

/// A task of the plan that can never run, and why.
fn doomed(plan: &Plan) -> Option<(TaskId, Failure)> {
    let mut tasks = plan.tasks.iter();
    tasks.find_map(|task| Some((task.id, task.doomed.clone()?)))
}

/// What the sender of an event is told.
fn told(from: Recorder, result: CallbackResult) -> Response {
    match result {
        CallbackResult::Unavailable => reply::come_again("cannot store the callback now"),
        CallbackResult::Overloaded => reply::come_again("too many callbacks at once"),
        _ => success(from),
    }
}

fn success(from: Recorder) -> Response {
    reply::json(StatusCode::OK, recorder::success(from))
}

fn refuse(refusal: &Refusal, body: &[u8]) -> (CallbackResult, Response) {
    let (result, response, reason) = match refusal {
        Refusal::Signature(reason) => (
            CallbackResult::RefusedSignature,
            reply::error(StatusCode::UNAUTHORIZED, "signature missing or wrong"),
            reason,
        ),
        Refusal::NotAnEvent(reason) => (
            CallbackResult::Malformed,
            reply::error(StatusCode::BAD_REQUEST, "body is not a JSON object"),
            reason,
        ),
        Refusal::Encoded(reason) => (
            CallbackResult::Malformed,
            reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason),
            reason,
        ),
    };
    tracing::warn!(
        result = result.name(),
        reason = %cut(reason),
        body_length = body.len(),
        body_sha256 = sha256(body),
        "callback refused"
    );
    (result, response)
}

/// What is logged of a reason.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(LOGGED)]
}

fn sha256(body: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(body) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}
