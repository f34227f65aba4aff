//! The service as the system sees it: signals, readiness, the watchdog.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Service, StartError};
use crate::config::{LogFormat, Settings};
use crate::rules::file::{Lookup, RulesFile};
use crate::telemetry::log::{self, LogError};

/// Begins to log as the settings say.
pub fn start_log(settings: &Settings) -> Result<(), LogError> {
    match settings.log {
        LogFormat::Text => log::text(&settings.log_filter),
        LogFormat::Json => log::json(&settings.log_filter),
    }
}

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn serve(
    settings: &Settings,
    file: RulesFile,
    lookup: Arc<dyn Lookup + Send + Sync>,
) -> Result<(), StartError> {
    let service = Service::start(settings, file, lookup).await?;
    tracing::info!(listen = %service.public, admin_listen = %service.admin, "aftertake serves");
    notify(&[sd_notify::NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog());
    let name = stopped().await;
    tracing::info!(signal = name, "stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    service.drain().await;
    watchdog.abort();
    tracing::info!("stopped");
    Ok(())
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
        notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell systemd how the service stands");
    }
}
