//! `rooms:` tags and variables by room; the first match wins.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::compile::GlobStyle;
use super::load::Loading;
use super::scalar::Plain;
use crate::rules::rule::RoomEntry;
use crate::yaml::shape::{Anything, At, Deferred, OneOrMany, Table};
use crate::yaml::tree::{Content, NodeId};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Room")]
pub(crate) struct Raw {
    /// A glob for room ids, or a list of them.
    room: OneOrMany<At<String>>,
    /// The tags of `tag: by_room`, and `room.tags.…` in templates.
    tags: Option<Table<Plain>>,
    /// Custom values: `room.vars.…` in templates.
    vars: Option<Table<Deferred<Anything>>>,
}

impl Loading<'_> {
    pub(super) fn rooms(
        &mut self,
        section: Option<&Deferred<Vec<Deferred<Raw>>>>,
    ) -> Vec<RoomEntry> {
        let entries = self.read_or_default(section).unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| self.room(entry))
            .collect()
    }

    fn room(&mut self, entry: &Deferred<Raw>) -> Option<RoomEntry> {
        let raw = self.read(entry)?;
        let vars = raw.vars.unwrap_or_default().0;
        Some(RoomEntry {
            room: self.globs(entry.at, &raw.room.0, GlobStyle::Name)?,
            tags: self.tags(raw.tags.unwrap_or_default())?,
            vars: vars
                .into_iter()
                .map(|(name, value)| (name.value, self.any(value.at)))
                .collect(),
        })
    }

    fn tags(&mut self, table: Table<Plain>) -> Option<BTreeMap<String, String>> {
        let before = self.problems.len();
        for (name, _) in &table.0 {
            self.filled(name, "the tag's name");
        }
        let tags = table
            .0
            .into_iter()
            .map(|(name, Plain(value))| (name.value, value));
        (self.problems.len() == before).then(|| tags.collect())
    }

    /// Any YAML as a value. A text from a variable stays a text.
    pub(super) fn any(&self, id: NodeId) -> Value {
        match &self.tree.node(id).content {
            Content::Null => Value::Null,
            Content::Literal(text) => serde_json::from_str(text).unwrap_or_default(),
            Content::Text(scalar) => Value::from(scalar.text.value.as_str()),
            Content::List(items) => items.iter().map(|item| self.any(*item)).collect(),
            Content::Map(entries) => {
                let entry = |(key, value): &(NodeId, NodeId)| {
                    Some((self.tree.value(*key)?.to_owned(), self.any(*value)))
                };
                Value::Object(entries.iter().filter_map(entry).collect())
            }
        }
    }
}
