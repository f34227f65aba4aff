//! Sends requests to destinations over pooled connections.
//!
//! Addresses are checked when connecting, and a request never takes more than its timeout and
//! [`ANSWER_LIMIT`] bytes of memory.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::BytesMut;
use reqwest::Client;
use url::Url;

use super::client::Settings;
use super::failure::{forbidden, no_answer, too_slow};
use super::resolve::{Resolver, System, check_literal};
use super::{ANSWER_LIMIT, Answer, NoAnswer, Outbound, Request, To, origin};
use crate::model::destination::Destination;
use crate::model::failure::{Failure, FailureKind};

/// The client of the service.
///
/// Destinations with equal TLS, proxy and `allow_private` settings share connections. TLS files are
/// read on the first request. An unusable one is read again on the next request; others only when a
/// new `Guarded` is created.
pub struct Guarded {
    pub(super) resolver: Arc<dyn Resolver>,
    // Few, because most destinations have default settings.
    clients: Mutex<Vec<(Settings, Client)>>,
}

impl Guarded {
    pub fn new() -> Self {
        Self::with_resolver(Arc::new(System))
    }

    /// Uses `resolver`, except for destinations with `allow_private`, which use the system's.
    pub fn with_resolver(resolver: Arc<dyn Resolver>) -> Self {
        Self {
            resolver,
            clients: Mutex::default(),
        }
    }

    fn allowed(&self, destination: &Destination, url: &Url) -> Result<Client, Failure> {
        check_origin(destination, url)?;
        let to = To(destination);
        if !destination.allow_private {
            check_literal(url).map_err(|refused| forbidden(&refused, &to))?;
        }
        self.client(destination).map_err(|why| {
            // Files can appear late or be incomplete, so a retry may help.
            Failure::new(FailureKind::Storage, format!("{to}: {why}"))
        })
    }

    fn client(&self, destination: &Destination) -> Result<Client, String> {
        let settings = Settings::of(destination);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == settings) {
            return Ok(client.clone());
        }
        let client = settings.build(&self.resolver)?;
        clients.push((settings, client.clone()));
        Ok(client)
    }
}

impl Default for Guarded {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Outbound for Guarded {
    async fn send(&self, destination: &Destination, request: Request) -> Result<Answer, NoAnswer> {
        let to = To(destination);
        let client = self.allowed(destination, &request.url);
        let client = client.map_err(NoAnswer::unsent)?;
        let timeout = request.timeout;
        match tokio::time::timeout(timeout, exchange(&client, request)).await {
            Ok(answered) => answered.map_err(|error| no_answer(&error, &to)),
            Err(_) => Err(too_slow(timeout, &to).into()),
        }
    }
}

/// A step may set path and query, but not scheme, host or port.
fn check_origin(destination: &Destination, url: &Url) -> Result<(), Failure> {
    let configured = &destination.url;
    if url.scheme() == configured.scheme()
        && url.host() == configured.host()
        && url.port_or_known_default() == configured.port_or_known_default()
    {
        return Ok(());
    }
    let (name, to, configured) = (&destination.name, origin(url), origin(configured));
    let reason = format!(
        "destination {name} at {to} is not where the destination is configured, {configured}"
    );
    Err(Failure::new(FailureKind::Forbidden, reason))
}

async fn exchange(client: &Client, request: Request) -> reqwest::Result<Answer> {
    let mut response = client
        .request(request.method, request.url)
        .headers(request.headers)
        .body(request.body)
        .send()
        .await?;
    let mut body = BytesMut::new();
    while body.len() < ANSWER_LIMIT
        && let Some(chunk) = response.chunk().await?
    {
        let room = ANSWER_LIMIT - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: body.freeze(),
    })
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}
