//! The HTTP client for destinations, behind a small trait.
//!
//! Knows no rules, tasks or recordings. Messages contain only the [`origin`] of a URL: paths and
//! queries of webhooks are secrets.

mod client;
mod connect;
mod failure;
mod guarded;
mod resolve;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use crate::model::destination::Destination;
use crate::model::failure::Failure;

pub use guarded::Guarded;
pub use resolve::Resolver;

/// Maximum bytes that are read of a response.
pub const ANSWER_LIMIT: usize = 16 * 1024;

#[async_trait]
pub trait Outbound: Send + Sync {
    /// Sends one request and reads the first [`ANSWER_LIMIT`] bytes of the response. A response
    /// with any status is `Ok`. Redirects are not followed.
    async fn send(&self, destination: &Destination, request: Request) -> Result<Answer, NoAnswer>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    pub failure: Failure,
    /// Whether nothing of the request can have been sent.
    pub unsent: bool,
}

impl From<Failure> for NoAnswer {
    /// Assumes that the request may have been sent.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            unsent: false,
        }
    }
}

impl NoAnswer {
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self {
            failure,
            unsent: true,
        }
    }
}

/// A complete request: exactly what is sent.
#[derive(Clone)]
pub struct Request {
    pub method: http::Method,
    pub url: Url,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// Total time, from connecting to the end of the response.
    pub timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

struct To<'a>(&'a Destination);

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Destination { name, url, .. }) = self;
        write!(f, "destination {name} at {}", origin(url))
    }
}

/// Scheme, host and port: the parts that may be shown.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("origin", &origin(&self.url))
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
