//! `aftertake rules status`: asks a running service which rules it goes by.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::cli::args::Parsed;
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, OutFlags};
use crate::cli::serve;
use crate::outbound::origin;

/// How long the service may take to answer: longer than it waits for its store.
const PATIENCE: Duration = Duration::from_secs(10);

/// The service that is asked.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Service {
    /// Where the service listens for operators
    #[arg(
        long,
        value_name = "URL",
        env = "AFTERTAKE_ADMIN",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8081",
        value_parser = Parsed::by(admin)
    )]
    admin: Url,
    /// A file with the token that it asks for
    #[arg(
        long,
        value_name = "FILE",
        env = "AFTERTAKE_ADMIN_TOKEN_FILE",
        hide_env_values = true
    )]
    admin_token_file: Option<PathBuf>,
}

/// What the service says of its rules.
#[derive(Debug, Serialize, Deserialize)]
struct Status {
    revision: Option<String>,
    loaded: Option<String>,
    reload_error: Option<Refused>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    at: String,
    reason: String,
}

pub(super) fn run(service: &Service, out: OutFlags) -> Result<Exit, Stop> {
    let token = service.token()?;
    let status = serve::runtime()?.block_on(service.ask(token.as_deref()))?;
    out.print(&status)?;
    Ok(match status.reload_error {
        None => Exit::Fine,
        Some(_) => Exit::Failed,
    })
}

impl Service {
    fn token(&self) -> Result<Option<String>, Stop> {
        self.admin_token_file
            .as_deref()
            .map(serve::read_token)
            .transpose()
    }

    async fn ask(&self, token: Option<&str>) -> Result<Status, Stop> {
        let (status, body) = self
            .exchange(token)
            .await
            .map_err(reqwest::Error::without_url)
            .with_context(|| {
                let help = "is the service running, and is this its --admin-listen? Name another with --admin";
                format!("{} does not answer; {help}", self.shown())
            })
            .map_err(|error| Stop::new(Exit::Unavailable, error))?;
        if status == StatusCode::UNAUTHORIZED {
            let help = "asks for another token: give it with --admin-token-file FILE";
            return Err(Stop::say(
                Exit::BadSettings,
                format!("{} {help}", self.shown()),
            ));
        }
        serde_json::from_slice(&body).map_err(|_| {
            let help = "does not answer as an operator listener of Aftertake does; name another with --admin";
            Stop::say(Exit::Unavailable, format!("{} {help}", self.shown()))
        })
    }

    async fn exchange(&self, token: Option<&str>) -> reqwest::Result<(StatusCode, bytes::Bytes)> {
        let mut client = Client::builder().no_proxy().timeout(PATIENCE);
        if self.admin.scheme() == "http" {
            // Reading the system's authorities fails on a machine that has none.
            client = client.tls_certs_only([]);
        }
        let mut request = client.build()?.get(self.readyz());
        if let Some(token) = token {
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await?;
        Ok((response.status(), response.bytes().await?))
    }

    /// Without what may be a password.
    fn shown(&self) -> String {
        origin(&self.admin)
    }

    fn readyz(&self) -> Url {
        let mut url = self.admin.clone();
        url.set_path(&format!("{}/readyz", url.path().trim_end_matches('/')));
        url
    }
}

impl Answer for Status {
    fn text(&self, _: Option<usize>) -> String {
        let unknown = || "none".to_owned();
        let revision = self.revision.clone().unwrap_or_else(unknown);
        let loaded = self.loaded.clone().unwrap_or_else(unknown);
        let mut text = format!("{revision} is in force, loaded at {loaded}\n");
        if let Some(Refused { at, reason }) = &self.reload_error {
            let _ = writeln!(text, "the reload at {at} was refused:\n{reason}");
        }
        text
    }
}

/// An address and port alone will do: `http` is meant.
fn admin(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    Url::parse(&whole)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| "not a URL such as http://127.0.0.1:8081".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_is_named_by_its_url_or_its_address() {
        for (text, asked) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081/readyz"),
            (
                "https://ops.example.com/at/",
                "https://ops.example.com/at/readyz",
            ),
        ] {
            let service = Service {
                admin: admin(text).unwrap(),
                admin_token_file: None,
            };
            assert_eq!(service.readyz().as_str(), asked);
        }
        for text in ["ftp://x", "", "file:///x"] {
            assert!(admin(text).is_err(), "{text}");
        }
    }
}
