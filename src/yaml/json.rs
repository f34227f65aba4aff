//! Writes a tree as JSON, with variables unexpanded.
//!
//! JSON is YAML, so the text is read again as the same tree. Comments, layout and quotes are
//! dropped.

use std::fmt::Write as _;

use super::tree::{Content, NodeId, Tree};

pub(crate) fn node(tree: &Tree, id: NodeId) -> String {
    let mut text = String::new();
    write_node(tree, id, &mut text);
    text
}

fn write_node(tree: &Tree, id: NodeId, text: &mut String) {
    match &tree.node(id).content {
        Content::Null => text.push_str("null"),
        Content::Literal(literal) => text.push_str(literal),
        Content::Text(scalar) => write_text(&scalar.raw, text),
        Content::List(items) => write_all(items, ['[', ']'], text, |item, text| {
            write_node(tree, *item, text);
        }),
        Content::Map(entries) => write_all(entries, ['{', '}'], text, |(key, value), text| {
            write_node(tree, *key, text);
            text.push(':');
            write_node(tree, *value, text);
        }),
    }
}

fn write_all<T>(
    members: &[T],
    around: [char; 2],
    text: &mut String,
    write: impl Fn(&T, &mut String),
) {
    text.push(around[0]);
    for (number, member) in members.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        write(member, text);
    }
    text.push(around[1]);
}

/// A JSON string. Also escapes characters that YAML does not allow unescaped.
fn write_text(content: &str, text: &mut String) {
    text.push('"');
    for character in content.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                escape(character, text);
            }
            character if character.is_control() => escape(character, text),
            character => text.push(character),
        }
    }
    text.push('"');
}

fn escape(character: char, text: &mut String) {
    write!(text, "\\u{:04x}", u32::from(character)).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(content in "(\\PC|[\\x00-\\x1f\u{7f}-\u{9f}\u{2028}\u{feff}\"\\\\]){0,20}") {
            let content = content.replace('$', "");
            let mut written = String::new();
            write_text(&content, &mut written);
            let tree = Tree::parse(&format!("{{\"rules\":{written}}}"), &BTreeMap::new()).unwrap();
            let id = tree.get(tree.root, "rules").unwrap();
            prop_assert_eq!(tree.value(id), Some(content.as_str()));
            prop_assert_eq!(node(&tree, id), written);
        }
    }
}
