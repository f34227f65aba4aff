//! Overwrites secrets in the file's text that an error shows. Every character keeps its column.

use std::ops::Range;

use url::Url;

use crate::model::secret::{of_header, tokens_of_url};
use crate::yaml::tree::{Content, NodeId, Tree};

/// Keys whose values are secrets in every section.
const SECRET_KEYS: [&str; 5] = [
    "keys",
    "secret",
    "access_key",
    "secret_key",
    "security_token",
];

/// The file's text with literal secrets overwritten: values of the keys in [`SECRET_KEYS`],
/// credentials in headers, and tokens in URLs.
pub(super) fn literals(tree: &Tree, text: &str) -> String {
    let mut found = Vec::new();
    for (_, node) in tree.nodes() {
        let Content::Map(entries) = &node.content else {
            continue;
        };
        for (key, value) in entries {
            match tree.value(*key) {
                Some(key) if SECRET_KEYS.contains(&key) => {
                    collect_literals(tree, *value, &mut found);
                }
                Some("url" | "proxy") => collect_tokens(tree, *value, &mut found),
                Some("headers") => collect_headers(tree, *value, &mut found),
                _ => {}
            }
        }
    }
    blot(text, &found)
}

fn collect_headers(tree: &Tree, id: NodeId, found: &mut Vec<Range<usize>>) {
    let Content::Map(entries) = &tree.node(id).content else {
        return;
    };
    for (name, value) in entries {
        let secret = tree.value(*name).zip(tree.value(*value));
        if secret.is_some_and(|(name, value)| !of_header(name, value).is_empty()) {
            collect_literals(tree, *value, found);
        }
    }
}

fn collect_tokens(tree: &Tree, id: NodeId, found: &mut Vec<Range<usize>>) {
    let Content::Text(scalar) = &tree.node(id).content else {
        return;
    };
    let Ok(url) = Url::parse(&scalar.text.value) else {
        return;
    };
    let password = url.password().map(str::to_owned);
    for token in tokens_of_url(&url).into_iter().chain(password) {
        let places = scalar.raw.match_indices(&token);
        found.extend(places.map(|(at, _)| tree.locate_raw(id, scalar, &(at..at + token.len()))));
    }
}

fn collect_literals(tree: &Tree, id: NodeId, found: &mut Vec<Range<usize>>) {
    match &tree.node(id).content {
        Content::List(items) => {
            for item in items {
                collect_literals(tree, *item, found);
            }
        }
        Content::Text(scalar) if !scalar.raw.contains("${") => {
            found.push(tree.locate_raw(id, scalar, &(0..scalar.raw.len())));
        }
        Content::Literal(_) => found.push(tree.node(id).span.clone()),
        Content::Text(_) | Content::Null | Content::Map(_) => {}
    }
}

/// For text that is not valid YAML: overwrites the words after a secret key on its line, and all
/// lines indented below it.
pub(super) fn by_name(text: &str) -> String {
    let mut words = Vec::new();
    let (mut start, mut inside) = (0, None);
    for line in text.split_inclusive('\n') {
        let content = line.trim_start_matches([' ', '\t', '-']);
        let indent = line.len() - content.len();
        // A list may have the same indentation as its key.
        let goes_on = inside.is_some_and(|key| indent > key || line.trim().is_empty());
        let value = value_of_secret(line).filter(|_| !goes_on);
        if value.is_some() {
            inside = Some(line.len() - line.trim_start().len());
        } else if !goes_on {
            inside = None;
        }
        if let Some(at) = value.or(goes_on.then_some(0)) {
            collect_words(&line[at..], start + at, &mut words);
        }
        start += line.len();
    }
    blot(text, &words)
}

/// Collects the words of a line's rest, which begins at `start`. YAML signs and variable names are
/// not secrets.
fn collect_words(rest: &str, start: usize, words: &mut Vec<Range<usize>>) {
    let mut variable = false;
    for (at, character) in rest.char_indices() {
        variable |= rest[at..].starts_with("${");
        let sign = character.is_whitespace() || "{}[],\"'|>".contains(character);
        if !variable && !sign {
            words.push(start + at..start + at + character.len_utf8());
        }
        variable &= character != '}';
    }
}

fn value_of_secret(line: &str) -> Option<usize> {
    let keys = SECRET_KEYS.iter().chain(&["headers", "proxy", "url"]);
    let values = keys.flat_map(|key| {
        line.match_indices(key).filter_map(|(at, key)| {
            let rest = &line[at + key.len()..];
            let colon = rest.trim_start_matches(['"', '\'', ' ']);
            let colon = colon.starts_with(':').then(|| line.len() - colon.len());
            colon.map(|at| at + 1)
        })
    });
    values.min()
}

/// One replacement for each UTF-8 length of one to four bytes.
const BLOTS: [char; 4] = ['*', '×', '＊', '🞰'];

fn blot(text: &str, ranges: &[Range<usize>]) -> String {
    let hidden = |at: usize| ranges.iter().any(|range| range.contains(&at));
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if hidden(at) && character != '\n' {
            shown.push(BLOTS[character.len_utf8() - 1]);
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn literal_secrets_are_blotted_out_and_variables_are_not() {
        let source = "a: { keys: [abc, \"${X}\"], secret: 'ключ' }\n";
        let tree = Tree::parse(source, &BTreeMap::from([("X", "env")])).unwrap();
        let expected = "a: { keys: [***, \"${X}\"], secret: '××××' }\n";
        assert_eq!(literals(&tree, source), expected);
    }

    #[test]
    fn secrets_of_a_text_that_is_no_yaml_are_blotted_out_with_their_lines() {
        for text in [
            "{ \"secret\" : \"hidden\"",
            "a:\n  keys:\n    - hidden\n    - \"hidden\n",
            "a:\n  keys:\n  - hidden\n",
            "a:\n  - secret: |\n      x\n\n      hidden\n",
            "a:\n  headers:\n    Authorization: >-\n      Bearer\n      hidden\n",
        ] {
            let blotted = by_name(text);
            assert!(!blotted.contains("hidden"), "{blotted}");
            assert_eq!(blotted.lines().count(), text.lines().count());
        }
        let beside = "keys: x\nname: shown\nsecrets_of: shown\n";
        assert_eq!(by_name(beside), beside.replace(" x", " *"));
    }
}
