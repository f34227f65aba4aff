//! Tells requests of an operator's tools from those that a web page makes a browser send.
//!
//! A browser on this machine reaches the operator listener. Any page can make it POST there, and
//! with DNS rebinding (its name suddenly resolves to 127.0.0.1) the listener even seems to belong
//! to the page. Tools send neither `Origin` nor `Sec-Fetch-Site`.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderValue, ORIGIN};
use warp::http::uri::Authority;

const FROM_ELSEWHERE: &str = "a page of another site may not ask for this";

const BY_ANOTHER_NAME: &str = "asked under a name that is not this machine's; use 127.0.0.1 or localhost, or serve with --admin-token-file";

/// Why a request that changes something is refused. With a token the `Host` is not checked: no page
/// has the token.
pub(super) fn refusal(headers: &HeaderMap, has_token: bool) -> Option<&'static str> {
    if !is_from_here(headers) {
        Some(FROM_ELSEWHERE)
    } else if !has_token && !headers.get_all(HOST).iter().all(names_this_machine) {
        Some(BY_ANOTHER_NAME)
    } else {
        None
    }
}

/// Whether the request comes from a page of this listener or from no page, as far as the browser
/// says.
fn is_from_here(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    sites.all(|site| [&b"same-origin"[..], b"none"].contains(&site.as_bytes()))
        && origins.all(|origin| {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some_and(|authority| Some(authority.as_bytes()) == host)
        })
}

/// An address or `localhost` cannot be redirected by DNS.
fn names_this_machine(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let name = authority.host().to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn asked(headers: &[(&'static str, &'static str)], has_token: bool) -> Option<&'static str> {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        refusal(&headers.collect(), has_token)
    }

    #[test]
    fn tools_and_pages_of_the_listener_itself_may_ask() {
        for host in [
            "127.0.0.1:8081",
            "127.0.0.1",
            "[::1]:8081",
            "localhost:8081",
            "LOCALHOST",
            "a.localhost:1",
        ] {
            assert_eq!(asked(&[("host", host)], false), None, "{host}");
        }
        let host = ("host", "localhost:8081");
        let own = [host, ("origin", "http://localhost:8081")];
        assert_eq!(asked(&own, false), None);
        for site in ["same-origin", "none"] {
            assert_eq!(asked(&[host, ("sec-fetch-site", site)], false), None);
        }
        assert_eq!(asked(&[], false), None);
    }

    #[test]
    fn pages_of_other_sites_may_not_with_or_without_a_token() {
        let host = ("host", "localhost:8081");
        for other in [
            ("origin", "http://localhost:8082"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            for has_token in [false, true] {
                assert_eq!(asked(&[host, other], has_token), Some(FROM_ELSEWHERE));
            }
        }
    }

    #[test]
    fn another_name_needs_a_token() {
        for host in [
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "",
        ] {
            let headers = [("host", host)];
            assert_eq!(asked(&headers, false), Some(BY_ANOTHER_NAME), "{host}");
            assert_eq!(asked(&headers, true), None);
        }
    }
}
