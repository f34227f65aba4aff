//! Claims due tasks from the store and runs their steps.
//!
//! One loop claims as far as lanes have room; each claimed task runs on its own until it is
//! settled. The loop does not poll: it sleeps until a task is made due, a permit that somebody
//! waits for is released, another process writes, a task is due, or a lane opens again. Knows
//! nothing of HTTP: `crate::intake` passes in the tasks that a callback started.

mod give_up;
mod journal;
pub mod lane;
mod lane_health;
mod outcome;
mod reservation;
mod step;
mod store_outage;
mod sweep;
mod target;
mod task;
mod time;
mod waits;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::reservation::Reservation;
pub use self::store_outage::StoreOutage;
use crate::clock::Clock;
use crate::in_force::Current;
use crate::model::id::TaskId;
use crate::model::moment::Present;
use crate::model::task::Attempt;
use crate::store::{Claim, Retention, Store, Unavailable};
use crate::supervision::Supervisor;
use crate::telemetry::Metrics;

use self::lane::{Lanes, Permit, Reserved};
use self::store_outage::Outages;

#[derive(Clone)]
pub struct WorkerParts {
    pub store: Arc<dyn Store>,
    pub in_force: Current,
    pub lanes: Arc<Lanes>,
    pub metrics: Arc<Metrics>,
    pub retention: Retention,
    pub clock: Arc<dyn Clock>,
    pub supervisor: Supervisor,
}

impl std::fmt::Debug for WorkerParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub struct Workers {
    parts: WorkerParts,
    /// Set: no more claims.
    draining: CancellationToken,
    /// Set: the grace time is over, and steps are dropped.
    interrupt: CancellationToken,
    tasks: TaskTracker,
    running: Arc<Mutex<Running>>,
    outages: Outages,
}

/// Cancels running tasks. The key is the claim with which the run began, because a task can be
/// claimed again before its last run is gone.
type Running = BTreeMap<(TaskId, Attempt), CancellationToken>;

impl Workers {
    pub fn new(parts: WorkerParts) -> Self {
        Self {
            parts,
            draining: CancellationToken::new(),
            interrupt: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: Arc::default(),
            outages: Outages::default(),
        }
    }

    pub fn start(&self) {
        let (supervisor, draining) = (self.parts.supervisor.clone(), self.draining.clone());
        let claims = self.clone().claim_loop();
        self.tasks
            .spawn(async move { supervisor.keep("the claim loop", &draining, claims).await });
        self.spawn_until_drained("the watch for other processes", Self::watch_loop);
        self.spawn_until_drained("the watch of the clock", time::clock_loop);
        self.spawn_until_drained("the sweep", sweep::sweep_loop);
        self.spawn_until_drained("the watch for what tasks wait for", waits::waits_loop);
    }

    fn spawn_until_drained<F>(&self, part: &'static str, run: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (supervisor, draining) = (self.parts.supervisor.clone(), self.draining.clone());
        let run = run(self.clone());
        self.tasks
            .spawn(async move { supervisor.keep_until(part, &draining, run).await });
    }

    /// Shared with the intake, which stores new tasks.
    pub fn lanes(&self) -> &Arc<Lanes> {
        &self.parts.lanes
    }

