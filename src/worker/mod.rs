//! Takes due tasks from the store and carries out their steps.
//!
//! One loop claims, as far as lanes have room; each claimed task runs on its own until
//! it is settled. Nothing is polled: the loop sleeps until a task is made due, a permit
//! comes free that somebody waits for, another process writes, or the next due time.
//! Knows nothing of HTTP: `crate::app` hands it the tasks that a callback started.

mod carry;
mod close;
mod ended;
mod journal;
pub mod lane;
mod revision;
mod run;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::revision::{Parse, Revisions};
use crate::action::Reach;
use crate::clock;
use crate::model::id::TaskId;
use crate::model::time::Timestamp;
use crate::store::{Claim, Retention, Store, Unavailable};
use crate::telemetry::Metrics;

use self::lane::{Lanes, Permit, Reserved};

/// How long to leave a store alone that could not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What workers need.
#[derive(Clone)]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub reach: Arc<Reach>,
    pub revisions: Arc<Revisions>,
    pub lanes: Arc<Lanes>,
    pub metrics: Arc<Metrics>,
    pub retention: Retention,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

/// The workers of one service.
#[derive(Debug, Clone)]
pub struct Workers {
    parts: Parts,
    /// No more claims.
    draining: CancellationToken,
    /// The grace time is over: steps end where they are.
    interrupt: CancellationToken,
    tasks: TaskTracker,
    /// How to ask a running task to end.
    running: Arc<Mutex<HashMap<TaskId, CancellationToken>>>,
    /// Why nothing is claimed for the time being.
    paused: Arc<watch::Sender<Option<String>>>,
}

impl Workers {
    /// Workers that do nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            draining: CancellationToken::new(),
            interrupt: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: Arc::default(),
            paused: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Starts claiming, watching for other processes' writes, and sweeping.
    pub fn start(&self) {
        self.tasks.spawn(self.clone().claim_loop());
        self.spawn_until_drained(Self::watch_loop);
        self.spawn_until_drained(sweep::sweep_loop);
    }

    fn spawn_until_drained<F>(&self, run: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let draining = self.draining.clone();
        let run = run(self.clone());
        self.tasks
            .spawn(async move { draining.run_until_cancelled(run).await });
    }

    /// Room and wake-ups; shared with whoever stores new tasks.
    pub fn lanes(&self) -> &Arc<Lanes> {
        &self.parts.lanes
    }

    /// Why nothing is claimed for the time being; `None` while all is well.
    pub fn paused(&self) -> watch::Receiver<Option<String>> {
        self.paused.subscribe()
    }

    /// Whether the service is being stopped.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Carries the claimed task to its end, in the background.
    pub fn run(&self, claim: Claim, permit: Permit) {
        let id = claim.task().id;
        let cancel = CancellationToken::new();
        if claim.cancel_requested() {
            cancel.cancel();
        }
        self.running().insert(id, cancel.clone());
        let runner = run::Runner {
            parts: self.parts.clone(),
            interrupt: self.interrupt.clone(),
            cancel,
        };
        let workers = self.clone();
        self.tasks.spawn(async move {
            runner.run(claim, permit).await;
            workers.running().remove(&id);
        });
    }

    /// Stops claiming, lets running steps end for as long as `grace`, then hands back
    /// the rest.
    pub async fn drain(&self, grace: Duration) {
        self.draining.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::info!(
                tasks = self.running().len(),
                "grace time is over, handing back running tasks"
            );
            self.interrupt.cancel();
            self.tasks.wait().await;
        }
    }

    /// Ends only between two claims: one that was dropped while the store commits it would
    /// leave tasks running that nobody runs, their tries spent.
    async fn claim_loop(self) {
        while !self.is_draining() {
            let claimed = self.claim_once(clock::now()).await;
            self.draining.run_until_cancelled(self.rest(claimed)).await;
        }
    }

    /// Waits until there may be something to claim.
    async fn rest(&self, claimed: Result<Option<Timestamp>, Unavailable>) {
        let woken = self.parts.lanes.waker().woken();
        match claimed {
            Ok(Some(due)) => {
                let wait = due.since(clock::now());
                let _woken_or_due = tokio::time::timeout(wait, woken).await;
            }
            Ok(None) => woken.await,
            Err(error) => self.pause(&error).await,
        }
    }

    /// Claims once and starts what it got. Answers when to look again; `None` when only
    /// a wake-up can bring work.
    pub async fn claim_once(&self, now: Timestamp) -> Result<Option<Timestamp>, Unavailable> {
        let waker = self.parts.lanes.waker();
        // Hungry before looking: a permit freed while the store is asked must wake the loop.
        waker.set_hungry(true);
        let mut reserved = self.parts.lanes.reserve();
        let room = reserved.room();
        if room.is_empty() {
            return Ok(None);
        }
        let claimed = self.parts.store.claim(room, now).await?;
        self.paused
            .send_if_modified(|paused| paused.take().is_some());
        for claim in claimed.claims {
            self.start_claimed(claim, &mut reserved);
        }
        let more = claimed.next_due.is_some_and(|due| due <= now);
        waker.set_hungry(reserved.full || more);
        Ok(claimed.next_due)
    }

    fn start_claimed(&self, claim: Claim, reserved: &mut Reserved) {
        let permit = reserved.take(&claim.task().lane);
        self.run(
            claim,
            permit.expect("a store claims no more of a lane than it was asked for"),
        );
    }

    async fn pause(&self, error: &Unavailable) {
        tracing::error!(%error, "workers pause: the store cannot be used");
        self.paused.send_replace(Some(error.to_string()));
        tokio::time::sleep(STORE_PAUSE).await;
    }

    /// Notices what the command line wrote: new due tasks and requests to cancel.
    async fn watch_loop(self) {
        loop {
            self.parts.store.changed().await;
            self.parts.lanes.waker().wake();
            let running: Vec<TaskId> = self.running().keys().copied().collect();
            let Ok(requests) = self.parts.store.cancel_requests(running).await else {
                continue;
            };
            let tokens = self.running();
            requests
                .iter()
                .filter_map(|id| tokens.get(id))
                .for_each(CancellationToken::cancel);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
