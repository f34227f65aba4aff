//! Handles a callback: verifies, parses, plans, reserves room, stores and starts its tasks.
//!
//! Knows no recorder's format and no status codes.

pub mod backlog;

use std::fmt::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use self::backlog::Backlog;
use crate::in_force::Current;
use crate::model::event::Event;
use crate::model::failure::Failure;
use crate::model::id::TaskId;
use crate::model::plan::Plan;
use crate::model::recorder::Recorder;
use crate::model::time::Timestamp;
use crate::recorder::{self, Refusal};
use crate::store::{Arrival, Recorded, Store};
use crate::supervision::Supervisor;
use crate::telemetry::CallbackResult;
use crate::telemetry::log::OncePerMinute;
use crate::worker::Workers;

/// Maximum length of a logged refusal reason in bytes: strangers must not fill the log.
const LOGGED: usize = 480;

pub struct Intake {
    current: Current,
    store: Arc<dyn Store>,
    workers: Workers,
    backlog: Backlog,
    supervisor: Supervisor,
    /// Limits log lines about tasks that are dead on arrival.
    dead_on_arrival: OncePerMinute,
    /// Limits log lines about fields that cannot be used.
    unusable: OncePerMinute,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, with at least one task.
    Stored,
    /// Stored; no rule matched.
    Unmatched,
    /// Stored before; nothing changed.
    Duplicate,
    /// Not a valid event, or not from the recorder.
    Refused(Refusal),
    /// Not stored in time: callbacks arrive faster than the disk stores them.
    Overloaded,
    /// The store does not work.
    Unavailable,
}

impl Intake {
    /// An intake that starts tasks on `workers`. A crash while a callback is stored ends the
    /// service through `supervisor`.
    pub fn new(
        current: Current,
        store: Arc<dyn Store>,
        workers: Workers,
        backlog: Backlog,
        supervisor: Supervisor,
    ) -> Self {
        Self {
            current,
            store,
            workers,
            backlog,
            supervisor,
            dead_on_arrival: OncePerMinute::default(),
            unusable: OncePerMinute::default(),
        }
    }

    /// Handles a callback received at `received`. Answers `Stored`, `Unmatched` and `Duplicate`
    /// only after the event is committed and synced.
    pub async fn take(
        self: Arc<Self>,
        from: Recorder,
        headers: &HeaderMap,
        body: Bytes,
        received: Timestamp,
    ) -> Outcome {
        match self.plan(from, headers, &body, received) {
            Ok(arrival) => self.store_in_time(arrival).await,
            Err(refusal) => {
                log_refusal(&refusal, &body);
                Outcome::Refused(refusal)
            }
        }
    }

    fn plan(
        &self,
        from: Recorder,
        headers: &HeaderMap,
        body: &Bytes,
        received: Timestamp,
    ) -> Result<Arrival, Refusal> {
        let in_force = self.current.get();
        recorder::verify(from, &in_force.callers, headers, body, received)?;
        let event = recorder::parse(from, headers, body.clone(), received)?;
        self.log_unusable(&event);
        let plan = in_force.rules.plan(&event, 0);
        Ok(Arrival {
            event: Arc::new(event),
            plan,
        })
    }

    fn log_unusable(&self, event: &Event) {
        let fields = &event.fields.unusable;
        if fields.is_empty() {
            return;
        }
        if let Some(left_out) = self.unusable.line() {
            let (event_id, fields) = (event.id, fields.join(", "));
            tracing::warn!(%event_id, fields, left_out, "fields with values that cannot be used count as absent");
        }
    }

    /// Stores the arrival once there is a slot for it. Reserves room in lanes only then, or a flood
    /// would keep tasks in the store from running.
    ///
    /// If the commit takes too long, the sender is refused although the event may be stored: the
    /// repeated callback is a duplicate, and the tasks run either way.
    async fn store_in_time(self: Arc<Self>, arrival: Arrival) -> Outcome {
        let (event_id, backlog) = (arrival.event.id, self.backlog.clone());
        let Some(slot) = backlog.slot().await else {
            tracing::warn!(%event_id, "too many callbacks wait for the disk; answered 503, not stored");
            return Outcome::Overloaded;
        };
        // In its own task: when the client disconnects, the server drops this future. Dropping the
        // store's reply would leave the claims in it without a worker until the next start. A crash
        // ends the service for the same reason.
        let supervisor = self.supervisor.clone();
        let stored = tokio::spawn(async move {
            let stores = supervisor.watch("storing a callback", self.store_and_start(arrival));
            let outcome = stores.await;
            drop(slot);
            outcome
        });
        match tokio::time::timeout(backlog.stored_within(), stored).await {
            Ok(Ok(Some(outcome))) => outcome,
            Ok(Ok(None) | Err(_)) => {
                tracing::error!(%event_id, "storing an event crashed; answered 503");
                Outcome::Unavailable
            }
            Err(_elapsed) => {
                tracing::warn!(%event_id, "the disk is slow; answered 503 before the event was stored");
                Outcome::Overloaded
            }
        }
    }

    async fn store_and_start(&self, arrival: Arrival) -> Outcome {
        let event_id = arrival.event.id;
        let tasks = arrival.plan.tasks.len();
        let dead = dead_on_arrival(&arrival.plan);
        let room = self.workers.reserve(&arrival.plan);
        match self.store.record(arrival, room.tasks()).await {
            Ok(Recorded::New { claims }) => {
                tracing::info!(%event_id, tasks, "event stored");
                if let Some((task_id, failure)) = dead
                    && let Some(left_out) = self.dead_on_arrival.line()
                {
                    tracing::error!(%task_id, %event_id, %failure, left_out, "task is dead on arrival");
                }
                room.run(claims);
                match tasks {
                    0 => Outcome::Unmatched,
                    _ => Outcome::Stored,
                }
            }
            Ok(Recorded::Duplicate { of }) => {
                tracing::info!(event_id = %of, "event was stored before");
                Outcome::Duplicate
            }
            Err(error) => {
                tracing::error!(%event_id, %error, "event not stored; answered 503");
                Outcome::Unavailable
            }
        }
    }
}

impl Outcome {
    pub const fn result(&self) -> CallbackResult {
        match self {
            Self::Stored => CallbackResult::Stored,
            Self::Unmatched => CallbackResult::Unmatched,
            Self::Duplicate => CallbackResult::Duplicate,
            Self::Refused(refusal) => result(refusal),
            Self::Overloaded => CallbackResult::Overloaded,
            Self::Unavailable => CallbackResult::Unavailable,
        }
    }
}

const fn result(refusal: &Refusal) -> CallbackResult {
    match refusal {
        Refusal::Signature(_) => CallbackResult::RefusedSignature,
        Refusal::NotAnEvent(_) | Refusal::Encoded(_) => CallbackResult::Malformed,
    }
}

/// A task of the plan that can never run, and why.
fn dead_on_arrival(plan: &Plan) -> Option<(TaskId, Failure)> {
    let mut tasks = plan.tasks.iter();
    tasks.find_map(|task| Some((task.id, task.dead_on_arrival.clone()?)))
}

fn log_refusal(refusal: &Refusal, body: &[u8]) {
    let reason = refusal.to_string();
    tracing::warn!(
        result = result(refusal).name(),
        reason = %&reason[..reason.floor_char_boundary(LOGGED)],
        body_length = body.len(),
        body_sha256 = sha256(body),
        "callback refused"
    );
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
