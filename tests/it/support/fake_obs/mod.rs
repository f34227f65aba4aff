//! An OBS server for tests: real HTTP, path addressing, signatures checked independently.
//!
//! As strict as OBS: it refuses unknown query parameters, missing lengths and digests, wrong
//! dates and unencoded paths. Requests are numbered from 0 and recorded; faults strike chosen
//! ones. It shares no code with the client under test.
//!
//! As hostile as OBS may be: encrypted objects get a new ETag with every write, copies can be
//! slow and outlive their client, and effects can come long after the response.

mod copying;
mod fault;
mod objects;
mod operations;
mod request;
mod serve;
mod signature;
mod trouble;
mod world;
mod xml;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aftertake::model::bucket::{Addressing, Bucket, BucketStore, ObsBucket, TagLimits, Timeouts};
use aftertake::object::obs::ObsStore;
use http::Method;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::fault::Planned;
pub(crate) use self::fault::{Fault, Gate, Lost};
use self::operations::{Effect, Outcome};
pub(crate) use self::request::Recorded;
pub(crate) use self::world::{Content, Grant, Kind, Object, World};
use super::in_time;

pub(crate) const ACCESS_KEY: &str = "FAKEACCESSKEY0000001";
pub(crate) const SECRET_KEY: &str = "FakeSecretKey00000000000000000000000001";
pub(crate) const TOKEN: &str = "FAKE-SECURITY-TOKEN";

/// For a client that gives up soon, in tests that wait for silence. A slow response may then
/// count as none, which is one more fault.
pub(crate) const IMPATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    answer: Duration::from_millis(300),
    copy: Duration::from_millis(300),
    lifetime: Duration::ZERO,
};

type Hook = Box<dyn Fn(&World) + Send>;
type Time = Arc<dyn Fn(&Recorded) -> Duration + Send + Sync>;

/// A running server. Stops when dropped.
pub(crate) struct FakeObs {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

/// The server's state, under one lock.
struct State {
    world: World,
    /// The world before its latest mutation, for stale reads.
    before: Option<World>,
    requests: Vec<Recorded>,
    /// Signals every request.
    arrived: watch::Sender<()>,
    faults: Vec<Planned>,
    hook: Option<Hook>,
    /// Milliseconds by which the server's clock is ahead.
    ahead_ms: i64,
    /// Whether requests must carry [`TOKEN`].
    token: bool,
    /// A request that arrived longer ago than this has no effect: its date is refused.
    lifetime: Duration,
    copy_time: Option<Time>,
    /// The delay before a request is carried out.
    answer_time: Option<Time>,
    /// Requests accepted and to be carried out later, oldest first.
    late: Vec<(Recorded, Effect)>,
    /// Requests in flight; below, their maximum so far.
    under_way: usize,
    most: usize,
}

impl State {
    /// Applies a request's effect and calls the hook with the world.
    fn change(
        &mut self,
        request: &Recorded,
        effect: impl FnOnce(&mut World) -> Outcome,
    ) -> Outcome {
        if request.came.elapsed() >= self.lifetime {
            return Err((403, "RequestTimeTooSkewed"));
        }
        let before = self.before.is_some().then(|| self.world.clone());
        let outcome = effect(&mut self.world);
        if outcome.is_ok() && !matches!(request.method, Method::GET | Method::HEAD) {
            self.before = before;
            if let Some(hook) = &self.hook {
                hook(&self.world);
            }
        }
        outcome
    }
}

impl FakeObs {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            world: World::default(),
            before: Some(World::default()),
            requests: Vec::new(),
            arrived: watch::Sender::default(),
            faults: Vec::new(),
            hook: None,
            ahead_ms: 0,
            token: false,
            lifetime: Duration::MAX,
            copy_time: None,
            answer_time: None,
            late: Vec::new(),
            under_way: 0,
            most: 0,
        }));
        let (address, serving) = serve::start(Arc::clone(&state)).await;
        Self {
            address,
            state,
            serving,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Reads or changes what is stored, without a request.
    pub(crate) fn world<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        let mut state = self.state();
        let result = with(&mut state.world);
        if state.before.is_some() {
            state.before = Some(state.world.clone());
        }
        result
    }

    /// Stops keeping an earlier world for stale reads: large worlds are slow to copy.
    pub(crate) fn keep_nothing(&self) {
        self.state().before = None;
    }

    /// The most requests in flight at the same time.
    pub(crate) fn most(&self) -> usize {
        self.state().most
    }

    /// The hook is called after every mutation by a request, before its response.
    pub(crate) fn after_every_mutation(&self, hook: impl Fn(&World) + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// Waits until a matching request has arrived.
    pub(crate) async fn asked(&self, wanted: impl Fn(&Recorded) -> bool) {
        let mut arrived = self.state().arrived.subscribe();
        let asked = arrived.wait_for(|()| self.requests().iter().any(&wanted));
        in_time(asked).await.unwrap();
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state().requests.clone()
    }

    /// The lines of the requests from number `from` on.
    pub(crate) fn lines(&self, from: usize) -> Vec<String> {
        let requests = self.requests();
        requests[from..].iter().map(Recorded::line).collect()
    }

    pub(crate) fn set_ahead(&self, ahead: Duration) {
        self.state().ahead_ms = i64::try_from(ahead.as_millis()).unwrap();
    }

    pub(crate) fn demand_token(&self) {
        self.state().token = true;
    }

    /// Access to `bucket` on this server, as in a rules file.
    pub(crate) fn access(&self) -> ObsBucket {
        ObsBucket {
            endpoint: format!("http://{}", self.address).parse().unwrap(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned().into(),
            security_token: None,
            addressing: Addressing::Path,
            copy_part_above: 1000,
            part_size: 300,
            timeouts: Timeouts {
                lifetime: Duration::ZERO,
                ..Timeouts::default()
            },
        }
    }

    /// The client under test for `bucket`, created if missing. Objects above 1,000 bytes are
    /// copied in parts of 300.
    pub(crate) fn store(&self, bucket: &str) -> ObsStore {
        self.world(|world| {
            world.bucket(bucket);
        });
        store_with(bucket, &self.access())
    }
}

/// The client under test with this access.
pub(crate) fn store_with(bucket: &str, access: &ObsBucket) -> ObsStore {
    let config = Bucket {
        name: bucket.to_owned(),
        store: BucketStore::Obs(Box::new(access.clone())),
        only_under: Vec::new(),
        concurrency: 8,
        source_grace: Duration::ZERO,
        tag_limits: TagLimits::HUAWEI,
    };
    ObsStore::new(&config, access).unwrap()
}

impl Drop for FakeObs {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
