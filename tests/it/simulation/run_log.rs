//! One run from start to end: random acts of recorders and persons, and accidents.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aftertake::clock::Clock;
use aftertake::model::event::Event;
use aftertake::model::id::TaskId;
use aftertake::model::intervention::{By, Mode};
use aftertake::model::task::Lane;
use aftertake::rules::plan::plan;
use aftertake::store::operator::{
    CancelOutcome, Operator, Replay, ReplayOutcome, RetryOutcome, Scope,
};

use super::alive::State;
use super::checked_store::Shelf;
use super::ledger::End;
use super::process::Process;
use super::recorder::Callback;
use super::rules;
use super::sim::Sim;
use crate::support::operator::OneTask;

/// Acts in one run before it may come to rest.
const ACTS: u64 = 16;

/// Seconds in ten years.
const TEN_YEARS: i64 = 315_360_000;

pub(super) struct RunLog {
    pub(super) sim: Arc<Sim>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) operator: Box<dyn Operator>,
    pub(super) life: Process,
    /// The number of the rules file in force.
    rules: usize,
    pub(super) callbacks: Vec<Callback>,
}

impl RunLog {
    pub(super) async fn begin(sim: Arc<Sim>, shelf: Arc<Shelf>) -> Self {
        let life = Process::start(&sim, &shelf, 0).await;
        let operator = Box::new(shelf.database.operator());
        Self {
            sim,
            shelf,
            operator,
            life,
            rules: 0,
            callbacks: Vec::new(),
        }
    }

    pub(super) async fn unfold(&mut self) {
        for _ in 0..ACTS {
            self.act().await;
            let most = match self.sim.between(0, 9) {
                0..=3 => Duration::from_secs(2),
                4..=7 => Duration::from_mins(2),
                _ => Duration::from_mins(40),
            };
            self.pass(most).await;
            if self.sim.verdict().is_err() {
                return;
            }
        }
    }

    /// Time passes, up to so much.
    pub(super) async fn pass(&mut self, most: Duration) {
        let sim = Arc::clone(&self.sim);
        self.unless_it_crashes(sim.nap(Duration::ZERO, most)).await;
    }

    async fn act(&mut self) {
        match self.sim.between(0, 99) {
            0..=19 => self.record_anew().await,
            20..=25 => self.replace_each_other().await,
            26..=30 => self.record_beside().await,
            31..=33 => self.record_again().await,
            34..=36 => self.record_more().await,
            37..=39 => self.announce_anew().await,
            40..=43 => self.announce_again().await,
            44..=53 => self.crash(State::Dead),
            54..=59 => self.crash(State::Lingers),
            60..=63 => self.stop().await,
            64..=68 => self.jump(),
            69..=74 => self.cancel(),
            75..=78 => self.retry(),
            79..=82 => self.pause(),
            83..=85 => self.resume_all(),
            86..=89 => self.reload().await,
            90..=91 => self.replay(),
            92..=93 => self.lose_disk(),
            _ => self.change_weather(),
        }
    }

    /// Awaits `waited`; if the process crashes meanwhile, starts the next one and returns `None`.
    async fn unless_it_crashes<T>(&mut self, waited: impl Future<Output = T>) -> Option<T> {
        let pulse = Arc::clone(&self.life.pulse);
        let crashed = tokio::select! {
            biased;
            () = pulse.crashed() => None,
            done = waited => Some(done),
        };
        if crashed.is_none() {
            self.start_after_crash().await;
        }
        crashed
    }

    async fn start_after_crash(&mut self) {
        self.sim.tell("crash");
        if self.sim.happens(0.5) {
            let most = Duration::from_mins(10);
            self.sim.nap(Duration::ZERO, most).await;
        }
        self.start().await;
    }

    async fn start(&mut self) {
        self.sim.store_away.store(false, Ordering::SeqCst);
        // A lingering process writes to the store until the next one has opened it.
        self.sim.ledger().crashed();
        self.life = Process::start(&self.sim, &self.shelf, self.rules).await;
        self.sim.tell("started");
        let acknowledged = self.sim.ledger().acknowledged.clone();
        for (id, tasks) in acknowledged {
            let event = self.operator.event(id).unwrap();
            let is_over = self.sim.ledger().are_settled(&tasks);
            if is_over && self.sim.forgets {
                continue;
            }
            if event.is_none_or(|event| event.tasks.len() < tasks.len()) {
                let how = format!("{id} was acknowledged and is not all there after a restart");
                self.sim.broken(how);
            }
        }
    }

    pub(super) async fn post(&mut self, body: String) {
        self.sim.tell(format!("post {body}"));
        let pulse = Arc::clone(&self.life.pulse);
        let reply = tokio::select! {
            biased;
            () = pulse.crashed() => None,
            reply = self.life.hear(body) => Some(reply),
        };
        match reply {
            None => self.start_after_crash().await,
            Some(reply) => self.sim.tell(format!("{reply:?}")),
        }
    }

    fn crash(&self, into: State) {
        let points = self.sim.between(0, 40);
        self.sim.tell(format!("{into:?} after {points} points"));
        self.life.pulse.crash_after(points, into);
    }

    /// Stops the process in order and starts the next one.
    async fn stop(&mut self) {
        self.sim.tell("drain");
        let grace = Duration::from_secs(self.sim.between(0, 30));
        let workers = self.life.workers.clone();
        if self.unless_it_crashes(workers.drain(grace)).await.is_some() {
            self.life.pulse.end();
            self.start().await;
        }
    }

