//! `rename:` the recording's new key.

use schemars::JsonSchema;
use serde::Deserialize;

use super::load::Loading;
use super::rules::Names;
use super::steps::Surroundings;
use super::target::refuse_literal_segments;
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::step::OnConflict;
use crate::rules::rule::{Condition, Matcher, RenameStep};
use crate::yaml::shape::{At, Deferred};

/// Move the recording to another key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rename")]
pub(crate) struct Raw {
    /// The new key, a template; ending in `/` it names a folder and the name is kept.
    to: At<String>,
    /// Another configured bucket of the same store.
    bucket: Option<At<String>>,
    /// What happens when the target exists; `fail` by default.
    on_conflict: Option<OnConflict>,
}

impl Loading<'_> {
    pub(super) fn rename(
        &mut self,
        rename: &Deferred<Raw>,
        surroundings: Surroundings<'_>,
    ) -> Option<RenameStep> {
        let raw = self.read(rename)?;
        let before = self.problems.len();
        self.filled(&raw.to, "the target")?;
        let to = self.template(&raw.to, surroundings.scope(false));
        refuse_literal_segments(self, &raw.to);
        if let (Some(bucket), Some(names)) = (&raw.bucket, surroundings.names) {
            self.known(bucket, "bucket", &names.buckets);
            self.refuse_other_store(bucket, surroundings.condition, names);
        }
        let step = RenameStep {
            to: to?,
            bucket: raw.bucket.map(|bucket| bucket.value),
            on_conflict: raw.on_conflict.unwrap_or_default(),
        };
        (self.problems.len() == before).then_some(step)
    }

    /// Refuses a bucket when none that the rule can meet is at the same store: objects are
    /// copied inside a store, never through this process.
    fn refuse_other_store(
        &mut self,
        bucket: &At<String>,
        condition: Option<&Condition>,
        names: &Names<'_>,
    ) {
        let (Some(to), Some(condition)) = (names.right_buckets.get(&bucket.value), condition)
        else {
            return;
        };
        let given = condition.matchers.iter().find_map(|matcher| match matcher {
            Matcher::Glob {
                key: "bucket",
                globs,
                ..
            } => Some(globs),
            _ => None,
        });
        let is_source = |from: &&Bucket| match given {
            Some(globs) => globs.iter().any(|glob| glob.matcher.is_match(&from.name)),
            None => from.name != to.name,
        };
        let mut sources = names.right_buckets.values().filter(is_source).peekable();
        if sources.peek().is_some() && !sources.any(|from| same_site(from, to)) {
            let shown = self.shown(bucket.at);
            let message = format!(
                "no recording of this rule can be moved to {shown}: it is at another store"
            );
            self.refuse(
                bucket.at,
                message,
                "name a bucket of the same `store` and `endpoint`",
            );
        }
    }
}

fn same_site(one: &Bucket, other: &Bucket) -> bool {
    match (&one.store, &other.store) {
        (BucketStore::Folder { .. }, BucketStore::Folder { .. }) => true,
        (BucketStore::Obs(one), BucketStore::Obs(other)) => {
            one.endpoint.origin() == other.endpoint.origin()
        }
        _ => false,
    }
}
