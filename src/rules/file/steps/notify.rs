//! `notify:` one request to a destination.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Surroundings;
use crate::chat;
use crate::model::destination::Format;
use crate::rules::file::load::Loading;
use crate::rules::file::rules::KnownNames;
use crate::rules::file::scalar::Plain;
use crate::rules::rule::{BodyTemplate, NotifyStep};
use crate::rules::template::{Address, PartOf, Scope, Template};
use crate::yaml::shape::{Anything, At, Deferred, ShortOrLong, Table};
use crate::yaml::tree::{Content, NodeId};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Notify")]
pub(crate) struct Raw {
    /// A configured destination.
    destination: At<String>,
    /// `POST` by default.
    method: Option<Method>,
    /// A template for path and query under the destination's URL; begins with `/` or `?`. Values
    /// are percent-encoded, `?`, `&`, `=` and the like included.
    path: Option<At<String>>,
    /// Header values are templates.
    headers: Option<Table<At<Plain>>>,
    /// Any YAML. Its texts are templates; one that is a single `{{ }}` keeps its type.
    body: Option<Deferred<Anything>>,
    /// Format of the body; the destination's by default.
    format: Option<At<Format>>,
    /// Template of the message for chat formats; the destination's by default.
    text: Option<At<String>>,
}

/// A request's method.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Post,
    Put,
    Patch,
    Get,
    Delete,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Get => Self::GET,
            Method::Delete => Self::DELETE,
        }
    }
}

impl Raw {
    fn to(destination: At<String>) -> Self {
        Self {
            destination,
            method: None,
            path: None,
            headers: None,
            body: None,
            format: None,
            text: None,
        }
    }
}

impl Loading<'_> {
    pub(super) fn notify(
        &mut self,
        notify: &Deferred<ShortOrLong<Raw>>,
        surroundings: Surroundings<'_>,
    ) -> Option<NotifyStep> {
        let scope = surroundings.scope(PartOf::Notify);
        let raw = match self.read(notify)? {
            ShortOrLong::Short(destination) => Raw::to(destination),
            ShortOrLong::Long(raw) => raw,
        };
        let before = self.problems.len();
        if let Some(names) = surroundings.names {
            self.known(&raw.destination, "destination", &names.destinations);
            self.refuse_contradictions(&raw, names);
        }
        let path = raw.path.and_then(|path| self.request_path(&path, scope));
        let headers = self.template_headers(raw.headers.unwrap_or_default(), scope);
        let body = raw.body.and_then(|body| self.body(body.at, scope));
        let text = raw.text.and_then(|text| self.template(&text, scope));
        (self.problems.len() == before).then(|| NotifyStep {
            destination: raw.destination.value,
            method: raw.method.unwrap_or(Method::Post).into(),
            path,
            headers,
            body,
            format: raw.format.map(|format| format.value),
            text,
        })
    }

    /// `body`, `format` and `text` must fit each other and the destination.
    fn refuse_contradictions(&mut self, raw: &Raw, names: &KnownNames<'_>) {
        if let (Some(format), Some(_)) = (&raw.format, &raw.body) {
            self.refuse(
                format.at,
                "a step gives `body` or `format`, not both",
                "remove one of them",
            );
            return;
        }
        let Some(destination) = names.right_destinations.get(&raw.destination.value) else {
            return;
        };
        let format = raw
            .format
            .as_ref()
            .map_or(destination.format, |format| format.value);
        let shared = chat::share_secrets(format, destination.format);
        if !destination.secrets.is_empty() && !shared {
            let at = raw
                .format
                .as_ref()
                .map_or(raw.destination.at, |format| format.at);
            let message = format!(
                "the destination has a secret for the format {}, which does not sign {}",
                destination.format.name(),
                format.name(),
            );
            self.refuse(at, message, "give this step a destination of its own");
        }
        let is_message = chat::of(format).is_some() && raw.body.is_none();
        if is_message && raw.text.is_none() && destination.text.is_none() {
            let at = raw
                .format
                .as_ref()
                .map_or(raw.destination.at, |format| format.at);
            let message = format!(
                "the format {} needs a `text`, and neither the step nor its destination has one",
                format.name()
            );
            self.refuse(at, message, "add `text: \"{{ room_id }}: {{ rule }}\"`");
        }
        if let Some(text) = raw.text.as_ref().filter(|_| !is_message) {
            self.refuse(
                text.at,
                "`text` is for the chat formats only",
                "write the message into `body`, or choose a chat `format`",
            );
        }
    }

    /// A path and query that cannot change the destination's scheme, host or port.
    fn request_path(&mut self, path: &At<String>, scope: Scope<'_>) -> Option<Address> {
        let text = self.filled(path, "the path")?;
        if !text.starts_with(['/', '?']) || text.starts_with("//") || text.contains('\\') {
            let help = "begin with one `/` or with `?`; scheme and host are the destination's";
            self.refuse(
                path.at,
                format!(
                    "{} is no path under the destination's URL",
                    self.shown(path.at)
                ),
                help,
            );
            return None;
        }
        self.address(path, scope)
    }

    fn template_headers(
        &mut self,
        table: Table<At<Plain>>,
        scope: Scope<'_>,
    ) -> Vec<(String, Template)> {
        let mut headers = Vec::new();
        self.refuse_many_headers(&table.0);
        for (name, value) in table.0 {
            let value = value.text();
            let name = self.header_name(&name);
            if let Some(name) = &name {
                self.hide_header(name, &value.value);
            }
            headers.extend(name.zip(self.template(&value, scope)));
        }
        headers
    }

    fn body(&mut self, id: NodeId, scope: Scope<'_>) -> Option<BodyTemplate> {
        let tree = self.tree;
        match &tree.node(id).content {
            Content::Null | Content::Literal(_) => Some(BodyTemplate::Literal(self.any(id))),
            Content::Text(scalar) => {
                let value = scalar.text.value.clone();
                self.template(&At { at: id, value }, scope)
                    .map(BodyTemplate::Text)
            }
            Content::List(items) => {
                let parts: Vec<_> = items
                    .iter()
                    .filter_map(|item| self.body(*item, scope))
                    .collect();
                (parts.len() == items.len()).then_some(BodyTemplate::List(parts))
            }
            Content::Map(entries) => {
                let mut parts = Vec::new();
                for (key, value) in entries {
                    let key = tree.value(*key).map(str::to_owned);
                    parts.extend(key.zip(self.body(*value, scope)));
                }
                (parts.len() == entries.len()).then_some(BodyTemplate::Map(parts))
            }
        }
    }
}
