//! `destinations:` where notifications may go, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use url::Host;

use super::load::Loading;
use super::scalar::{Count, HeaderName, Plain, RateText, Status, Timeout, WebUrl};
use crate::chat;
use crate::model::address::special_host;
use crate::model::destination::{Breaker, Destination, Format, TlsFiles};
use crate::model::secret::of_url;
use crate::rules::template::Scope;
use crate::yaml::shape::{At, Deferred, OneOrMany, Table};

const TIMEOUT: Duration = Duration::from_secs(15);
const CONCURRENCY: u32 = 16;
/// Maximum number of headers of a destination, and of a step.
const HEADERS: usize = 100;

/// A destination of notifications.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Destination")]
pub(crate) struct Raw {
    url: At<WebUrl>,
    /// Standard Webhooks secrets (`whsec_…`); a list while rotating. For `feishu` and `dingtalk`,
    /// the bot's own secret; other chats have none.
    secret: Option<OneOrMany<At<String>>>,
    /// Total time for one request; 15s by default.
    timeout: Option<Timeout>,
    /// Maximum number of requests at a time; 16 by default.
    concurrency: Option<Count>,
    /// Maximum request rate, such as `50/s`.
    rate: Option<RateText>,
    /// Whether loopback, private, link-local and similar addresses may be reached; `false` by
    /// default.
    allow_private: Option<bool>,
    /// Headers of every request.
    headers: Option<Table<At<Plain>>>,
    /// Format of the body when the step gives none; `aftertake` by default.
    format: Option<Format>,
    /// The message of the chat formats, a template; `failure.reason` is defined in notices of dead tasks.
    text: Option<At<String>>,
    /// When to pause requests after consecutive failures.
    breaker: Option<RawBreaker>,
    /// Statuses that count as success in addition to 2xx.
    success: Option<Vec<At<Status>>>,
    /// Statuses that are retried in addition to the usual ones.
    retry: Option<Vec<At<Status>>>,
    /// Statuses that are final although they are usually retried.
    #[serde(rename = "final")]
    refused: Option<Vec<At<Status>>>,
    /// Certificate of a private authority, PEM; path relative to the rules file.
    ca: Option<At<String>>,
    /// A client certificate, PEM; together with `client_key`.
    client_cert: Option<At<String>>,
    /// The client certificate's key, PEM.
    client_key: Option<At<String>>,
    /// An HTTP proxy; none by default: variables such as `HTTPS_PROXY` are ignored.
    proxy: Option<WebUrl>,
}

/// When to pause requests to a destination.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Breaker")]
pub(crate) struct RawBreaker {
    /// Consecutive retryable failures that open it; 5 by default.
    failures: Option<Count>,
    /// The longest time between probes; 10m by default.
    longest: Option<Timeout>,
}

impl From<RawBreaker> for Breaker {
    fn from(raw: RawBreaker) -> Self {
        let usual = Self::default();
        Self {
            failures: raw.failures.map_or(usual.failures, |Count(count)| count),
            longest: raw
                .longest
                .map_or(usual.longest, |Timeout(longest)| longest),
        }
    }
}

