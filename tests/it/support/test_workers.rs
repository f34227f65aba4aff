//! Workers with parts that a test chooses: buckets and destinations that fail on demand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aftertake::action::Reach;
use aftertake::clock::{self, Clock};
use aftertake::in_force::{Current, Snapshot};
use aftertake::model::id::TaskId;
use aftertake::model::task::Lane;
use aftertake::outbound::{Guarded, Outbound};
use aftertake::rules::file::Revision;
use aftertake::store::{Arrival, Retention, Store};
use aftertake::supervision::Supervisor;
use aftertake::telemetry::Metrics;
use aftertake::worker::lane::{LaneLimits, Lanes};
use aftertake::worker::{WorkerParts, Workers};

use super::event;
use super::test_service::{Env, TestService, callback, parse};
use super::watched_store::WatchedStore;

/// The workers, not yet started, and their store.
pub(crate) struct TestWorkers {
    pub(crate) test_service: TestService,
    pub(crate) store: Arc<WatchedStore>,
    pub(crate) workers: Workers,
    pub(crate) supervisor: Supervisor,
    rules: Arc<Revision>,
    clock: Arc<dyn Clock>,
}

/// The destinations of these rules, reached through `outbound`.
pub(crate) fn reach(rules: &str, outbound: Arc<dyn Outbound>) -> Reach {
    let destinations = parse(rules, &Env::new()).destinations.into_iter();
    Reach {
        buckets: BTreeMap::new(),
        destinations: destinations
            .map(|(name, to)| (name, Arc::new(to)))
            .collect(),
        outbound,
    }
}

impl TestWorkers {
    /// Workers with these rules and the real client for their destinations.
    pub(crate) async fn outward(rules: &str) -> Self {
        Self::new(rules, reach(rules, Arc::new(Guarded::new()))).await
    }

    /// Workers with these rules. Steps reach only `reach`, nothing named in the rules.
    pub(crate) async fn new(rules: &str, reach: Reach) -> Self {
        Self::timed(rules, reach, Arc::new(clock::System)).await
    }

    /// Like `new`, with this clock.
    pub(crate) async fn timed(rules: &str, reach: Reach, clock: Arc<dyn Clock>) -> Self {
        let supervisor = Supervisor::default();
        let test_service = TestService::new();
        let store = test_service.open();
        let file = parse(rules, &Env::new());
        let buckets = file.buckets.values();
        let buckets = buckets.map(|one| (Lane::Bucket(one.name.clone()), LaneLimits::from(one)));
        let others = file.destinations.values();
        let others = others.map(|one| (Lane::Destination(one.name.clone()), LaneLimits::from(one)));
        let lanes = Arc::new(Lanes::new(buckets.chain(others)));
        let rules = Arc::new(Revision::in_force(file.rules, file.mask));
        let kept = store.keep_revision(rules.rules.revision, rules.rules.text.clone());
        kept.await.unwrap();
        let day = Duration::from_hours(24);
        let none = Box::new(|_: &str| Err("there are no earlier rules".to_owned()));
        let snapshot = Snapshot::new(file.callers, Arc::clone(&rules), reach, none, clock.now());
        let workers = Workers::new(WorkerParts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            in_force: Current::new(snapshot),
            lanes,
            metrics: Arc::new(Metrics::default()),
            retention: Retention {
                history: day,
                dedup_horizon: day,
            },
            clock: Arc::clone(&clock),
            supervisor: supervisor.clone(),
        });
        Self {
            test_service,
            store,
            workers,
            supervisor,
            rules,
            clock,
        }
    }

    /// Stores a callback about this object and wakes the workers. Its tasks, in the order of
    /// the rules, are ready.
    pub(crate) async fn record(&self, object: &str) -> Vec<TaskId> {
        let tasks = self.store_only(object).await;
        self.workers.lanes().waker().wake();
        tasks
    }

    /// Like `record`, without waking the workers.
    pub(crate) async fn store_only(&self, object: &str) -> Vec<TaskId> {
        let event = event(callback(object), self.clock.now());
        let plan = self.rules.plan(&event, 0);
        let tasks = plan.tasks.iter().map(|task| task.id).collect();
        let arrival = Arrival {
            event: Arc::new(event),
            plan,
        };
        self.store.record(arrival, Vec::new()).await.unwrap();
        tasks
    }
}
