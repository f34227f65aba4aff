//! Warns of secrets that others can read: sent over plain http, or in readable files.
//!
//! Only a warning: the network may be trusted, or a local proxy may encrypt.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::load::Loading;
use super::scalar::WebUrl;
use crate::chat;
use crate::model::address::special_host;
use crate::model::destination::Format;
use crate::model::secret::{of_header, tokens_of_url};
use crate::yaml::shape::At;

impl Loading<'_> {
    /// A destination's URL and the headers of every request.
    pub(super) fn warn_of_exposed_secrets(
        &mut self,
        url: &At<WebUrl>,
        format: Format,
        headers: &[(String, SecretString)],
    ) {
        let WebUrl(to) = &url.value;
        let has_secret = |(name, value): &(String, SecretString)| {
            !of_header(name, value.expose_secret()).is_empty()
        };
        let what = if headers.iter().any(has_secret) {
            "the secret in `headers`"
        } else if chat::of(format).is_some() || !tokens_of_url(to).is_empty() {
            "the secret in this URL"
        } else {
            return;
        };
        if is_exposed(to) {
            self.warn(
                url.at,
                format!("{what} is sent over plain http, where everybody on the way can read it; use https"),
            );
        }
    }

    /// Readable files that variables are taken from, each once.
    pub(super) fn warn_of_exposed_files(&mut self) {
        let tree = self.tree;
        let mut told = BTreeSet::new();
        for (at, name, who) in tree.exposed().filter(|(_, name, _)| told.insert(*name)) {
            self.warn(at, format!("the file that {name}_FILE names: {who}"));
        }
    }

    pub(super) fn warn_of_exposed_proxy(&mut self, url: &At<WebUrl>, proxy: &Url) {
        if is_exposed(proxy) && proxy.password().is_some() {
            let message = "the password in `proxy` is sent over plain http, where everybody on the way can read it; \
                           use https";
            self.warn(url.at, message);
        }
    }

    /// A bucket's endpoint: a signature does not hide the request.
    pub(super) fn warn_of_exposed_requests(&mut self, endpoint: &At<WebUrl>) {
        if is_exposed(&endpoint.value.0) {
            let message = "requests go there over plain http: everybody on the way can read them, and send them again \
                           as long as their signatures hold; use https";
            self.warn(endpoint.at, message);
        }
    }
}

/// Whether requests leave this machine unencrypted.
fn is_exposed(url: &Url) -> bool {
    let stays = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        _ => special_host(url).is_some_and(|(_, what)| what == "loopback"),
    };
    url.scheme() == "http" && !stays
}
