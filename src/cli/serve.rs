//! `aftertake serve`: turns flags into settings and runs the service.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::builder::BoolishValueParser;

use super::args::{Parsed, RulesFlag, StoreFlag};
use super::exit::{Exit, Stop};
use super::{load, store};
use crate::app::{self, ServeError, StartError};
use crate::config::{self, Admin, ListenAddr, LogFormat, Retention, Settings};

/// Take callbacks and work on them until SIGTERM or SIGINT; SIGHUP reloads the rules
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  aftertake serve --rules rules.yaml --store sqlite:/var/lib/aftertake/aftertake.db"
)]
pub(super) struct Serve {
    #[command(flatten)]
    rules: RulesFlag,
    /// Reload the rules when the file changes, in addition to SIGHUP and POST /-/reload
    ///
    /// The file is read every second, and loaded once two reads in a row are the same. Secrets in
    /// files of their own are read again at each reload, but not watched.
    #[arg(
        long,
        env = "AFTERTAKE_WATCH",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    watch: bool,
    #[command(flatten)]
    store: StoreFlag,
    /// Where callbacks are received
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "AFTERTAKE_LISTEN",
        hide_env_values = true,
        default_value = "0.0.0.0:8080",
        value_parser = Parsed::of::<ListenAddr>()
    )]
    listen: ListenAddr,
    /// Where operators connect: metrics, readiness, reload
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "AFTERTAKE_ADMIN_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8081",
        value_parser = Parsed::of::<ListenAddr>()
    )]
    admin_listen: ListenAddr,
    /// A file with the token that operators must send; required when other machines can reach
    /// --admin-listen
    #[arg(
        long,
        value_name = "FILE",
        env = "AFTERTAKE_ADMIN_TOKEN_FILE",
        hide_env_values = true
    )]
    admin_token_file: Option<PathBuf>,
    /// Format of log lines: text or json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "AFTERTAKE_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text",
        value_parser = Parsed::of::<LogFormat>()
    )]
    log_format: LogFormat,
    /// Which log lines are written: a level, or target=level,…
    #[arg(
        long,
        value_name = "FILTER",
        env = "AFTERTAKE_LOG_FILTER",
        hide_env_values = true,
        default_value = "info"
    )]
    log_filter: String,
    /// How long running steps may still take when the service stops
    #[arg(
        long,
        value_name = "DURATION",
        env = "AFTERTAKE_GRACE",
        hide_env_values = true,
        default_value = "25s",
        value_parser = Parsed::by(duration)
    )]
    grace: Duration,
    /// How long callback bodies and attempts of finished tasks are kept
    #[arg(
        long,
        value_name = "DURATION",
        env = "AFTERTAKE_RETENTION",
        hide_env_values = true,
        default_value = "30d",
        value_parser = Parsed::by(duration)
    )]
    retention: Duration,
    /// How long a repeated callback is recognised
    #[arg(
        long,
        value_name = "DURATION",
        env = "AFTERTAKE_DEDUP_HORIZON",
        hide_env_values = true,
        default_value = "180d",
        value_parser = Parsed::by(duration)
    )]
    dedup_horizon: Duration,
}

impl Serve {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        let settings = self.settings()?;
        // Dropped when this function returns, which writes the last lines.
        let _log =
            app::start_log(&settings).map_err(|error| Stop::new(Exit::BadSettings, error))?;
        let served = app::serve(&settings, std::sync::Arc::new(config::Environment));
        let runtime = runtime()?;
        let served = runtime.block_on(served);
        // A thread that waits for a hanging disk must not keep the process alive.
        runtime.shutdown_timeout(LAST_THREADS);
        Ok(served.map(|()| Exit::Fine)?)
    }

    pub(super) fn settings(self) -> Result<Settings, Stop> {
        let unfit = |error| Stop::new(Exit::BadSettings, anyhow::Error::new(error));
        let token = self.admin_token()?;
        let token_file = self.admin_token_file.as_deref().zip(token.as_deref());
        self.listen.apart_from(self.admin_listen).map_err(unfit)?;
        Ok(Settings {
            admin: Admin::new(self.admin_listen, token_file).map_err(unfit)?,
            retention: Retention::new(self.retention, self.dedup_horizon).map_err(unfit)?,
            rules: self.rules.rules,
            watch: self.watch,
            store: self.store.store,
            listen: self.listen,
            grace: self.grace,
            log: self.log_format,
            log_filter: self.log_filter,
        })
    }

    fn admin_token(&self) -> Result<Option<String>, Stop> {
        let file = self.admin_token_file.as_deref();
        file.map(read_token).transpose()
    }
}

pub(super) fn read_token(path: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(path)
        .with_context(|| format!("read --admin-token-file {}", path.display()))
        .map_err(|error| Stop::new(Exit::NoInput, error))
}

/// The runtime of the service and of the demo, with one thread less than processors: the store's
/// writer has its own thread, and with more they would compete and wake each other for every task.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((processors - 1).max(1))
        .enable_all()
        .build();
    runtime
        .context("start the runtime")
        .map_err(|error| Stop::new(Exit::Unavailable, error))
}

/// How long the process waits at its end for threads that read or write files.
const LAST_THREADS: Duration = Duration::from_secs(1);

impl From<ServeError> for Stop {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Start(error) => refused(error),
            ServeError::Ended(_) => Self::new(Exit::Crashed, error),
        }
    }
}

pub(super) fn refused(error: StartError) -> Stop {
    let exit = match &error {
        StartError::Load(error) => load::exit_of(error),
        StartError::Bind(error) if !error.passes() => Exit::BadSettings,
        StartError::Bind(_) => Exit::Unavailable,
        StartError::Store(error) => store::exit_of_use(error),
        StartError::Open(error) => store::exit_of(error),
        StartError::Bucket(_) => Exit::BadInput,
    };
    Stop::new(exit, error)
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        serve: Serve,
    }

    fn settings(flags: &[&str]) -> Result<Settings, Stop> {
        let line = Line::try_parse_from(["serve"].iter().chain(flags)).unwrap();
        line.serve.settings()
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.rules, PathBuf::from("rules.yaml"));
        assert_eq!(settings.store.to_string(), "sqlite:aftertake.db");
        assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(settings.admin.listen().to_string(), "127.0.0.1:8081");
        assert_eq!(settings.grace, Duration::from_secs(25));
        assert_eq!(settings.retention.history(), Duration::from_hours(30 * 24));
        assert_eq!(
            settings.retention.dedup_horizon(),
            Duration::from_hours(180 * 24)
        );
    }

    #[test]
    fn flags_that_do_not_fit_together_are_bad_settings() {
        for (flags, exit) in [
            (["--admin-listen", ":8081"], Exit::BadSettings),
            (["--admin-listen", "127.0.0.1:8080"], Exit::BadSettings),
            (["--retention", "200d"], Exit::BadSettings),
            (["--admin-token-file", "/does/not/exist"], Exit::NoInput),
        ] {
            assert_eq!(settings(&flags).unwrap_err().exit, exit, "{flags:?}");
        }
    }
}
