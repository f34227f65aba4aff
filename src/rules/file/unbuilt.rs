//! What the grammar has and this version does not carry out.
//!
//! `rules check` and `rules try` know the whole grammar; `serve` refuses these by name.
//! A feature is struck off here, and nowhere else, when it is built.

use super::RulesFile;
use crate::model::bucket::{Bucket, BucketStore};
use crate::model::destination::Format;
use crate::rules::rule::{Action, Rule, Step};

/// A feature's name and whether a thing uses it.
type Feature<T> = (&'static str, fn(&T) -> bool);

const BUCKETS: [Feature<Bucket>; 1] = [("store: obs", |bucket| {
    matches!(bucket.store, BucketStore::Obs(_))
})];

const RULES: [Feature<Rule>; 2] = [
    ("order_by", |rule| rule.order_by.is_some()),
    ("order_blocks", |rule| rule.order_blocks),
];

const FORMATS: [(&str, Format); 5] = [
    ("format: cloudevents", Format::CloudEvents),
    ("format: slack", Format::Slack),
    ("format: feishu", Format::Feishu),
    ("format: dingtalk", Format::DingTalk),
    ("format: wecom", Format::WeCom),
];

/// What `file` uses of it: where, such as ``rule `archive` ``, and what, such as `order_by`.
pub fn unbuilt(file: &RulesFile) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for bucket in file.buckets.values() {
        let place = format!("bucket `{}`", bucket.name);
        collect(&mut found, &place, &BUCKETS, bucket);
    }
    for destination in file.destinations.values() {
        let place = format!("destination `{}`", destination.name);
        collect_format(&mut found, &place, Some(destination.format));
    }
    for rule in &file.rules.rules {
        let place = format!("rule `{}`", rule.name);
        collect(&mut found, &place, &RULES, rule);
        for step in &rule.steps {
            collect_format(
                &mut found,
                &format!("{place}, step `{}`", step.id),
                format_of(step),
            );
        }
    }
    found
}

fn collect<T>(
    found: &mut Vec<(String, &'static str)>,
    place: &str,
    table: &[Feature<T>],
    thing: &T,
) {
    let used = table.iter().filter(|(_, uses)| uses(thing));
    found.extend(used.map(|(what, _)| (place.to_owned(), *what)));
}

fn collect_format(found: &mut Vec<(String, &'static str)>, place: &str, format: Option<Format>) {
    let used = FORMATS
        .iter()
        .filter(|(_, unbuilt)| format == Some(*unbuilt));
    found.extend(used.map(|(what, _)| (place.to_owned(), *what)));
}

fn format_of(step: &Step) -> Option<Format> {
    match &step.action {
        Action::Notify(notify) => notify.format,
        Action::Rename(_) | Action::Tag(_) => None,
    }
}
