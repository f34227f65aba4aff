//! `tag:` tags of the recording.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Surroundings;
use crate::model::step::{OnInvalid, TagMode, TagObjects, TagStorage};
use crate::rules::file::load::Loading;
use crate::rules::file::scalar::Plain;
use crate::rules::rule::{TagSource, TagStep};
use crate::rules::template::{PartOf, Scope};
use crate::yaml::shape::{At, Deferred, ShortOrLong, Table};

/// Put tags on the recording.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tag")]
pub(crate) struct Raw {
    /// Tag names and templates of their values; or `by_room`.
    tags: ShortOrLong<Table<At<Plain>>>,
    /// What happens to existing other tags; `merge` by default.
    mode: Option<TagMode>,
    /// Where tags are stored; `auto` by default.
    #[serde(rename = "as")]
    storage: Option<TagStorage>,
    /// What happens to a tag that exceeds the site's limits; `fail` by default.
    on_invalid: Option<OnInvalid>,
    /// Which objects of a set are tagged; `named` by default.
    objects: Option<TagObjects>,
}

impl Loading<'_> {
    pub(super) fn tag(
        &mut self,
        tag: &Deferred<ShortOrLong<Raw>>,
        surroundings: Surroundings<'_>,
    ) -> Option<TagStep> {
        let raw = match self.read(tag)? {
            ShortOrLong::Short(word) => {
                let tags = ShortOrLong::Short(word);
                Raw {
                    tags,
                    mode: None,
                    storage: None,
                    on_invalid: None,
                    objects: None,
                }
            }
            ShortOrLong::Long(raw) => raw,
        };
        Some(TagStep {
            tags: self.tag_source(raw.tags, surroundings.scope(PartOf::Rule))?,
            mode: raw.mode.unwrap_or_default(),
            storage: raw.storage.unwrap_or_default(),
            on_invalid: raw.on_invalid.unwrap_or_default(),
            objects: raw.objects.unwrap_or_default(),
        })
    }

    fn tag_source(
        &mut self,
        tags: ShortOrLong<Table<At<Plain>>>,
        scope: Scope<'_>,
    ) -> Option<TagSource> {
        let rows = match tags {
            ShortOrLong::Short(word) if word.value == "by_room" => return Some(TagSource::ByRoom),
            ShortOrLong::Short(word) => {
                let message = format!("{} is no set of tags", self.shown(word.at));
                self.refuse(
                    word.at,
                    message,
                    "write `by_room`, or `tags:` with names and values",
                );
                return None;
            }
            ShortOrLong::Long(Table(rows)) => rows,
        };
        let count = rows.len();
        let mut given = BTreeMap::new();
        for (name, value) in rows {
            let name = self.filled(&name, "the tag's name");
            given.extend(name.zip(self.template(&value.text(), scope)));
        }
        (given.len() == count).then_some(TagSource::Given(given))
    }
}
