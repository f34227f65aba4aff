//! Receivers that need a second or third try, next to one that is dead: in simulated time, with
//! the real workers and the real store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::action::Reach;
use aftertake::clock::Clock;
use aftertake::in_force::{Current, Snapshot};
use aftertake::model::destination::Destination;
use aftertake::model::moment::{Moment, Present};
use aftertake::model::retry::Jitter;
use aftertake::model::time::Timestamp;
use aftertake::outbound::{Answer, NoAnswer, Outbound, Request};
use aftertake::rules::file::Revision;
use aftertake::store::{Arrival, Recorded, Retention, Store};
use aftertake::supervision::Supervisor;
use aftertake::telemetry::Metrics;
use aftertake::worker::lane::{Lanes, limits};
use aftertake::worker::{WorkerParts, Workers};
use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::database::Database;
use crate::support::event;
use crate::support::folder_in_memory;
use crate::support::test_service::{Env, callback, parse};

/// Latency of a response.
const LATENCY: Duration = Duration::from_millis(5);

/// Callbacks, all within ten seconds.
const EVENTS: u32 = 1_000;

/// The time of a paused runtime, and random numbers from a seed; without a seed every wait is the
/// longest possible.
struct Simulated {
    began: Instant,
    chance: Option<Mutex<fastrand::Rng>>,
}

#[async_trait]
impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_772_413_200_000).plus(self.began.elapsed())
    }

    fn moment(&self) -> Moment {
        Moment::after(self.began.elapsed())
    }

    fn jitter(&self) -> Jitter {
        let draw = |chance: &Mutex<fastrand::Rng>| Jitter::new(chance.lock().unwrap().f64());
        self.chance.as_ref().map_or(Jitter::MOST, draw)
    }

    async fn set_since(&self, _: Present) -> Present {
        std::future::pending().await
    }
}

/// How a receiver answers the requests of each event.
#[derive(Clone, Copy)]
enum Receiver {
    /// Answers the first requests with this status and accepts the next one.
    Refuses {
        first: u32,
        status: u16,
    },
    Dead,
    /// Always refuses this event, and refuses everything for this long from the beginning.
    RefusesOne {
        event: &'static str,
        dead_for: Duration,
    },
}

struct Sink {
    receiver: Receiver,
    began: Instant,
    /// Requests per event, by `webhook-id`.
    requests: Mutex<BTreeMap<String, u32>>,
}

impl Sink {
    fn status(&self, request: &Request, number: u32) -> u16 {
        let is_taken = match self.receiver {
            Receiver::Dead => false,
            Receiver::Refuses { first, .. } => number > first,
            Receiver::RefusesOne { event, dead_for } => {
                let body = String::from_utf8_lossy(&request.body);
                self.began.elapsed() > dead_for && !body.contains(event)
            }
        };
        match self.receiver {
            _ if is_taken => 200,
            Receiver::Refuses { status, .. } => status,
            _ => 503,
        }
    }

    fn count(&self) -> u32 {
        self.requests.lock().unwrap().values().sum()
    }
}

#[async_trait]
impl Outbound for Sink {
    async fn send(&self, _: &Destination, request: Request) -> Result<Answer, NoAnswer> {
        let id = request.headers["webhook-id"].to_str().unwrap().to_owned();
        let number = {
            let mut requests = self.requests.lock().unwrap();
            let number = requests.entry(id).or_default();
            *number += 1;
            *number
        };
        sleep(LATENCY).await;
        Ok(Answer {
            status: StatusCode::from_u16(self.status(&request, number)).unwrap(),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
        })
    }
}

struct Stand {
    sink: Arc<Sink>,
    store: Arc<dyn Store>,
    workers: Workers,
    rules: Arc<Revision>,
    clock: Arc<Simulated>,
    _folder: TempDir,
}

