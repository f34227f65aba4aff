//! One process: the real workers, and a front door like the service's.

use std::sync::{Arc, Mutex};

use aftertake::action::{OpenBucket, Reach};
use aftertake::clock::Clock;
use aftertake::model::task::Lane;
use aftertake::rules::plan::plan;
use aftertake::store::{Arrival, Recorded, Store, Unavailable};
use aftertake::supervision::Supervisor;
use aftertake::telemetry::Metrics;
use aftertake::worker::lane::{Lanes, Limits};
use aftertake::worker::{InForce, Parts, Revisions, Workers};
use tokio::sync::Notify;

use super::bucket::SimBucket;
use super::kept::{Kept, Shelf};
use super::pulse::Pulse;
use super::receiver::Receivers;
use super::rules::{self, Loaded};
use super::sim::Sim;
use crate::support::event;

/// A running service.
pub(super) struct Life {
    sim: Arc<Sim>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) workers: Workers,
    store: Arc<Kept>,
    in_force: Arc<Mutex<Arc<InForce>>>,
    rules: &'static Loaded,
    /// Tells it that a person has written.
    pub(super) changed: Arc<Notify>,
}

/// What came of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Stored,
    Duplicate,
    /// 503: the recorder comes again.
    Refused,
}

impl Life {
    /// Starts on the store as the process before has left it.
    pub(super) async fn start(sim: &Arc<Sim>, shelf: &Arc<Shelf>, number: usize) -> Self {
        shelf.open();
        let (pulse, changed) = (Arc::new(Pulse::new()), Arc::new(Notify::new()));
        let store = Arc::new(Kept {
            sim: Arc::clone(sim),
            pulse: Arc::clone(&pulse),
            shelf: Arc::clone(shelf),
            changed: Arc::clone(&changed),
        });
        let rules = rules::loaded(number);
        let in_force = Arc::new(Mutex::new(Arc::new(put_in_force(sim, &pulse, rules))));
        let present = Arc::clone(&in_force);
        let workers = Workers::new(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            in_force: Arc::new(move || Arc::clone(&present.lock().unwrap())),
            lanes: Arc::new(Lanes::new(lanes(rules))),
            metrics: Arc::new(Metrics::default()),
            retention: sim.retention(),
            clock: Arc::clone(sim) as Arc<dyn Clock>,
            supervisor: Supervisor::default(),
        });
        let life = Self {
            sim: Arc::clone(sim),
            pulse,
            workers,
            store,
            in_force,
            rules,
            changed,
        };
        life.keep(rules).await.unwrap();
        life.workers.adopt_lanes().await.unwrap();
        life.workers.start();
        life
    }

    /// Stores what must be known before anything happens under these rules.
    async fn keep(&self, loaded: &Loaded) -> Result<(), Unavailable> {
        let rules = &loaded.revision.rules;
        let kept = self.store.keep_revision(rules.revision, rules.text.clone());
        kept.await?;
        let known = lanes(loaded).map(|(lane, _)| lane).collect();
        self.store.mark_unknown_lanes(known).await?;
        Ok(())
    }

    /// Puts another rules file in force, as a reload does; without a store the old one stays.
    pub(super) async fn reload(&mut self, number: usize) -> Result<(), Unavailable> {
        let loaded = rules::loaded(number);
        self.keep(loaded).await?;
        let states = self.store.lane_states().await?;
        self.rules = loaded;
        *self.in_force.lock().unwrap() = Arc::new(put_in_force(&self.sim, &self.pulse, self.rules));
        let lanes = lanes(self.rules);
        self.workers
            .lanes()
            .replace(lanes, states, self.sim.present());
        Ok(())
    }

    /// A callback comes in.
    pub(super) async fn hear(&self, body: String) -> Reply {
        let event = event(body, self.sim.now());
        let plan = plan(&self.rules.revision.rules, &event, 0);
        let (lanes, now) = (self.workers.lanes(), self.sim.moment());
        let startable = plan.tasks.iter().filter(|task| task.doomed.is_none());
        let mut permits: Vec<_> = startable
            .filter_map(|task| Some((task.id, lanes.permit_at(&task.lane, now)?)))
            .collect();
        let start = permits.iter().map(|(id, _)| *id).collect();
        let (id, tasks) = (event.id, plan.tasks.iter().map(|task| task.id).collect());
        let event = Arc::new(event);
        let reply = match self.store.record(Arrival { event, plan }, start).await {
            Ok(Recorded::New { claims }) => {
                self.sim.ledger().acknowledged.insert(id, tasks);
                for claim in claims {
                    let held = permits.iter().position(|(id, _)| *id == claim.task().id);
                    let (_, permit) = permits.swap_remove(held.unwrap());
                    self.workers.run(claim, permit);
                }
                Reply::Stored
            }
            Ok(Recorded::Duplicate { .. }) => Reply::Duplicate,
            Err(_) => Reply::Refused,
        };
        drop(permits);
        self.workers.lanes().waker().wake();
        reply
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> &'static Loaded {
        self.rules
    }
}

fn lanes(rules: &Loaded) -> impl Iterator<Item = (Lane, Limits)> {
    let buckets = rules.buckets.iter();
    let buckets = buckets.map(|(name, one)| (Lane::Bucket(name.clone()), Limits::from(&**one)));
    let others = rules.destinations.iter();
    buckets.chain(others.map(|(name, one)| (Lane::Destination(name.clone()), Limits::from(&**one))))
}

fn put_in_force(sim: &Arc<Sim>, pulse: &Arc<Pulse>, rules: &'static Loaded) -> InForce {
    let buckets = rules.buckets.iter().map(|(name, config)| {
        let store = Arc::new(SimBucket {
            sim: Arc::clone(sim),
            pulse: Arc::clone(pulse),
            name: name.clone(),
        });
        let config = Arc::clone(config);
        (name.clone(), OpenBucket { config, store })
    });
    let reach = Reach {
        buckets: buckets.collect(),
        destinations: rules.destinations.clone(),
        outbound: Arc::new(Receivers {
            sim: Arc::clone(sim),
            pulse: Arc::clone(pulse),
        }),
    };
    let parse = Box::new(|text: &str| rules::reread(text, rules));
    InForce {
        reach,
        revisions: Revisions::new(Arc::clone(&rules.revision), parse),
    }
}
