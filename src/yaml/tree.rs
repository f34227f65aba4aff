//! A YAML text as a tree in which every node knows its position.
//!
//! Plain `true`, `false`, `null` and JSON numbers are literals; everything else is text. Numbers,
//! durations and the like are parsed later, after variables are filled in. So the tree can be
//! written as JSON and read again as the same tree.

use std::collections::HashSet;
use std::ops::Range;

use serde_saphyr::granit_parser::ScalarStyle;

use super::build::Builder;
use super::place::Written;
use super::problem::{Problem, position};
use super::variables::{Text, Variables};

/// Index of a node in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

#[derive(Debug)]
pub(crate) struct Tree {
    pub(super) source: String,
    pub(super) nodes: Vec<Node>,
    pub(crate) root: NodeId,
    /// Problems that leave the rest readable, each with its node.
    pub(super) wrong: Vec<(NodeId, Problem)>,
}

/// A node and its position. A list or map has the position of its key or its first member.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) content: Content,
    /// Number of nodes in it, itself included, without keys and with aliases expanded.
    pub(super) size: usize,
}

#[derive(Debug)]
pub(crate) enum Content {
    Null,
    /// `true`, `false` or a JSON number, as written.
    Literal(String),
    Text(Scalar),
    List(Vec<NodeId>),
    /// Keys are unique texts, in the order of the file.
    Map(Vec<(NodeId, NodeId)>),
}

#[derive(Debug)]
pub(crate) struct Scalar {
    /// Without quotes, variables unexpanded.
    pub(crate) raw: String,
    pub(crate) text: Text,
    pub(super) style: ScalarStyle,
}

impl Tree {
    /// Parses `source` and fills in its variables. Fails only when the text is not valid YAML;
    /// smaller problems, such as an unset variable, are listed by [`Tree::wrong_in`].
    pub(crate) fn parse(source: &str, variables: &dyn Variables) -> Result<Self, Vec<Problem>> {
        Builder::new(source, variables).build()
    }

    pub(crate) fn wrong(&self) -> Vec<Problem> {
        let wrong = self.wrong.iter();
        wrong.map(|(_, problem)| problem.clone()).collect()
    }

