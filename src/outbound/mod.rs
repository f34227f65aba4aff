//! The HTTP client for destinations: guarded, bounded, and behind a small trait.
//!
//! Knows destinations and bytes; nothing of rules, tasks or recordings. Texts name a
//! URL by its [`origin`] only: paths and queries of webhooks are secrets.

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

/// Bytes read of an answer; the rest is not read.
pub const ANSWER_LIMIT: usize = 16 * 1024;

/// Sends requests to destinations.
#[async_trait]
pub trait Outbound: Send + Sync {
    /// Sends one request and reads the answer's first [`ANSWER_LIMIT`] bytes. Any status
    /// is an answer; a failure means that there was none. Redirects are not followed.
    async fn send(&self, destination: &Destination, request: Request) -> Result<Answer, NoAnswer>;
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    pub failure: Failure,
    /// Whether it is certain that nothing of the request was sent.
    pub unsent: bool,
}

impl From<Failure> for NoAnswer {
    /// The request was sent, or that is not known.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            unsent: false,
        }
    }
}

impl NoAnswer {
    /// It failed before anything was sent.
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self {
            failure,
            unsent: true,
        }
    }
}

/// A request, whole: what is sent is exactly this.
#[derive(Clone)]
pub struct Request {
    pub method: http::Method,
    pub url: Url,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// Total time, from connecting to the end of the answer.
    pub timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: http::StatusCode,
    pub headers: http::HeaderMap,
    /// At most [`ANSWER_LIMIT`] bytes.
    pub body: Bytes,
}

/// A destination by name and origin, as failures name it.
struct To<'a>(&'a Destination);

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Destination { name, url, .. }) = self;
        write!(f, "destination {name} at {}", origin(url))
    }
}

/// A URL's scheme, host and port: what may be shown of it.
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
