//! One process: the real workers, and an intake like the service's.

use std::sync::Arc;

use aftertake::action::{OpenBucket, Reach};
use aftertake::clock::Clock;
use aftertake::in_force::{Current, Snapshot};
use aftertake::store::{Arrival, Recorded, Store, Unavailable};
use aftertake::supervision::Supervisor;
use aftertake::telemetry::Metrics;
use aftertake::worker::lane::{Lanes, limits};
use aftertake::worker::{WorkerParts, Workers};
use tokio::sync::Notify;

use super::alive::Alive;
use super::bucket::SimBucket;
use super::checked_store::{CheckedStore, Shelf};
use super::receiver::Receivers;
use super::rules::{self, Loaded};
use super::sim::Sim;
use crate::support::event;

pub(super) struct Process {
    sim: Arc<Sim>,
    pub(super) pulse: Arc<Alive>,
    pub(super) workers: Workers,
    store: Arc<CheckedStore>,
    in_force: Current,
    rules: &'static Loaded,
    /// Signals that a person has written to the store.
    pub(super) changed: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Stored,
    Duplicate,
    /// 503: the recorder retries.
    Refused,
}

impl Process {
    /// Starts on the store as the previous process left it.
    pub(super) async fn start(sim: &Arc<Sim>, shelf: &Arc<Shelf>, number: usize) -> Self {
        shelf.open();
        let (pulse, changed) = (Arc::new(Alive::new()), Arc::new(Notify::new()));
        let store = Arc::new(CheckedStore {
            sim: Arc::clone(sim),
            pulse: Arc::clone(&pulse),
            shelf: Arc::clone(shelf),
            changed: Arc::clone(&changed),
        });
        let rules = rules::loaded(number);
        let in_force = Current::new(snapshot(sim, &pulse, rules));
        let workers = Workers::new(WorkerParts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            in_force: in_force.clone(),
            lanes: Arc::new(Lanes::new(limits(&in_force.get().reach))),
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
        let store = Arc::clone(&life.store) as Arc<dyn Store>;
        life.in_force.get().keep(&store).await.unwrap();
        life.workers.adopt_lanes().await.unwrap();
        life.workers.start();
        life
    }

    /// Loads another rules file, as a reload does; if the store fails, the old one stays in force.
    pub(super) async fn reload(&mut self, number: usize) -> Result<(), Unavailable> {
        let loaded = rules::loaded(number);
        let next = Arc::new(snapshot(&self.sim, &self.pulse, loaded));
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        next.keep(&store).await?;
        let states = self.store.lane_states().await?;
        self.rules = loaded;
        self.in_force.replace(Arc::clone(&next));
        let (lanes, now) = (self.workers.lanes(), self.sim.present());
        lanes.replace(limits(&next.reach), states, now);
        Ok(())
    }

    pub(super) async fn hear(&self, body: String) -> Reply {
        let event = event(body, self.sim.now());
        let plan = self.rules.revision.plan(&event, 0);
        let room = self.workers.reserve(&plan);
        let (id, tasks) = (event.id, plan.tasks.iter().map(|task| task.id).collect());
        let event = Arc::new(event);
        let arrival = Arrival { event, plan };
        match self.store.record(arrival, room.tasks()).await {
            Ok(Recorded::New { claims }) => {
                self.sim.ledger().acknowledged.insert(id, tasks);
                room.run(claims);
                Reply::Stored
            }
            Ok(Recorded::Duplicate { .. }) => Reply::Duplicate,
            Err(_) => Reply::Refused,
        }
    }

    pub(super) fn rules(&self) -> &'static Loaded {
        self.rules
    }
}

fn snapshot(sim: &Arc<Sim>, pulse: &Arc<Alive>, rules: &'static Loaded) -> Snapshot {
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
    let (callers, revision) = (rules.callers.clone(), Arc::clone(&rules.revision));
    Snapshot::new(callers, revision, reach, parse, sim.now())
}
