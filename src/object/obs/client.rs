//! Sends signed requests to OBS and reads the responses.
//!
//! Knows requests, responses and the server's clock, but not the operations. Follows no redirects
//! (a signature is valid for one host) and uses no proxy from the environment. Retries only a
//! request that was refused for a wrong clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use md5::{Digest, Md5};
use reqwest::Response;

use super::address::Address;
use super::error::{Effect, Error, Refusal};
use super::sign::{Credentials, Query};
use super::xml::Node;
use crate::clock;
use crate::model::bucket::Timeouts;
use crate::model::failure::{Failure, FailureKind};
use crate::model::time::Timestamp;

/// Shorter than servers keep idle connections: a request sent while the server closes the
/// connection has an unknown effect.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum bytes of an XML document: a listing of 1,000 keys of 1,024 bytes, all escaped.
const DOCUMENT_LIMIT: u64 = 16 << 20;
/// Maximum bytes read of an error's body.
const ERROR_LIMIT: u64 = 64 << 10;

const SKEWED: &str = "RequestTimeTooSkewed";

#[derive(Debug)]
pub(super) struct Client {
    /// Whose requests they are.
    bucket: String,
    http: reqwest::Client,
    pub(super) address: Address,
    credentials: Credentials,
    timeouts: Timeouts,
    /// Milliseconds by which the server's clock is ahead, learned when OBS refuses a request.
    ahead_ms: AtomicI64,
}

#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The operation in error texts, such as `copy to`.
    what: &'static str,
    method: Method,
    bucket: &'a str,
    key: Option<&'a str>,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
    effect: Effect,
    /// Whether to use the longer timeout for copies.
    copies: bool,
    limit: u64,
}

