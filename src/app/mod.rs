//! The only module that joins the parts: starts them in order, and stops them.
//!
//! Ports are taken before the store is opened, so a second service fails without touching it. A
//! listener answers only when everything behind it is ready. To stop: claim no more, take no more
//! callbacks, give running steps the grace time, hand the rest back.

pub mod crash;
mod listener;
pub mod load;
mod reload;
mod run;
mod system;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::watch;

use self::listener::Listener;
use self::load::LoadError;
use self::reload::Reloader;
pub use self::system::{serve, start_log};
use crate::clock::{self, Stopwatch};
use crate::config::{Settings, StoreUrl};
use crate::http::callback;
use crate::http::ops::{self, Ops, ServiceStatus, Token};
use crate::http::server::{self, BindError, Limits};
use crate::in_force::{Current, Snapshot};
use crate::intake::Intake;
use crate::intake::backlog::{Backlog, BacklogLimits};
use crate::model::failure::Failure;
use crate::model::secret::Mask;
use crate::rules::file::{Lookup, RulesFile};
use crate::store::sqlite::{self, AroundCommit, Found, OpenError, SqliteStore};
use crate::store::{Retention, Store, Unavailable};
use crate::supervision::{Ended, Supervisor};
use crate::telemetry::Metrics;
use crate::worker::lane::{self, Lanes};
use crate::worker::{StoreOutage, WorkerParts, Workers};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] Unavailable),
    #[error("{}", .0.reason)]
    Bucket(Failure),
}

/// Why the service stopped serving, or never started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}; starting it again helps")]
    Ended(#[from] Ended),
}

/// A running service.
pub struct Service {
    public: Listener,
    admin: Listener,
    store: Arc<dyn Store>,
    workers: Workers,
    supervisor: Supervisor,
    reloader: Reloader,
    grace: Duration,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("public", &self.public())
            .field("admin", &self.admin())
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Starts the service with rules that are already loaded. `lookup` gives the values of
    /// `${NAME}` at reloads, and for rules of earlier runs.
    pub async fn start(
        settings: &Settings,
        file: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
    ) -> Result<Self, StartError> {
        Self::start_on(settings, file, lookup, open).await
    }

    /// [`Service::start`], with a store that `open` opens after the ports are taken.
    pub async fn start_on(
        settings: &Settings,
        file: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
        open: impl FnOnce(&Settings, &Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError>,
    ) -> Result<Self, StartError> {
        let hidden = Mask::default();
        let snapshot = Snapshot::open(file, Arc::clone(&lookup), &hidden, clock::now())
            .map_err(StartError::Bucket)?;
        let public = server::bind(settings.listen.socket_addr(), "--listen").await?;
        let admin = server::bind(settings.admin.listen().socket_addr(), "--admin-listen").await?;
        let metrics = Arc::new(Metrics::default());
        let store = open(settings, &metrics)?;
        snapshot.keep(&store).await?;
        metrics.rules(snapshot.revision(), snapshot.loaded, None);
        let lanes = Lanes::new(lane::limits(&snapshot.reach));
        let current = Current::new(snapshot);
        let supervisor = Supervisor::default();
        let workers = Workers::new(WorkerParts {
            store: Arc::clone(&store),
            in_force: current.clone(),
            lanes: Arc::new(lanes),
            metrics: Arc::clone(&metrics),
            retention: retention(settings),
            clock: Arc::new(clock::System),
            supervisor: supervisor.clone(),
        });
        workers.adopt_lanes().await?;
        workers.start();
        let status = watch_status(workers.paused(), &supervisor);
        let reloader = Reloader::new(reload::ReloadParts {
            path: settings.rules.clone(),
            lookup,
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            current: current.clone(),
            lanes: Arc::clone(workers.lanes()),
            status: Arc::clone(&status),
            supervisor: supervisor.clone(),
        });
        let ops = Ops {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            current: current.clone(),
            status: status.subscribe(),
            reload: Arc::new(reloader.clone()),
            token: token(settings),
        };
        let intake = Arc::new(Intake::new(
            current,
            Arc::clone(&store),
            workers.clone(),
            Backlog::new(BacklogLimits::SERVICE),
            supervisor.clone(),
        ));
        let serve = |part, listener, site, limits| {
            Listener::serve(part, listener, site, limits, supervisor.clone())
        };
        Ok(Self {
            public: serve(
                "the callback listener",
                public,
                callback::site(intake, metrics),
                Limits::PUBLIC,
            ),
            admin: serve(
                "the operator listener",
                admin,
                ops::site(ops),
                Limits::ADMIN,
            ),
            store,
            workers,
            reloader,
            grace: settings.grace,
            supervisor,
        })
    }

    /// The address of the callback listener.
    pub const fn public(&self) -> SocketAddr {
        self.public.address
    }

    /// The address of the operator listener.
    pub const fn admin(&self) -> SocketAddr {
        self.admin.address
    }
}

fn open(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError> {
    let StoreUrl::Sqlite(path) = &settings.store;
    if sqlite::has_crashed(path) {
        tracing::warn!(store = %settings.store, "the last process did not close the store: checking all of it first");
    }
    let told = metrics.on_commit();
    let around: AroundCommit = Arc::new(move |operations, commit| {
        let watch = Stopwatch::start();
        commit();
        told(operations, watch.elapsed());
    });
    let store = SqliteStore::open(path, around)?;
    report(&store);
    Ok(Arc::new(store))
}

/// Logs which file is served, and whether it is new: another one than before would be mistaken for
/// a store that has lost everything.
fn report(store: &SqliteStore) {
    let file = store.place();
    let file = file.display();
    match store.found() {
        Found::Store => {
            tracing::info!(store = %file, waiting = store.waiting(), "opened the store");
        }
        Found::Nothing => tracing::info!(store = %file, "made a new store"),
        Found::Empty => tracing::warn!(
            store = %file,
            "made a new store in a file that was empty; if it held callbacks, stop the service and put a backup back \
             with `aftertake restore FILE`"
        ),
        Found::Gone => tracing::warn!(
            store = %file,
            "made a new store, although one of this name was served before and is gone; if it held callbacks, stop the \
             service and put its file back, or a backup with `aftertake restore FILE`"
        ),
    }
}

fn token(settings: &Settings) -> Option<Token> {
    let token = settings.admin.token()?;
    Some(Token::new(token.expose_secret()))
}

fn retention(settings: &Settings) -> Retention {
    Retention {
        history: settings.retention.history(),
        dedup_horizon: settings.retention.dedup_horizon(),
    }
}

/// State of reloads and workers for operators, updated while anyone reads it.
fn watch_status(
    mut paused: watch::Receiver<StoreOutage>,
    supervisor: &Supervisor,
) -> Arc<watch::Sender<ServiceStatus>> {
    let status = Arc::new(watch::Sender::new(ServiceStatus::default()));
    let told = Arc::clone(&status);
    let tells = async move {
        while paused.changed().await.is_ok() && !told.is_closed() {
            let reason = paused.borrow_and_update().why.clone();
            told.send_modify(|status| status.workers_paused = reason);
        }
    };
    let supervisor = supervisor.clone();
    tokio::spawn(async move { supervisor.watch("what operators are shown", tells).await });
    status
}