    /// The problems of a node and everything in it.
    pub(crate) fn wrong_in(&self, id: NodeId) -> Vec<Problem> {
        if self.wrong.is_empty() {
            return Vec::new();
        }
        let mut inside = HashSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !inside.insert(id) {
                continue;
            }
            match &self.node(id).content {
                Content::List(items) => open.extend(items),
                Content::Map(entries) => {
                    open.extend(entries.iter().flat_map(|(key, value)| [*key, *value]));
                }
                Content::Null | Content::Literal(_) | Content::Text(_) => {}
            }
        }
        let wrong = self.wrong.iter().filter(|(at, _)| inside.contains(at));
        wrong.map(|(_, problem)| problem.clone()).collect()
    }

    /// All nodes, including those outside the tree.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        (0..).map(NodeId).zip(&self.nodes)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// A scalar's text with variables filled in; `None` for other nodes.
    pub(crate) fn value(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).content {
            Content::Literal(text) => Some(text),
            Content::Text(scalar) => Some(&scalar.text.value),
            Content::Null | Content::List(_) | Content::Map(_) => None,
        }
    }

    /// A node for messages: a scalar's text without values from the environment.
    pub(crate) fn shown(&self, id: NodeId) -> String {
        let text = match &self.node(id).content {
            Content::Null => return "nothing".to_owned(),
            Content::List(_) => return "a list".to_owned(),
            Content::Map(_) => return "keys and values".to_owned(),
            Content::Literal(text) => text,
            Content::Text(scalar) => &scalar.text.shown,
        };
        match text.char_indices().nth(80) {
            Some((end, _)) => format!("`{}…`", &text[..end]),
            None => format!("`{text}`"),
        }
    }

    /// The parts of a scalar's value that came from the environment, with their variables' names.
    pub(crate) fn environment_of(&self, id: NodeId) -> impl Iterator<Item = (&str, Range<usize>)> {
        let text = match &self.node(id).content {
            Content::Text(scalar) => Some(&scalar.text),
            _ => None,
        };
        text.into_iter().flat_map(Text::environment)
    }

    /// Whether no part came from the environment, so that it may be shown.
    pub(crate) fn is_public(&self, id: NodeId) -> bool {
        self.environment_of(id).next().is_none()
    }

    /// Every scalar with a part from the environment, and its value.
    pub(crate) fn with_environment(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let secret = self.nodes().filter(|(id, _)| !self.is_public(*id));
        secret.filter_map(|(id, _)| Some((id, self.value(id)?)))
    }

    /// The variables read from files that other users can read, and which users.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = (NodeId, &str, &str)> {
        self.nodes().flat_map(|(id, node)| {
            let text = match &node.content {
                Content::Text(scalar) => Some(&scalar.text),
                _ => None,
            };
            let exposed = text.into_iter().flat_map(Text::exposed);
            exposed.map(move |(name, who)| (id, name, who))
        })
    }

    pub(crate) fn get(&self, map: NodeId, key: &str) -> Option<NodeId> {
        let Content::Map(entries) = &self.node(map).content else {
            return None;
        };
        let found = entries
            .iter()
            .find(|(name, _)| self.value(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// The file position of `range` of a scalar's value.
    pub(crate) fn locate(&self, id: NodeId, range: &Range<usize>) -> Range<usize> {
        match &self.node(id).content {
            Content::Text(scalar) => self.locate_raw(id, scalar, &scalar.text.to_raw(range)),
            _ => self.node(id).span.clone(),
        }
    }

    /// The file position of `range` of its unexpanded text.
    pub(crate) fn locate_raw(
        &self,
        id: NodeId,
        scalar: &Scalar,
        range: &Range<usize>,
    ) -> Range<usize> {
        scalar
            .written(&self.source, &self.node(id).span)
            .place(range)
    }

    /// Line and column of a node, both from 1.
    pub(crate) fn position(&self, id: NodeId) -> (usize, usize) {
        position(&self.source, self.node(id).span.start)
    }
}

impl Scalar {
    pub(super) fn written<'a>(&'a self, source: &'a str, span: &Range<usize>) -> Written<'a> {
        Written {
            source,
            start: span.start,
            end: span.end,
            style: self.style,
            text: &self.raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree(source: &str) -> Tree {
        Tree::parse(source, &BTreeMap::from([("X", "env")])).unwrap()
    }

    #[test]
    fn part_of_a_text_is_found_in_every_style() {
        for source in [
            "k: one TARGET two\n",
            "k: 'it''s TARGET'\n",
            "k: \"\\u00e9\\t\\\" TARGET\"\n",
            "k: \"\\x41\\U0001F399 TARGET\"\n",
            "k: ${X} TARGET $$\n",
            "k: |\n  one\n    TARGET two\n",
            "k: |- # a comment\n\n\n  one\n  TARGET\n",
            "k: |\n  TARGET\n  two\n",
            "k: >-\n\n    TARGET\n    two\n",
            "k: >\n  one\n  two\n\n  TARGET\n",
            "k: one\n  two TARGET\n",
            "k: \"one \\\n    two TARGET\"\n",
            "k: &anchor 'TARGET'\n",
            "{\"k\": \"录制 TARGET\"}\n",
            "- 1\n- k: [a, TARGET]\n",
            "- 1\n- k: [a, ${X} TARGET]\n",
            "k: {é: ${X:-,}TARGET}\n",
        ] {
            let tree = tree(source);
            let found = tree.nodes().find_map(|(id, _)| {
                let start = tree.value(id)?.find("TARGET")?;
                Some(tree.locate(id, &(start..start + 6)))
            });
            let start = source.find("TARGET").unwrap();
            assert_eq!(found, Some(start..start + 6), "{source:?}");
        }
    }

    #[test]
    fn white_space_in_a_text_has_its_place() {
        for source in ["k: \"a\tb\"\n", "k: 'a\tb'\n", "k: a\tb\n"] {
            let tree = tree(source);
            let id = tree.get(tree.root, "k").unwrap();
            let tab = source.find('\t').unwrap();
            assert_eq!(tree.locate(id, &(1..2)), tab..tab + 1, "{source:?}");
        }
    }

    #[test]
    fn literals_keep_their_spelling_and_texts_stay_texts() {
        let tree = tree("[8, 1.50, True, ~, 007, 0x10, .5, \"8\", yes, 1e999, ${X}]");
        let Content::List(items) = &tree.node(tree.root).content else {
            panic!("not a list");
        };
        let kinds: Vec<_> = items
            .iter()
            .map(|item| match &tree.node(*item).content {
                Content::Null => "null".to_owned(),
                Content::Literal(text) => format!("literal {text}"),
                Content::Text(scalar) => format!("text {}", scalar.text.value),
                _ => panic!("not a scalar"),
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "literal 8",
                "literal 1.50",
                "literal true",
                "null",
                "text 007",
                "text 0x10",
                "text .5",
                "text 8",
                "text yes",
                "text 1e999",
                "text env"
            ]
        );
    }
}