/// A 2xx response. The status alone does not mean success; see `read`, `confirm` and `content`.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// For the requests of `bucket`: all failures are of that.
    pub(super) fn new(
        bucket: &str,
        address: Address,
        credentials: Credentials,
        timeouts: Timeouts,
    ) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("aftertake/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(timeouts.connect)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| {
                let reason = format!("the HTTP client for OBS cannot start: {}", causes(&error));
                Failure::new(FailureKind::Unreachable, reason)
            })?;
        Ok(Self {
            bucket: bucket.to_owned(),
            http,
            address,
            credentials,
            timeouts,
            ahead_ms: AtomicI64::new(0),
        })
    }

    /// Sends a request; any status but 2xx is an error.
    async fn send(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let sent = match self.attempt(call).await {
            // The refusal set the clock offset, and nothing was executed.
            Err(error) if error.is(SKEWED) => self.attempt(call).await,
            outcome => outcome,
        };
        match sent {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.ours(self.of_object_or_bucket(call, error).await)),
        }
    }

    /// The error of a request. A 404 without a code is about the object only if the bucket is there:
    /// it may come from a server that has no such bucket, or from a proxy.
    async fn of_object_or_bucket(&self, call: &Call<'_>, error: Error) -> Error {
        if error.failure.kind != FailureKind::Missing || !error.is("") {
            return error;
        }
        let look = Call::bucket("look at", Method::HEAD, call.bucket);
        match self.attempt(&look).await {
            Err(away) if !away.failure.kind.is_an_answer() => away,
            _ => error,
        }
    }

    /// Sends a request and parses the response document. OBS sends the status before it finishes,
    /// so a 200 may contain an error; `read` returns `None` when the document does not confirm
    /// success.
    /// <https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0082.html>
    pub(super) async fn read<T>(
        &self,
        call: &Call<'_>,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Result<T, Error> {
        let answer = self.send(call).await?;
        let read = call.root(&answer).and_then(|root| {
            read(&root).ok_or_else(|| {
                let why = format!("{} does not confirm success", root.name());
                call.unusable(&answer.headers, &why)
            })
        });
        read.map_err(|error| self.ours(error))
    }

    fn ours(&self, error: Error) -> Error {
        let failure = error.failure.from_bucket(&self.bucket);
        Error { failure, ..error }
    }

    /// Sends a request whose success has no body, and returns the headers. A response with a body
    /// is an error in a 200, or the page of a proxy.
    pub(super) async fn confirm(&self, call: &Call<'_>) -> Result<HeaderMap, Error> {
        let answer = self.send(call).await?;
        let nothing = call.nothing(&answer);
        nothing.map_err(|error| self.ours(error))?;
        Ok(answer.headers)
    }

    /// [`Client::confirm`] for a request that OBS answers with 204. Returns whether it did: any
    /// other 2xx may come from a proxy.
    pub(super) async fn confirm_empty(&self, call: &Call<'_>) -> Result<bool, Error> {
        let answer = self.send(call).await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(true);
        }
        let nothing = call.nothing(&answer);
        nothing.map_or_else(|error| Err(self.ours(error)), |()| Ok(false))
    }

    /// Reads an object's content. The response must have an ETag.
    pub(super) async fn content(&self, call: &Call<'_>) -> Result<Bytes, Error> {
        let answer = self.send(call).await?;
        if answer.headers.contains_key(ETAG) {
            return Ok(answer.body);
        }
        let unusable = call.root(&answer).map_or_else(
            |error| error,
            |root| {
                let why = format!("{} without an ETag", root.name());
                call.unusable(&answer.headers, &why)
            },
        );
        Err(self.ours(unusable))
    }

    /// A link to an object that works until `lifetime` after `now`, by the server's clock.
    pub(super) fn signed_link(
        &self,
        bucket: &str,
        key: &str,
        lifetime: Duration,
        now: Timestamp,
    ) -> String {
        let expires = self.at_server(now).plus(lifetime).seconds();
        let query = self.credentials.signed_query(bucket, key, expires);
        self.address.link(bucket, key, &query)
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let response = self.request(call)?.send().await;
        let response = response.map_err(|error| call.lost(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            let body = read_body(response, call.limit).await;
            let body = body.map_err(|error| call.broken(error))?;
            return Ok(Answer {
                status,
                headers,
                body,
            });
        }
        let body = read_body(response, ERROR_LIMIT).await.unwrap_or_default();
        let body = Node::parse(&body).ok();
        let refusal = Refusal::read(status, &headers, body.as_ref());
        if refusal.code == SKEWED {
            self.learn_time(&headers);
        }
        let mut error = refusal.into_error(&call.describe(), call.effect);
        if call.key.is_none() && error.failure.kind == FailureKind::Missing {
            // The bucket itself.
            error.failure.kind = FailureKind::Away;
        }
        Err(error)
    }

    fn request(&self, call: &Call<'_>) -> Result<reqwest::RequestBuilder, Error> {
        let key = call.key.unwrap_or_default();
        if call.key == Some("") {
            return Err(Error::new(
                FailureKind::Invalid,
                format!("{}: the key is empty", call.what),
            ));
        }
        let url = self.address.url(call.bucket, key, &call.query);
        let url = url.map_err(|failure| Error::new(failure.kind, failure.reason))?;
        let mut headers = call.headers.clone();
        if call.body.is_empty() && matches!(call.method, Method::PUT | Method::POST) {
            // hyper sends no length for an empty body; OBS then responds with 411.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let now = self.at_server(clock::now());
        let target = (call.bucket, key);
        self.credentials
            .sign(&call.method, target, &call.query, &mut headers, now);
        let request = self.http.request(call.method.clone(), url);
        let timeout = if call.copies {
            self.timeouts.copy
        } else {
            self.timeouts.answer
        };
        let request = request.headers(headers).timeout(timeout);
        Ok(if call.body.is_empty() {
            request
        } else {
            request.body(call.body.clone())
        })
    }

    pub(super) fn clock_ahead(&self) -> Option<chrono::Duration> {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        (ahead != 0).then(|| chrono::Duration::milliseconds(ahead))
    }

    fn at_server(&self, now: Timestamp) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(now.millis().saturating_add(ahead))
    }

    fn learn_time(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        if let Some(date) = date {
            let ahead = date.timestamp_millis() - clock::now().millis();
            self.ahead_ms.store(ahead, Ordering::Relaxed);
            tracing::warn!(ahead_ms = ahead, "this machine's clock differs from OBS's");
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn object(
        what: &'static str,
        method: Method,
        bucket: &'a str,
        key: &'a str,
    ) -> Self {
        Self {
            key: Some(key),
            ..Self::bucket(what, method, bucket)
        }
    }

    pub(super) fn bucket(what: &'static str, method: Method, bucket: &'a str) -> Self {
        Self {
            what,
            method,
            bucket,
            key: None,
            query: Query::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            effect: Effect::Repeatable,
            copies: false,
            limit: DOCUMENT_LIMIT,
        }
    }

    /// Adds a query parameter without a value.
    pub(super) fn about(mut self, name: &'static str) -> Self {
        self.query.push((name, None));
        self
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, Some(value.into())));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn headers(mut self, headers: &HeaderMap) -> Self {
        self.headers.extend(headers.clone());
        self
    }

    /// Adds a body and the MD5 that OBS checks.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        let digest = STANDARD.encode(Md5::digest(&body));
        let digest = HeaderValue::from_str(&digest).expect("base64 is ASCII");
        self.body = body;
        self.header("content-md5", digest)
    }

    pub(super) fn document(self, document: String) -> Self {
        let mut call = self.body(Bytes::from(document));
        let xml = HeaderValue::from_static("application/xml");
        call.headers.insert(CONTENT_TYPE, xml);
        call
    }

    /// Marks a request that must not be repeated before its effect is known.
    pub(super) fn once(mut self) -> Self {
        self.effect = Effect::Once;
        self
    }

    pub(super) fn patient(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Limits the size of the response, in bytes.
    pub(super) fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// The document of a 2xx, unless it is an error.
    fn root(&self, answer: &Answer) -> Result<Node, Error> {
        let root = Node::parse(&answer.body)
            .map_err(|error| self.unusable(&answer.headers, &error.to_string()))?;
        if root.name() == "Error" {
            let refusal = Refusal::read(StatusCode::OK, &answer.headers, Some(&root));
            return Err(refusal.into_error(&self.describe(), self.effect));
        }
        Ok(root)
    }

    fn nothing(&self, answer: &Answer) -> Result<(), Error> {
        if answer.body.trim_ascii().is_empty() {
            return Ok(());
        }
        let root = self.root(answer)?;
        let why = format!("{} where nothing is expected", root.name());
        Err(self.unusable(&answer.headers, &why))
    }

    /// The error for a 2xx response that does not confirm success.
    pub(super) fn unusable(&self, headers: &HeaderMap, why: &str) -> Error {
        let id = headers.get("x-obs-request-id").map(HeaderValue::to_str);
        let id = id.and_then(Result::ok).unwrap_or("none");
        let reason = format!(
            "{}: OBS's answer is unusable: {why} [request id {id}]",
            self.describe()
        );
        Error::new(self.effect.judge(FailureKind::Unavailable), reason)
    }

    fn describe(&self) -> String {
        match self.key {
            Some(key) => format!("{} {key:?} in bucket {:?}", self.what, self.bucket),
            None => format!("{} bucket {:?}", self.what, self.bucket),
        }
    }

    /// The response is missing or incomplete. Only a failed connection proves that nothing
    /// happened.
    fn lost(&self, error: reqwest::Error) -> Error {
        let kind = match self.effect {
            _ if error.is_connect() => FailureKind::Unreachable,
            Effect::Once => FailureKind::Unknown,
            Effect::Repeatable if error.is_timeout() => FailureKind::Timeout,
            Effect::Repeatable => FailureKind::Unreachable,
        };
        let cause = causes(&error.without_url());
        Error::new(kind, format!("{}: {cause}", self.describe()))
    }

    fn broken(&self, error: BodyError) -> Error {
        match error {
            BodyError::Lost(error) => self.lost(error),
            BodyError::TooLong => {
                let reason = format!(
                    "{}: it is longer than {} bytes",
                    self.describe(),
                    self.limit
                );
                Error::new(FailureKind::Unsupported, reason)
            }
        }
    }
}

enum BodyError {
    Lost(reqwest::Error),
    TooLong,
}

async fn read_body(mut response: Response, limit: u64) -> Result<Bytes, BodyError> {
    let said = response.content_length().unwrap_or(0).min(limit);
    let mut body = BytesMut::with_capacity(usize::try_from(said).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Lost)? {
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(BodyError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
