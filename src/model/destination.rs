//! A configured destination: where notifications may go, and how.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::SHOWN;

/// Headers of the connection or the framing, which nobody may set. In lower case.
pub const CONNECTION_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Clone)]
pub struct Destination {
    pub name: String,
    pub url: Url,
    /// Signing secrets: Standard Webhooks has one signature for each, a chat bot has one secret.
    pub secrets: Vec<SecretString>,
    /// Timeout of one request, from connecting to the end of the response.
    pub timeout: Duration,
    /// Requests that run at a time.
    pub concurrency: u32,
    pub rate: Option<Rate>,
    /// Whether loopback, private, link-local and similar addresses are allowed.
    pub allow_private: bool,
    pub headers: Vec<(String, SecretString)>,
    pub format: Format,
    /// Template of a chat message, for the chat formats.
    pub text: Option<String>,
    pub breaker: Breaker,
    /// Statuses besides 2xx that are a success.
    pub success: Vec<u16>,
    /// Statuses that are retried in addition to the usual ones.
    pub retry: Vec<u16>,
    /// Statuses that are final although they are usually retried.
    pub refused: Vec<u16>,
    pub tls: TlsFiles,
    pub proxy: Option<Url>,
}

/// PEM files for a private CA or a client certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    pub client: Option<(PathBuf, PathBuf)>,
}

/// At most `requests` in `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub requests: u32,
    pub per: Duration,
}

/// When the breaker of a destination opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Retryable failures in a row that open it.
    pub failures: u32,
    pub longest: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 5,
            longest: Duration::from_mins(10),
        }
    }
}

/// Shows only the origin of URLs: the rest may contain a token, and a proxy's URL a password. Texts
/// may contain values of the environment.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = |url: &Url| url.origin().ascii_serialization();
        f.debug_struct("Destination")
            .field("name", &self.name)
            .field("origin", &origin(&self.url))
            .field("secrets", &self.secrets)
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .field("allow_private", &self.allow_private)
            .field("headers", &self.headers)
            .field("format", &self.format)
            .field("text", &self.text.as_ref().map(|_| SHOWN))
            .field("breaker", &self.breaker)
            .field("success", &self.success)
            .field("retry", &self.retry)
            .field("refused", &self.refused)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy.as_ref().map(origin))
            .finish()
    }
}

/// The body of a notification, if the step defines none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The JSON document described in the README.
    #[default]
    Aftertake,
    /// The callback's body, unchanged.
    Callback,
    /// The document's data as a structured CloudEvent 1.0.
    CloudEvents,
    /// A text for a Slack incoming webhook, or a compatible chat.
    Slack,
    /// A text for a custom bot of Feishu or Lark.
    Feishu,
    /// A text for a custom robot of DingTalk.
    DingTalk,
    /// A text for a group robot of WeCom.
    WeCom,
}

impl Format {
    pub const ALL: [Self; 7] = [
        Self::Aftertake,
        Self::Callback,
        Self::CloudEvents,
        Self::Slack,
        Self::Feishu,
        Self::DingTalk,
        Self::WeCom,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Aftertake => "aftertake",
            Self::Callback => "callback",
            Self::CloudEvents => "cloudevents",
            Self::Slack => "slack",
            Self::Feishu => "feishu",
            Self::DingTalk => "dingtalk",
            Self::WeCom => "wecom",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destination_shows_its_origin_and_no_secret() {
        let destination = Destination {
            name: "lms".into(),
            url: "https://user:hidden@lms.example.com:8443/hidden?token=hidden"
                .parse()
                .unwrap(),
            secrets: vec!["hidden".into()],
            timeout: Duration::from_secs(15),
            concurrency: 1,
            rate: None,
            allow_private: false,
            headers: vec![("authorization".into(), "hidden".into())],
            format: Format::Slack,
            text: Some("hidden".into()),
            breaker: Breaker::default(),
            success: Vec::new(),
            retry: Vec::new(),
            refused: Vec::new(),
            tls: TlsFiles::default(),
            proxy: Some("http://user:hidden@proxy.example.com/".parse().unwrap()),
        };
        let shown = format!("{destination:?}");
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains(r#"origin: "https://lms.example.com:8443""#));
        assert!(shown.contains(r#"proxy: Some("http://proxy.example.com")"#));
    }
}
