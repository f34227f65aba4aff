//! What the grammar has and this version does not carry out.
//!
//! `rules check` and `rules try` know the whole grammar; `serve` refuses these by name.
//! A feature is struck off here, and nowhere else, when it is built.

use super::RulesFile;
use crate::model::destination::Destination;
use crate::rules::rule::Rule;

/// A feature's name and whether a thing uses it.
type Feature<T> = (&'static str, fn(&T) -> bool);

const DESTINATIONS: [Feature<Destination>; 2] = [
    ("rate", |destination| destination.rate.is_some()),
    ("breaker", |destination| destination.breaker.is_some()),
];

const RULES: [Feature<Rule>; 1] = [("on_dead", |rule| rule.on_dead.is_some())];

/// What `file` uses of it: where, such as ``rule `archive` ``, and what, such as `on_dead`.
pub fn unbuilt(file: &RulesFile) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for destination in file.destinations.values() {
        let place = format!("destination `{}`", destination.name);
        collect(&mut found, &place, &DESTINATIONS, destination);
    }
    for rule in &file.rules.rules {
        let place = format!("rule `{}`", rule.name);
        collect(&mut found, &place, &RULES, rule);
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
