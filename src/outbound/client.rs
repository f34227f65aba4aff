//! Builds the HTTP client for a destination's settings.
//!
//! No client follows redirects (they would bypass the address check), uses a proxy that is not in
//! the rules file (it would resolve names itself), or retries (the queue does).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::tls::{Certificate, Identity};
use reqwest::{Client, ClientBuilder, Proxy};
use url::Url;

use super::failure::causes;
use super::resolve::{PublicOnly, Resolver};
use crate::model::destination::{Destination, TlsFiles};

/// Maximum time for name lookup, connecting and the TLS handshake together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. Load balancers drop theirs after 60 seconds, and a request
/// on a dropped connection is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Destinations with equal settings share a client.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// `None` for plain http: loading the system's CA certificates takes time, and fails where
    /// there are none.
    tls: Option<TlsFiles>,
    proxy: Option<Url>,
    allow_private: bool,
}

impl Settings {
    pub(super) fn of(destination: &Destination) -> Self {
        let proxy = destination.proxy.as_ref();
        let secure = |url: &Url| url.scheme() == "https";
        let tls = secure(&destination.url) || proxy.is_some_and(secure);
        Self {
            tls: tls.then(|| destination.tls.clone()),
            proxy: proxy.cloned(),
            allow_private: destination.allow_private,
        }
    }

    /// Builds a client. The error describes a file that cannot be read or used.
    pub(super) fn build(&self, resolver: &Arc<dyn Resolver>) -> Result<Client, String> {
        self.built(self.builder(resolver)?)
    }

    pub(super) fn built(&self, builder: ClientBuilder) -> Result<Client, String> {
        builder.build().map_err(|error| match &self.tls {
            Some(files) => format!("TLS with {}: {}", shown(files), causes(&error)),
            None => causes(&error),
        })
    }

    pub(super) fn builder(&self, resolver: &Arc<dyn Resolver>) -> Result<ClientBuilder, String> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT);
        // A proxy is trusted, and resolves the destination's name itself.
        if let Some(url) = &self.proxy {
            let proxy = Proxy::all(url.clone())
                .map_err(|error| format!("proxy cannot be used: {}", causes(&error)))?;
            builder = builder.proxy(proxy);
        } else if !self.allow_private {
            builder = builder.dns_resolver(PublicOnly(Arc::clone(resolver)));
        }
        match &self.tls {
            Some(files) => with_files(builder, files),
            None => Ok(builder.tls_certs_only([])),
        }
    }
}

fn with_files(mut builder: ClientBuilder, files: &TlsFiles) -> Result<ClientBuilder, String> {
    if let Some(path) = &files.ca {
        let authorities = Certificate::from_pem_bundle(&read(path)?).unwrap_or_default();
        if authorities.is_empty() {
            return Err(format!("{}: no PEM certificate in it", path.display()));
        }
        builder = builder.tls_certs_only(authorities);
    }
    if let Some((certificate, key)) = &files.client {
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        let identity = Identity::from_pem(&pem).map_err(|error| {
            let (certificate, key) = (certificate.display(), key.display());
            format!("{certificate} and {key}: {}", causes(&error))
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn shown(files: &TlsFiles) -> String {
    let paths: Vec<_> = files
        .ca
        .iter()
        .chain(
            files
                .client
                .iter()
                .flat_map(|(certificate, key)| [certificate, key]),
        )
        .map(|path| path.display().to_string())
        .collect();
    if paths.is_empty() {
        "the system's authorities".to_owned()
    } else {
        paths.join(", ")
    }
}
