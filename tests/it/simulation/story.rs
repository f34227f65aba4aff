//! One run from its beginning to its end: what recorders, persons and accidents do, one after
//! the other, as chance has it.
use crate::support::operator::OneTask;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aftertake::clock::Clock;
use aftertake::model::event::Event;
use aftertake::model::intervention::{By, Mode};
use aftertake::model::recording::Place;
use aftertake::model::task::Lane;
use aftertake::model::time::Timestamp;
use aftertake::rules::plan::plan;
use aftertake::store::operator::{
    CancelOutcome, Operator, Replay, ReplayOutcome, RetryOutcome, Scope,
};
use aftertake::store::sqlite::SqliteOperator;
use serde_json::json;

use super::kept::Shelf;
use super::ledger::End;
use super::life::Life;
use super::pulse::State;
use super::rules;
use super::sim::Sim;
use super::world::Take;

/// Things that happen in one run before it may come to rest.
const ACTS: u64 = 16;

/// Rooms of recordings. The first two lead to a folder for each event, the shelves to one for
/// all.
const ROOMS: [&str; 6] = ["move-a", "move-b", "stay", "shelf-1", "shelf-2", "shelf-3"];

/// Seconds in ten years.
const TEN_YEARS: i64 = 315_360_000;

/// A run.
pub(super) struct Story {
    pub(super) sim: Arc<Sim>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) operator: SqliteOperator,
    pub(super) life: Life,
    /// The rules file in force.
    rules: usize,
    /// Callbacks of the past.
    callbacks: Vec<Callback>,
}

#[derive(Clone)]
struct Callback {
    body: String,
    /// The recording that it named.
    named: Place,
    room: &'static str,
}

impl Story {
    pub(super) async fn begin(sim: Arc<Sim>, shelf: Arc<Shelf>) -> Self {
        let life = Life::start(&sim, &shelf, 0).await;
        let operator = SqliteOperator::open(&shelf.path).unwrap();
        Self {
            sim,
            shelf,
            operator,
            life,
            rules: 0,
            callbacks: Vec::new(),
        }
    }

    /// Lets things happen.
    pub(super) async fn unfold(&mut self) {
        for _ in 0..ACTS {
            self.act().await;
            let most = match self.sim.between(0, 9) {
                0..=3 => Duration::from_secs(2),
                4..=7 => Duration::from_mins(2),
                _ => Duration::from_mins(40),
            };
            let sim = Arc::clone(&self.sim);
            self.unless_it_crashes(sim.nap(Duration::ZERO, most)).await;
            if self.sim.verdict().is_err() {
                return;
            }
        }
    }

    async fn act(&mut self) {
        match self.sim.between(0, 99) {
            0..=32 => self.record_anew().await,
            33..=35 => self.record_again().await,
            36..=38 => self.record_more().await,
            39..=43 => self.announce_again().await,
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

    /// Waits for it; a process that crashes meanwhile is followed by another.
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
        // Until the next process has the store, one that lingers still writes to it.
        self.sim.ledger().crashed();
        self.life = Life::start(&self.sim, &self.shelf, self.rules).await;
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

    async fn record_anew(&mut self) {
        let number = self.sim.world().number();
        // Names come again in other folders.
        let key = format!("r/{number}/{}", number % 2);
        let place = |key| Place {
            bucket: "recorded".into(),
            key,
        };
        let take = match self.sim.between(0, 3) {
            0 => {
                let segments = self.sim.between(1, 6);
                Take::hls(place(format!("{key}.m3u8")), number, segments)
            }
            big => Take::mp4(place(format!("{key}.mp4")), number, big == 1),
        };
        let named = take.named.clone();
        match self.sim.between(0, 19) {
            // It never appears.
            0 => {}
            // It appears late.
            1..=3 => {
                let sim = Arc::clone(&self.sim);
                tokio::spawn(async move {
                    sim.nap(Duration::ZERO, Duration::from_mins(5)).await;
                    sim.world().record(take);
                });
            }
            _ => self.sim.world().record(take),
        }
        let room = self.sim.any(&ROOMS).unwrap_or_default();
        self.announce(named, room).await;
    }

    /// The recorder writes over what it recorded before.
    async fn record_again(&mut self) {
        let takes = self.sim.world().takes.clone();
        let mp4s: Vec<_> = takes.iter().filter(|take| take.parts.is_empty()).collect();
        if let Some(earlier) = self.sim.any(&mp4s) {
            let named = earlier.named.clone();
            let number = self.sim.world().number();
            let take = Take::mp4(named.clone(), number, self.sim.happens(0.3));
            self.sim.world().record(take);
            let room = self.sim.any(&ROOMS).unwrap_or_default();
            self.announce(named, room).await;
        }
    }

    /// The recorder adds segments to what it recorded before.
    async fn record_more(&mut self) {
        let newest = {
            let world = self.sim.world();
            let named: BTreeMap<_, _> =
                world.takes.iter().map(|take| (&take.named, take)).collect();
            let lists = named.into_values().filter(|take| !take.parts.is_empty());
            lists.cloned().collect::<Vec<_>>()
        };
        let Some(earlier) = self.sim.any(&newest) else {
            return;
        };
        let room = self
            .callbacks
            .iter()
            .find(|callback| callback.named == earlier.named);
        let room = room.map_or("stay", |callback| callback.room);
        let (number, segments) = (self.sim.world().number(), self.sim.between(1, 3));
        let take = earlier.grown(number, segments);
        let named = take.named.clone();
        self.sim.world().record(take);
        self.announce(named, room).await;
    }

    async fn announce(&mut self, named: Place, room: &'static str) {
        let number = i64::try_from(self.sim.world().number()).unwrap();
        let end = Timestamp::from_millis((1_772_413_200 + number) * 1000);
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": named.bucket, "obs_object": named.key,
            "room_id": room, "end_time": end.to_string(),
        });
        let body = body.to_string();
        self.callbacks.push(Callback {
            body: body.clone(),
            named,
            room,
        });
        self.post(body).await;
    }

    async fn announce_again(&mut self) {
        if let Some(callback) = self.sim.any(&self.callbacks) {
            self.post(callback.body).await;
        }
    }

    async fn post(&mut self, body: String) {
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

    /// An orderly end, and a new beginning.
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
        let Some(id) = self.sim.any(&tasks) else {
            return;
        };
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
            let outcome = self.operator.retry_one(id, self.sim.now()).unwrap();
            self.sim.tell(format!("retry {id}: {outcome:?}"));
            if outcome == RetryOutcome::Requeued {
                self.sim.ledger().requeued(id);
            }
            self.life.changed.notify_one();
        }
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

    /// The store cannot be used for a while.
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

    /// Everything is well from now on: nothing keeps a task from its end any more.
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
