//! Connects the service with the system: signals, systemd's readiness, reload and watchdog.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::load::LoadError;
use super::reload::{self, Reloader};
use super::{ServeError, Service, StartError, load};
use crate::config::{LogFormat, Settings};
use crate::http::reload::Reload;
use crate::rules::file::Lookup;
use crate::supervision::Supervisor;
use crate::telemetry::log::{self, Log, LogError};

/// Starts the log. It ends when the returned value is dropped.
pub fn start_log(settings: &Settings) -> Result<Log, LogError> {
    match settings.log {
        LogFormat::Text => log::text(&settings.log_filter),
        LogFormat::Json => log::json(&settings.log_filter),
    }
}

pub async fn serve(
    settings: &Settings,
    lookup: Arc<dyn Lookup + Send + Sync>,
) -> Result<(), ServeError> {
    // First of all: without a handler the signal would end the process.
    let hangups = signal(SignalKind::hangup());
    for remark in settings.admin.remarks() {
        tracing::warn!("{remark}");
    }
    let content = load::read(&settings.rules);
    let loaded = reload::seen(&content);
    let service = start(settings, content, lookup).await?;
    let mut stops = Stops::listen();
    tracing::info!(listen = %service.public(), admin_listen = %service.admin(), "aftertake serves");
    notify(&[NotifyState::Ready]);
    let mut beside = Beside(JoinSet::new(), service.supervisor.clone());
    if let Some(within) = sd_notify::watchdog_enabled() {
        beside.spawn("the watchdog", watchdog(within));
    }
    match hangups {
        Ok(hangups) => {
            let reloads = reload_on_hangup(hangups, service.reloader.clone());
            beside.spawn("the wait for SIGHUP", reloads);
        }
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGHUP; POST /-/reload loads the rules again");
        }
    }
    if settings.watch {
        beside.spawn(
            "the watch of the rules file",
            service.reloader.clone().watch(loaded),
        );
    }
    let served = service.run(async || stops.next().await).await;
    beside.0.shutdown().await;
    tracing::info!("stopped");
    Ok(served?)
}

async fn start(
    settings: &Settings,
    content: Result<Vec<u8>, LoadError>,
    lookup: Arc<dyn Lookup + Send + Sync>,
) -> Result<Service, StartError> {
    let file = load::load(&settings.rules, content?, &*lookup)?;
    Service::start(settings, file, lookup).await
}

/// Runs next to the service, and is aborted with it.
struct Beside(JoinSet<()>, Supervisor);

impl Beside {
    fn spawn(&mut self, part: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let supervisor = self.1.clone();
        self.0.spawn(async move {
            let never = CancellationToken::new();
            supervisor.keep_until(part, &never, work).await;
        });
    }
}

/// Reloads the rules at each SIGHUP. Systemd gets `READY` also when the reload was refused: the
/// service continues with its old rules.
async fn reload_on_hangup(mut hangups: Signal, reloader: Reloader) {
    while hangups.recv().await.is_some() {
        // Without the time, systemd takes the message for an outdated one.
        let now = NotifyState::monotonic_usec_now();
        notify(
            &[NotifyState::Reloading]
                .into_iter()
                .chain(now)
                .collect::<Vec<_>>(),
        );
        // The reload logs its result; the service continues either way.
        let _told = reloader.reload().await;
        notify(&[NotifyState::Ready]);
    }
}

/// Signals to stop. If one cannot be listened for, the other still works.
struct Stops {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl Stops {
    fn listen() -> Self {
        Self {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    async fn next(&mut self) -> &'static str {
        let wait = async |signal: &mut Option<Signal>| match signal {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        };
        tokio::select! {
            () = wait(&mut self.terminate) => "SIGTERM",
            () = wait(&mut self.interrupt) => "SIGINT",
        }
    }
}

/// Pings systemd's watchdog, which proves that the runtime is not stuck.
async fn watchdog(within: Duration) {
    let mut every = tokio::time::interval((within / 2).max(Duration::from_millis(100)));
    loop {
        every.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

pub(super) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