impl Loading<'_> {
    pub(super) fn destinations(
        &mut self,
        section: Option<&Deferred<Table<Deferred<Raw>>>>,
    ) -> BTreeMap<String, Destination> {
        let rows = self.read_or_default(section).unwrap_or_default().0;
        let mut destinations = BTreeMap::new();
        for (name, destination) in &rows {
            let destination = self.destination(name, destination);
            destinations.extend(destination.map(|destination| (name.value.clone(), destination)));
        }
        destinations
    }

    fn destination(
        &mut self,
        name: &At<String>,
        destination: &Deferred<Raw>,
    ) -> Option<Destination> {
        self.filled(name, "the destination's name")?;
        let raw = self.read(destination)?;
        let before = self.problems.len();
        self.refuse_credentials(&raw.url);
        let allow_private = raw.allow_private.unwrap_or(false);
        if !allow_private {
            self.warn_of_private(&raw.url, raw.proxy.as_ref());
        }
        let format = raw.format.unwrap_or_default();
        let secrets = self.signing_secrets(format, &raw.secret.unwrap_or_default().0);
        if chat::of(format).is_some() {
            self.hide_token(&raw.url.value.0);
        }
        if let Some(WebUrl(proxy)) = &raw.proxy {
            self.secrets.extend(of_url(proxy));
            self.warn_of_exposed_proxy(&raw.url, proxy);
        }
        let headers = self.fixed_headers(raw.headers.unwrap_or_default().0);
        self.warn_of_exposed_secrets(&raw.url, format, &headers);
        let text = raw.text.map(|text| self.message(&text));
        let tls = self.tls(
            raw.ca.as_ref(),
            raw.client_cert.as_ref(),
            raw.client_key.as_ref(),
        );
        let [success, retry, refused] = self.statuses([raw.success, raw.retry, raw.refused]);
        (self.problems.len() == before).then(|| Destination {
            name: name.value.clone(),
            url: raw.url.value.0,
            secrets,
            timeout: raw.timeout.map_or(TIMEOUT, |Timeout(timeout)| timeout),
            concurrency: raw.concurrency.map_or(CONCURRENCY, |Count(count)| count),
            rate: raw.rate.map(|RateText(rate)| rate),
            allow_private,
            headers,
            format,
            text,
            breaker: raw.breaker.map_or_else(Breaker::default, Breaker::from),
            success,
            retry,
            refused,
            tls,
            proxy: raw.proxy.map(|WebUrl(proxy)| proxy),
        })
    }

    fn refuse_credentials(&mut self, url: &At<WebUrl>) {
        if !url.value.0.username().is_empty() || url.value.0.password().is_some() {
            let help = "send them in `headers`, taken from the environment";
            self.refuse(
                url.at,
                "a user and a password in a URL are shown wherever the URL is",
                help,
            );
        }
    }

    /// Only a warning: the URL often comes from the environment and differs in production.
    fn warn_of_private(&mut self, url: &At<WebUrl>, proxy: Option<&WebUrl>) {
        let what = match url.value.0.host() {
            // Always loopback (<https://www.rfc-editor.org/rfc/rfc6761#section-6.3>), unless a
            // proxy resolves the name.
            Some(Host::Domain("localhost")) if proxy.is_none() => Some("loopback"),
            _ => special_host(&url.value.0).map(|(_, what)| what),
        };
        if let Some(what) = what {
            let message = format!(
                "this leads to an address that is not public ({what}), where nothing is sent unless the destination \
                 says `allow_private: true`"
            );
            self.warn(url.at, message);
        }
    }

    fn fixed_headers(&mut self, rows: Vec<(At<String>, At<Plain>)>) -> Vec<(String, SecretString)> {
        let mut headers = Vec::new();
        self.refuse_many_headers(&rows);
        for (name, value) in rows {
            let name = self.header_name(&name);
            if http::HeaderValue::from_str(&value.value.0).is_err() {
                let help = "a header's value is one line of visible characters";
                self.refuse(value.at, "this cannot be a header's value", help);
            }
            if let Some(name) = name {
                self.hide_header(&name, &value.value.0);
                headers.push((name, SecretString::from(value.value.0)));
            }
        }
        headers
    }

    /// Stays far below the 32,768 headers that the HTTP library can hold.
    pub(super) fn refuse_many_headers<T>(&mut self, rows: &[(At<String>, T)]) {
        if let Some((name, _)) = rows.get(HEADERS) {
            let message = format!("{} headers; there may be {HEADERS}", rows.len());
            self.refuse(name.at, message, "send the rest in the body");
        }
    }

    pub(super) fn header_name(&mut self, name: &At<String>) -> Option<String> {
        self.read_node(name.at).map(|HeaderName(name)| name)
    }

    /// A chat message: checked here, rendered for each notification.
    fn message(&mut self, text: &At<String>) -> String {
        self.template(text, Scope::MESSAGE);
        text.value.clone()
    }

    fn tls(
        &mut self,
        ca: Option<&At<String>>,
        cert: Option<&At<String>>,
        key: Option<&At<String>>,
    ) -> TlsFiles {
        if let (Some(alone), None) | (None, Some(alone)) = (cert, key) {
            let help = "a client certificate needs both `client_cert` and `client_key`";
            self.refuse(alone.at, "half of a client certificate", help);
        }
        let mut path = |text: Option<&At<String>>| text.and_then(|text| self.path(text));
        TlsFiles {
            ca: path(ca),
            client: path(cert).zip(path(key)),
        }
    }

    /// The three lists of statuses. A status in two of them would be ambiguous.
    fn statuses(&mut self, lists: [Option<Vec<At<Status>>>; 3]) -> [Vec<u16>; 3] {
        let mut seen = Vec::new();
        lists.map(|list| {
            let list = list.unwrap_or_default();
            for status in &list {
                if seen.contains(&status.value.0) {
                    let message = format!("{} is given twice", self.shown(status.at));
                    self.refuse(
                        status.at,
                        message,
                        "a status is in one of `success`, `retry` and `final`",
                    );
                }
                seen.push(status.value.0);
            }
            list.into_iter().map(|status| status.value.0).collect()
        })
    }
}