    /// Whether nothing is claimed at present, and why.
    pub fn paused(&self) -> watch::Receiver<StoreOutage> {
        self.outages.subscribe()
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Runs the claimed task to its end in the background.
    pub fn run(&self, claim: Claim, permit: Permit) {
        let begun = (claim.task().id, claim.attempt());
        let cancel = CancellationToken::new();
        self.running().insert(begun, cancel.clone());
        let runner = task::Runner {
            parts: self.parts.clone(),
            draining: self.draining.clone(),
            interrupt: self.interrupt.clone(),
            cancel,
            outages: self.outages.clone(),
        };
        let workers = self.clone();
        self.tasks.spawn(async move {
            // A crash outside the step's action leaves a running task without a worker; the next
            // process finds it.
            let supervisor = &workers.parts.supervisor;
            supervisor
                .watch("a task's worker", runner.run(claim, permit))
                .await;
            workers.running().remove(&begun);
        });
    }

    /// Begins no further step, not even of running tasks.
    pub fn stop_claiming(&self) {
        self.draining.cancel();
    }

    /// Begins no further step, lets running ones end within `grace`, and interrupts the rest.
    pub async fn drain(&self, grace: Duration) {
        self.drain_until(tokio::time::sleep(grace)).await;
    }

    /// [`Workers::drain`] with a grace time that ends when `over` does.
    pub async fn drain_until(&self, over: impl Future<Output = ()>) {
        self.stop_claiming();
        self.tasks.close();
        tokio::select! {
            biased;
            () = self.tasks.wait() => return,
            () = over => {}
        }
        tracing::info!(
            tasks = self.running().len(),
            "grace time is over, handing back running tasks"
        );
        self.interrupt.cancel();
        self.tasks.wait().await;
    }

    /// Stops only between two claims: dropping a claim during its commit would leave tasks that are
    /// stored as running, with their tries spent, and no worker.
    async fn claim_loop(self) {
        let mut outage = self.outages.outage();
        while !self.is_draining() {
            match self.claim_once(self.parts.clock.present()).await {
                Ok(wait) => {
                    outage = self.outages.outage();
                    self.draining.run_until_cancelled(self.rest(wait)).await;
                }
                Err(error) => {
                    tracing::error!(%error, "workers pause: the store cannot be used");
                    let wait = outage.wait(&error);
                    self.draining.run_until_cancelled(wait).await;
                }
            }
        }
    }

    /// Waits until there may be something to claim, at most this long.
    async fn rest(&self, wait: Option<Duration>) {
        let woken = self.parts.lanes.waker().woken();
        match wait {
            Some(wait) => {
                let _woken_or_due = tokio::time::timeout(wait, woken).await;
            }
            None => woken.await,
        }
        self.outages.over().await;
    }

    /// Claims once and starts the tasks. Answers after how long to claim again; `None` when only a
    /// wake-up can bring work.
    pub async fn claim_once(&self, now: Present) -> Result<Option<Duration>, Unavailable> {
        let waker = self.parts.lanes.waker();
        // Before the claim: a permit released during it must wake the loop.
        waker.set_hungry(true);
        let mut reserved = self.parts.lanes.reserve(now.moment);
        let opens = reserved.opens.map(|opens| opens.since(now.moment));
        let room = reserved.room();
        if room.is_empty() {
            return Ok(opens);
        }
        let claimed = self.parts.store.claim(room, now.time).await?;
        for claim in claimed.claims {
            self.start_claimed(claim, &mut reserved);
        }
        let due = claimed.next_due.map(|due| due.since(now.time));
        waker.set_hungry(reserved.full || due == Some(Duration::ZERO));
        Ok([due, opens].into_iter().flatten().min())
    }

    fn start_claimed(&self, claim: Claim, reserved: &mut Reserved) {
        let permit = reserved.take(&claim.task().lane);
        self.run(
            claim,
            permit.expect("a store claims no more of a lane than it was asked for"),
        );
    }

    /// Notices what commands wrote: new due tasks, cancellations, paused and resumed lanes.
    async fn watch_loop(self) {
        loop {
            self.parts.store.changed().await;
            self.parts.lanes.waker().wake();
            let mut outage = self.outages.outage();
            while let Err(error) = self.hear_changes().await {
                outage.wait(&error).await;
            }
        }
    }

    async fn hear_changes(&self) -> Result<(), Unavailable> {
        self.adopt_lanes().await?;
        self.hear_cancels().await
    }

    async fn hear_cancels(&self) -> Result<(), Unavailable> {
        let running = self.running().keys().map(|(id, _)| *id).collect();
        let asked = self.parts.store.cancel_requests(running).await?;
        self.running()
            .iter()
            .filter(|((id, _), _)| asked.contains(id))
            .for_each(|(_, cancel)| cancel.cancel());
        Ok(())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
