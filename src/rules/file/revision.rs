//! The text of a revision: `rooms`, `retry` and `rules` as JSON, variables not filled in.
//!
//! Changes of layout, comments and the other sections change no revision.

use crate::yaml::json;
use crate::yaml::tree::Tree;

/// The sections that a revision consists of.
const SECTIONS: [&str; 3] = ["rooms", "retry", "rules"];

/// The revision's text of a whole file.
pub(super) fn text(tree: &Tree) -> String {
    let mut text = String::from("{");
    for section in SECTIONS {
        if let Some(id) = tree.get(tree.root, section) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&format!("\"{section}\":{}", json::node(tree, id)));
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree(source: &str) -> Tree {
        Tree::parse(source, &BTreeMap::from([("SET", "value")])).unwrap()
    }

    #[test]
    fn layout_comments_quotes_and_other_sections_are_not_in_it() {
        let one = "retry: {tries: 8}\nbuckets: {a: b}\nrules:\n  - name: 'x'  # why\n    text: |-\n      ${SET} $$\n";
        let other = "\"rules\": [{name: x, text: \"${SET} $$\"}]\nretry:\n  tries: 8\n";
        let expected = r#"{"retry":{"tries":8},"rules":[{"name":"x","text":"${SET} $$"}]}"#;
        assert_eq!(
            (text(&tree(one)), text(&tree(other))),
            (expected.into(), expected.into())
        );
    }
}
