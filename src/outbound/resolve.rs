//! Finds out where a destination leads, and refuses to be led astray.
//!
//! The check sits inside the connection's own look-up: addresses that were looked up
//! and checked beforehand need not be the ones that are then connected to, as the
//! name's owner can answer differently the second time. A literal address is never
//! looked up, so it is checked apart.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::special;

/// A destination that leads where it may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("leads to {address} ({what})")]
pub(super) struct Refused {
    address: IpAddr,
    what: &'static str,
}

/// Refuses a URL whose host is itself an address that is not public. Unusual
/// spellings, such as `0x7f.1`, were made usual when the URL was parsed.
pub(super) fn check_literal(url: &Url) -> Result<(), Refused> {
    match url.host() {
        Some(Host::Ipv4(address)) => check(address.into()),
        Some(Host::Ipv6(address)) => check(address.into()),
        Some(Host::Domain(_)) | None => Ok(()),
    }
}

/// Looks names up in the system's way and gives only public addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public = public_of(found.collect())?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// The public addresses among those found; refused when there are only others.
fn public_of(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let mut refused = None;
    let mut public = Vec::new();
    for address in found {
        match check(address.ip()) {
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

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts
            .iter()
            .map(|text| SocketAddr::new(text.parse().unwrap(), 0))
            .collect()
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
    fn literal_addresses_are_refused_however_they_are_spelled() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "0177.1",
            "%31%32%37.0.0.1",
            "①②⑦.0.0.1",
            "127。0。0。1",
            "user:password@127.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
        ] {
            let url: Url = format!("http://{host}:8080/").parse().unwrap();
            let refused = check_literal(&url).unwrap_err();
            assert_eq!(refused.what, "loopback", "{host}");
        }
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
