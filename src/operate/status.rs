//! Asks a running service which rules it uses.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::outbound::origin;

/// How long the service may take: longer than it waits for its store.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
pub struct RulesStatus {
    pub revision: Option<String>,
    pub loaded: Option<String>,
    pub reload_error: Option<RefusedReload>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RefusedReload {
    pub at: String,
    pub reason: String,
}

/// Why the status is unknown. Messages name the listener without a possible password.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    #[error(
        "{listener} does not answer; is the service running, and is this its --admin-listen? Name another with --admin"
    )]
    Silent {
        listener: String,
        source: reqwest::Error,
    },
    #[error("{0} asks for another token: give it with --admin-token-file FILE")]
    Token(String),
    #[error(
        "{0} does not answer as an operator listener of Aftertake does; name another with --admin"
    )]
    Stranger(String),
}

pub async fn ask(admin: &Url, token: Option<&str>) -> Result<RulesStatus, StatusError> {
    let exchanged = exchange(admin, token).await;
    let (status, body) = exchanged.map_err(|source| StatusError::Silent {
        listener: origin(admin),
        source: source.without_url(),
    })?;
    if status == StatusCode::UNAUTHORIZED {
        return Err(StatusError::Token(origin(admin)));
    }
    serde_json::from_slice(&body).map_err(|_| StatusError::Stranger(origin(admin)))
}

async fn exchange(admin: &Url, token: Option<&str>) -> reqwest::Result<(StatusCode, bytes::Bytes)> {
    let mut client = Client::builder().no_proxy().timeout(PATIENCE);
    if admin.scheme() == "http" {
        // Loading the system's CA certificates fails on a machine that has none.
        client = client.tls_certs_only([]);
    }
    let mut request = client.build()?.get(readyz(admin));
    if let Some(token) = token {
        request = request.bearer_auth(token.trim());
    }
    let response = request.send().await?;
    Ok((response.status(), response.bytes().await?))
}

fn readyz(admin: &Url) -> Url {
    let mut url = admin.clone();
    url.set_path(&format!("{}/readyz", url.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_asked_below_the_listeners_own_path() {
        for (listener, asked) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081/readyz"),
            (
                "https://ops.example.com/at/",
                "https://ops.example.com/at/readyz",
            ),
        ] {
            assert_eq!(readyz(&listener.parse().unwrap()).as_str(), asked);
        }
    }
}
