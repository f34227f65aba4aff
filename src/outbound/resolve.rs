//! Resolves a destination's host and refuses private addresses.
//!
//! The check is part of the connection's own lookup: after a separate check, the name's owner could
//! return another address for the connection. A literal address is never looked up, so it is
//! checked separately.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::model::address::{special, special_host};

/// A destination with a forbidden address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("leads to {address} ({what})")]
pub(super) struct Refused {
    address: IpAddr,
    what: &'static str,
}

/// Refuses a URL whose host is a literal non-public address.
pub(super) fn check_literal(url: &Url) -> Result<(), Refused> {
    match special_host(url) {
        Some((address, what)) => Err(Refused { address, what }),
        None => Ok(()),
    }
}

/// Looks up the addresses of a host; the caller checks them before connecting.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of `host`, in the order in which to try them.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

#[derive(Debug, Clone, Copy)]
pub(super) struct System;

#[async_trait]
impl Resolver for System {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Returns only the public addresses of its resolver.
pub(super) struct PublicOnly(pub(super) Arc<dyn Resolver>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move {
            let public = public_of(resolver.addresses(name.as_str()).await?)?;
            // Port zero means the URL's port.
            let public = public
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(public) as Addrs)
        })
    }
}

/// The public addresses; an error when all are private.
fn public_of(found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refused> {
    let mut refused = None;
    let mut public = Vec::new();
    for address in found {
        match check(address) {
            Ok(()) => public.push(address),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if public.is_empty() => Err(error),
        _ => Ok(public),
    }
}

fn check(address: IpAddr) -> Result<(), Refused> {
    match special(address) {
        Some(what) => Err(Refused { address, what }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_public_addresses_of_a_name_are_connected_to() {
        let found = addresses(&["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"]);
        assert_eq!(
            public_of(found),
            Ok(addresses(&["8.8.8.8", "2606:4700::1"]))
        );
    }

    #[test]
    fn name_with_no_public_address_is_refused_for_its_first() {
        let refused = public_of(addresses(&["169.254.169.254", "::1"])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "leads to 169.254.169.254 (cloud metadata)"
        );
        assert_eq!(public_of(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn names_and_public_literals_are_left_to_the_connection() {
        for url in [
            "https://localhost/",
            "https://8.8.8.8/",
            "https://[2606:4700::1]/",
        ] {
            assert_eq!(check_literal(&url.parse().unwrap()), Ok(()), "{url}");
        }
    }
}