    fn jump(&self) {
        if self.sim.happens(0.3) {
            self.sim.set_clock_right();
            self.sim.tell("clock set right");
            return;
        }
        let hours = 2 * 3600;
        let by = i64::try_from(self.sim.between(0, 2 * hours)).unwrap();
        let mut by = by - i64::try_from(hours).unwrap();
        if self.sim.happens(0.1) {
            by += TEN_YEARS;
        }
        self.sim.tell(format!("clock set by {by} s"));
        self.sim.set_clock(by);
    }

    fn cancel(&mut self) {
        let unsettled = self.sim.happens(0.9);
        let tasks = self.sim.ledger().settled(!unsettled);
        if let Some(id) = self.sim.any(&tasks) {
            self.cancel_one(id);
        }
    }

    pub(super) fn cancel_one(&mut self, id: TaskId) {
        let outcome = self.operator.cancel_one(id, self.sim.now()).unwrap();
        self.sim.tell(format!("cancel {id}: {outcome:?}"));
        let mut ledger = self.sim.ledger();
        match (outcome, ledger.end(id)) {
            (CancelOutcome::Cancelled, _) => ledger.cancelled(id),
            (CancelOutcome::Requested, Some(End::Dead)) => ledger.requeued(id),
            _ => {}
        }
        drop(ledger);
        self.life.changed.notify_one();
    }

    fn retry(&mut self) {
        let tasks = self.sim.ledger().settled(true);
        if let Some(id) = self.sim.any(&tasks) {
            self.retry_one(id);
        }
    }

    pub(super) fn retry_one(&mut self, id: TaskId) {
        let outcome = self.operator.retry_one(id, self.sim.now()).unwrap();
        self.sim.tell(format!("retry {id}: {outcome:?}"));
        if outcome == RetryOutcome::Requeued {
            self.sim.ledger().requeued(id);
        }
        self.life.changed.notify_one();
    }

    fn pause(&mut self) {
        let lane = match self.sim.between(0, 2) {
            0 => Lane::Bucket("recorded".into()),
            1 => Lane::Destination("slow".into()),
            _ => Lane::Destination("lms".into()),
        };
        let paused = self
            .operator
            .pause(&lane, "a person says so", self.sim.now());
        self.sim
            .tell(format!("pause {lane}: {:?}", paused.unwrap()));
        self.life.changed.notify_one();
    }

    pub(super) fn resume_all(&mut self) {
        for row in self.operator.lanes().unwrap() {
            let _ = self.operator.resume(&row.lane).unwrap();
        }
        self.sim.tell("all lanes resumed");
        self.life.changed.notify_one();
    }

    async fn reload(&mut self) {
        self.rules = usize::try_from(self.sim.between(0, 2)).unwrap() % rules::COUNT;
        self.put_in_force().await;
    }

    async fn put_in_force(&mut self) {
        let pulse = Arc::clone(&self.life.pulse);
        let reloaded = tokio::select! {
            biased;
            () = pulse.crashed() => None,
            reloaded = self.life.reload(self.rules) => Some(reloaded.is_ok()),
        };
        let (rules, is_new) = (self.rules, reloaded == Some(true));
        self.sim.tell(format!("rules {rules}, in force: {is_new}"));
        if reloaded.is_none() {
            self.start_after_crash().await;
        }
    }

    fn replay(&mut self) {
        let events: Vec<_> = self.sim.ledger().acknowledged.keys().copied().collect();
        let Some(id) = self.sim.any(&events) else {
            return;
        };
        let rules = &self.life.rules().revision.rules;
        let replay = Replay {
            scope: if self.sim.happens(0.5) {
                Scope::All
            } else {
                Scope::Missing
            },
            plan: &|event: &Event, generation| plan(rules, event, generation),
            rules: &rules.text,
        };
        let replayed =
            self.operator
                .replay(&[id], &replay, Mode::Real(&By::default()), self.sim.now());
        for outcome in replayed.unwrap() {
            if let ReplayOutcome::Planned(replayed) = &outcome {
                self.sim.ledger().planned(&replayed.tasks, true);
            }
            self.sim.tell(format!("replay {id}: {outcome:?}"));
        }
        self.life.changed.notify_one();
    }

    /// Makes the store unavailable for a while.
    fn lose_disk(&self) {
        self.sim.tell("the disk is away");
        self.sim.store_away.store(true, Ordering::SeqCst);
        let sim = Arc::clone(&self.sim);
        tokio::spawn(async move {
            sim.nap(Duration::from_secs(1), Duration::from_mins(3))
                .await;
            sim.store_away.store(false, Ordering::SeqCst);
        });
    }

    fn change_weather(&self) {
        let storm = self.sim.any(&[0.0, 0.02, 0.1, 0.4]).unwrap_or_default();
        self.sim.tell(format!("storm {storm}"));
        self.sim.world().storm = storm;
    }

    /// Ends all faults: nothing prevents a task from completing any more.
    pub(super) async fn calm_down(&mut self) {
        self.sim.store_away.store(false, Ordering::SeqCst);
        self.sim.set_clock_right();
        self.sim.world().storm = 0.0;
        self.sim.world().is_calm = true;
        self.life.pulse.crash_no_more();
        self.rules = 0;
        self.put_in_force().await;
        self.resume_all();
    }
}