impl Stand {
    #[expect(
        clippy::disallowed_methods,
        reason = "the paused clock advances only by sleeps"
    )]
    async fn new(receiver: Receiver, at_a_time: u32, retry: &str, seed: Option<u64>) -> Self {
        let began = Instant::now();
        let folder = folder_in_memory();
        let database = Database::at(folder.path().join("a.db"));
        let store: Arc<dyn Store> = Arc::new(database.open_here());
        let text = format!(
            "destinations: {{ lms: {{ url: 'https://lms.example.com/', concurrency: {at_a_time}, retry: [404] }} }}\n\
             retry: {retry}\nrules: [{{ name: announce, steps: [{{ notify: lms }}] }}]\n"
        );
        let file = parse(&text, &Env::new());
        let sink = Arc::new(Sink {
            receiver,
            began,
            requests: Mutex::default(),
        });
        let destinations: BTreeMap<_, _> = file
            .destinations
            .into_iter()
            .map(|(name, one)| (name, Arc::new(one)))
            .collect();
        let rules = Arc::new(Revision::in_force(file.rules, file.mask));
        let kept = store.keep_revision(rules.rules.revision, rules.rules.text.clone());
        kept.await.unwrap();
        let none = Box::new(|_: &str| Err("there are no earlier rules".to_owned()));
        let reach = Reach {
            buckets: BTreeMap::new(),
            destinations,
            outbound: Arc::clone(&sink) as Arc<dyn Outbound>,
        };
        let lanes = Arc::new(Lanes::new(limits(&reach)));
        let clock = Arc::new(Simulated {
            began,
            chance: seed.map(|seed| Mutex::new(fastrand::Rng::with_seed(seed))),
        });
        let snapshot = Snapshot::new(file.callers, Arc::clone(&rules), reach, none, clock.now());
        let day = Duration::from_hours(24);
        let workers = Workers::new(WorkerParts {
            store: Arc::clone(&store),
            in_force: Current::new(snapshot),
            lanes,
            metrics: Arc::new(Metrics::default()),
            retention: Retention {
                history: day * 30,
                dedup_horizon: day * 30,
            },
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            supervisor: Supervisor::default(),
        });
        workers.start();
        Self {
            sink,
            store,
            workers,
            rules,
            clock,
            _folder: folder,
        }
    }

    /// Records a callback as the service does.
    async fn hear(&self, object: &str) {
        let event = event(callback(object), self.clock.now());
        let plan = self.rules.plan(&event, 0);
        let room = self.workers.reserve(&plan);
        let event = Arc::new(event);
        let arrival = Arrival { event, plan };
        let recorded = self.store.record(arrival, room.tasks()).await;
        let Recorded::New { claims } = recorded.unwrap() else {
            panic!("every event is new")
        };
        room.run(claims);
    }

    async fn hear_all(&self) {
        for number in 0..EVENTS {
            self.hear(&format!("{number}.mp4")).await;
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn ended(&self) -> (u64, u64) {
        let figures = self.store.figures(self.clock.now()).await.unwrap();
        (figures.done, figures.dead)
    }
}

/// Runs on simulated time.
fn play<F: Future<Output = ()>>(act: impl FnOnce() -> F) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(act());
}

const QUICK: &str = "{ first: 1s }";

#[test]
fn receiver_that_refuses_the_first_tries_of_each_event_gets_all_of_them_soon() {
    for status in [503, 404] {
        for at_a_time in [1, 16, 64] {
            play(async || {
                let receiver = Receiver::Refuses { first: 2, status };
                let stand = Stand::new(receiver, at_a_time, QUICK, Some(7)).await;
                stand.hear_all().await;
                sleep(Duration::from_mins(1)).await;
                let ended = stand.ended().await;
                assert_eq!(
                    ended,
                    (u64::from(EVENTS), 0),
                    "{status}, {at_a_time} at a time"
                );
                assert_eq!(stand.sink.count(), 3 * EVENTS);
            });
        }
    }
}

#[test]
fn dead_receiver_gets_no_more_than_the_first_failures_and_the_probes() {
    for at_a_time in [1, 16, 64] {
        play(async || {
            let stand = Stand::new(Receiver::Dead, at_a_time, QUICK, None).await;
            stand.hear_all().await;
            sleep(Duration::from_hours(3)).await;
            // Five failures in a row, plus the requests in flight; then waits of 1 s, 2 s and so on: ten
            // that take 1,023 s together, and ten minutes for each further one.
            let probes = 10 + (3 * 3600 - 1_023) / 600;
            let count = stand.sink.count();
            assert!(
                count <= 4 + at_a_time + probes,
                "{count}, {at_a_time} at a time"
            );
            assert_eq!(stand.ended().await, (0, 0));
        });
    }
}

#[test]
fn task_that_is_refused_whatever_happens_does_not_keep_its_lane_shut() {
    play(async || {
        let receiver = Receiver::RefusesOne {
            event: "0.mp4",
            dead_for: Duration::from_hours(1),
        };
        let always_due = "{ first: 1s, longest: 1s, tries: 1000 }";
        let stand = Stand::new(receiver, 1, always_due, None).await;
        for number in 0..10 {
            stand.hear(&format!("{number}.mp4")).await;
        }
        sleep(Duration::from_mins(60 + 21)).await;
        assert_eq!(stand.ended().await, (9, 0));
    });
}
