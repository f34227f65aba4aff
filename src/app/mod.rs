//! The only place where the parts are joined: what starts in which order, and how it ends.
//!
//! Ports are taken before the store is opened, so that a second service fails without a
//! trace; a listener answers only when everything behind it stands. At the end: no more
//! claims, no more callbacks; running steps get the grace time; the rest is handed back.

mod handoff;
mod lookup;
mod reach;
mod system;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::system::{serve, start_log};
use crate::callback::sparkrtc;
use crate::clock::Stopwatch;
use crate::config::{Settings, StoreUrl};
use crate::http::callback::{self, Intake};
use crate::http::gate::SparkRtcGate;
use crate::http::ops::{self, Ops, Standing, Token};
use crate::http::server::{self, BindError, Drained, Limits};
use crate::model::secret::Mask;
use crate::model::task::RevisionId;
use crate::rules::file::{Lookup, Revision, RulesFile, parse_revision, unbuilt};
use crate::store::sqlite::{AroundCommit, OpenError, SqliteStore};
use crate::store::{Retention, Store, Unavailable};
use crate::telemetry::Metrics;
use crate::worker::{Parse, Parts, Paused, Revisions, Workers};

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] Unavailable),
    /// The rules file asks for what this version does not do.
    #[error("this version does not serve: {}", .0.join(", "))]
    Unbuilt(Vec<String>),
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    /// Where callbacks come in.
    pub public: SocketAddr,
    /// Where operators ask.
    pub admin: SocketAddr,
    workers: Workers,
    grace: Duration,
    stop_public: CancellationToken,
    stop_admin: CancellationToken,
    public_listener: JoinHandle<Drained>,
    admin_listener: JoinHandle<Drained>,
}

impl Service {
    /// Starts the service on rules that were loaded; `lookup` gives the values of `${NAME}`
    /// for rules of earlier runs.
    pub async fn start(
        settings: &Settings,
        file: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
    ) -> Result<Self, StartError> {
        Self::start_on(settings, file, lookup, open).await
    }

    /// [`Service::start`] on the store that `open` makes once the ports are taken.
    pub async fn start_on(
        settings: &Settings,
        file: RulesFile,
        lookup: Arc<dyn Lookup + Send + Sync>,
        open: impl FnOnce(&Settings, &Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError>,
    ) -> Result<Self, StartError> {
        refuse_unbuilt(&file)?;
        let public = server::bind(settings.listen.socket_addr(), "--listen").await?;
        let admin = server::bind(settings.admin.listen().socket_addr(), "--admin-listen").await?;
        let metrics = Arc::new(Metrics::default());
        let store = open(settings, &metrics)?;
        let (buckets, destinations) = (file.buckets, file.destinations);
        let parse = parser(buckets.keys().cloned().collect(), file.mask.clone(), lookup);
        let rules = Arc::new(Revision {
            rules: file.rules,
            mask: file.mask,
        });
        let revision = rules.rules.revision;
        store
            .keep_revision(revision, rules.rules.text.clone())
            .await?;
        let lanes = reach::lanes(&buckets, &destinations);
        let known = lanes.names().cloned().collect();
        for lane in store.mark_unknown_lanes(known).await? {
            tracing::warn!(%lane, "tasks wait: the name is not in the rules file");
        }
        let workers = Workers::new(Parts {
            store: Arc::clone(&store),
            reach: Arc::new(reach::reach(buckets, destinations)),
            revisions: Arc::new(Revisions::new(Arc::clone(&rules), parse)),
            lanes: Arc::new(lanes),
            metrics: Arc::clone(&metrics),
            retention: retention(settings),
        });
        workers.adopt_lanes().await?;
        workers.start();
        let ops = Ops {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            standing: standing(revision, workers.paused()),
            token: settings
                .admin
                .token()
                .map(|token| Token::new(token.expose_secret())),
        };
        let intake = Intake {
            gate: Arc::new(SparkRtcGate {
                callers: file.callbacks,
                rules,
            }),
            store,
            handoff: Arc::new(handoff::ToWorkers(workers.clone())),
            metrics,
        };
        Ok(Self::listen(
            public,
            admin,
            intake,
            ops,
            workers,
            settings.grace,
        ))
    }

    fn listen(
        public: TcpListener,
        admin: TcpListener,
        intake: Intake,
        ops: Ops,
        workers: Workers,
        grace: Duration,
    ) -> Self {
        let (stop_public, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            public: public.local_addr().unwrap_or(unknown),
            admin: admin.local_addr().unwrap_or(unknown),
            workers,
            grace,
            public_listener: tokio::spawn(server::serve(
                public,
                callback::site(intake),
                Limits::PUBLIC,
                stop_public.clone(),
            )),
            admin_listener: tokio::spawn(server::serve(
                admin,
                ops::site(ops),
                Limits::ADMIN,
                stop_admin.clone(),
            )),
            stop_public,
            stop_admin,
        }
    }

    /// Ends the service: no further step begins, callbacks that have come are stored, and
    /// steps under way get the grace time.
    pub async fn drain(self) {
        self.workers.stop_claiming();
        self.stop_public.cancel();
        let _ = self.public_listener.await;
        self.workers.drain(self.grace).await;
        self.stop_admin.cancel();
        let _ = self.admin_listener.await;
    }
}

/// Refuses a rules file that asks for what this version does not do.
pub fn refuse_unbuilt(file: &RulesFile) -> Result<(), StartError> {
    let found = unbuilt(file);
    if found.is_empty() {
        return Ok(());
    }
    Err(StartError::Unbuilt(
        found
            .into_iter()
            .map(|(place, what)| format!("{what} ({place})"))
            .collect(),
    ))
}

fn open(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Arc<dyn Store>, OpenError> {
    let StoreUrl::Sqlite(path) = &settings.store;
    let told = metrics.on_commit();
    let around: AroundCommit = Arc::new(move |operations, commit| {
        let watch = Stopwatch::start();
        commit();
        told(operations, watch.elapsed());
    });
    Ok(Arc::new(SqliteStore::open(path, sparkrtc::decode, around)?))
}

/// Parses the rules of earlier runs. `mask` hides what the file in force hides; what came
/// from the environment into the old rules alone is hidden, too.
fn parser(buckets: BTreeSet<String>, mask: Mask, lookup: Arc<dyn Lookup + Send + Sync>) -> Parse {
    Box::new(move |text| {
        let revision =
            parse_revision(text, &buckets, &*lookup).map_err(|error| error.to_string())?;
        let mask = mask.and(&revision.mask);
        Ok(Revision { mask, ..revision })
    })
}

fn retention(settings: &Settings) -> Retention {
    Retention {
        history: settings.retention.history(),
        dedup_horizon: settings.retention.dedup_horizon(),
    }
}

/// What operators are told of rules and workers, kept up to date for as long as anybody asks.
fn standing(
    revision: RevisionId,
    mut paused: watch::Receiver<Paused>,
) -> watch::Receiver<Standing> {
    let now = move |workers_paused| Standing {
        revision: Some(revision),
        workers_paused,
    };
    let (sender, receiver) = watch::channel(now(None));
    tokio::spawn(async move {
        while paused.changed().await.is_ok() {
            let reason = paused.borrow_and_update().why.clone();
            if sender.send(now(reason)).is_err() {
                return;
            }
        }
    });
    receiver
}
