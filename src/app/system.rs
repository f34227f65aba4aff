//! The service as the system sees it: signals, readiness, reload, the watchdog.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::reload::{Reloader, Seen};
use super::{Service, StartError, load};
use crate::config::{LogFormat, Settings};
use crate::http::reload::Reload;
use crate::rules::file::Lookup;
use crate::telemetry::log::{self, LogError};

/// Begins to log as the settings say.
pub fn start_log(settings: &Settings) -> Result<(), LogError> {
    match settings.log {
        LogFormat::Text => log::text(&settings.log_filter),
        LogFormat::Json => log::json(&settings.log_filter),
    }
}

/// Loads the rules and serves until SIGTERM or SIGINT, then drains.
pub async fn serve(
    settings: &Settings,
    lookup: Arc<dyn Lookup + Send + Sync>,
) -> Result<(), StartError> {
    // Before anything else: unheard, the signal would end the process.
    let hangups = signal(SignalKind::hangup());
    let content = load::read(&settings.rules);
    let seen = Seen::of(&content);
    let file = load::load(&settings.rules, content?, &*lookup)?;
    let service = Service::start(settings, file, lookup).await?;
    tracing::info!(listen = %service.public, admin_listen = %service.admin, "aftertake serves");
    notify(&[NotifyState::Ready]);
    let mut beside = JoinSet::new();
    beside.spawn(watchdog());
    beside.spawn(reload_on_hangup(hangups, service.reloader.clone()));
    if settings.watch {
        beside.spawn(service.reloader.clone().watch(seen));
    }
    let name = stopped().await;
    tracing::info!(signal = name, "stopping");
    notify(&[NotifyState::Stopping]);
    service.drain().await;
    beside.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Loads the rules again at each SIGHUP. Systemd is told that the service serves again,
/// also when the reload was refused: it does, by the rules it had.
async fn reload_on_hangup(hangups: io::Result<Signal>, reloader: Reloader) {
    let mut hangups = match hangups {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGHUP; POST /-/reload loads the rules again");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        // Systemd takes the message for an old one without the time.
        let now = NotifyState::monotonic_usec_now();
        notify(
            &[NotifyState::Reloading]
                .into_iter()
                .chain(now)
                .collect::<Vec<_>>(),
        );
        // The outcome is told by the log: it serves on either way.
        let _told = reloader.reload().await;
        notify(&[NotifyState::Ready]);
    }
}

/// Waits for a signal to stop. Where one cannot be listened for, the other still works.
async fn stopped() -> &'static str {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => "SIGTERM",
        () = wait(SignalKind::interrupt()) => "SIGINT",
    }
}

/// Tells systemd, where there is one, that the runtime still turns.
async fn watchdog() {
    let Some(within) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut every = tokio::time::interval((within / 2).max(Duration::from_millis(100)));
    loop {
        every.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell systemd how the service stands");
    }
}
