//! `rename:` the recording's new key.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Surroundings;
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::step::OnConflict;
use crate::rules::file::load::Loading;
use crate::rules::file::rules::KnownNames;
use crate::rules::rule::{Condition, Matcher, RenameStep};
use crate::rules::template::{CODE, PartOf, without_code};
use crate::yaml::shape::{At, Deferred};

/// Move the recording to another key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rename")]
pub(crate) struct Raw {
    /// Template of the new key; if it ends in `/`, it is a folder and the name is kept.
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
        let to = self.template(&raw.to, surroundings.scope(PartOf::Rule));
        self.refuse_literal_segments(&raw.to);
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

    /// Refuses empty, `.` and `..` segments and control characters in the literal text. Values are
    /// checked when the template is rendered.
    fn refuse_literal_segments(&mut self, to: &At<String>) {
        if let Some((range, what)) = wrong_segment(&to.value) {
            let help =
                "a key is names with a slash between them; ending in a slash it names a folder";
            self.refuse_part(to.at, &range, format!("the target has {what}"), help);
        }
    }

    /// Refuses a bucket when every bucket that the rule can match is at another store: objects are
    /// copied within a store, never through this process.
    fn refuse_other_store(
        &mut self,
        bucket: &At<String>,
        condition: Option<&Condition>,
        names: &KnownNames<'_>,
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

fn wrong_segment(target: &str) -> Option<(Range<usize>, &'static str)> {
    let literal = without_code(target);
    // A block scalar ends in a line break, which rendering removes.
    let literal = literal.strip_suffix('\n').unwrap_or(&literal);
    if let Some(at) = literal.find(|character: char| character.is_control() && character != CODE) {
        return Some((at..at + 1, "a control character"));
    }
    let mut start = 0;
    for segment in literal.split('/') {
        let end = start + segment.len();
        let last = end == literal.len();
        match segment {
            "" if !last || start == 0 => {
                return Some((start..(end + 1).min(literal.len()), "an empty segment"));
            }
            "." | ".." => return Some((start..end, "a `.` or `..` segment")),
            _ => start = end + 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_segments_are_checked_around_templates() {
        for good in [
            "a/b.mp4",
            "a/",
            "{{ a }}/{{ b | date('%Y/%m', '}}/../') }}/",
            "{% if a %}x/{% endif %}y",
            "..{{ a }}/x",
            "a/{# /../ ' #}b",
            "a/b\n",
            "{{ 'a}}//' }}b",
            "录制/{{ 房 }}",
        ] {
            assert_eq!(wrong_segment(good), None, "{good}");
        }
        for (bad, range) in [
            ("/a", 0..1),
            ("a//b", 2..3),
            ("/", 0..1),
            ("{{ a }}//", 8..9),
            ("{% if a %}b//{% endif %}", 12..13),
            ("{# it's #}//b", 11..12),
            ("a/../b", 2..4),
            ("a/{{ b }}/.", 10..11),
            ("a\tb", 1..2),
            ("a\n\n", 1..2),
        ] {
            assert_eq!(
                wrong_segment(bad).map(|(range, _)| range),
                Some(range),
                "{bad}"
            );
        }
    }
}
