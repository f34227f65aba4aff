//! A YAML text as a tree whose every node knows its place in the text.
//!
//! Plain `true`, `false`, `null` and JSON numbers are literals, everything else is text;
//! what a number or a duration is, is decided by whoever reads the node, after variables
//! are filled in. So the tree can be written as JSON and read back as the same tree.

use std::collections::HashSet;
use std::ops::Range;

use serde_saphyr::granit_parser::ScalarStyle;
use url::Url;

use super::build::Builder;
use super::place::Written;
use super::problem::Problem;
use super::variables::{Lookup, Text};
use crate::model::secret::{of_header, tokens_of_url};
use crate::rules::error::SECRET_KEYS;

/// Names a node of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// A file, taken apart.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) source: String,
    pub(super) nodes: Vec<Node>,
    pub(crate) root: NodeId,
    /// What is wrong and left the rest readable, each with its node.
    pub(super) wrong: Vec<(NodeId, Problem)>,
}

/// Why there is no tree.
#[derive(Debug)]
pub(crate) struct NoTree {
    pub(crate) problems: Vec<Problem>,
    /// The places of literal secrets; `None` when the text could not be taken apart.
    pub(crate) secrets: Option<Vec<Range<usize>>>,
}

/// A node and where it stands. A list or map stands at its key or its first member.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) content: Content,
    /// Nodes in it, itself included and keys left out, aliases written out.
    pub(super) size: usize,
}

#[derive(Debug)]
pub(crate) enum Content {
    Null,
    /// `true`, `false` or a JSON number, as it is written.
    Literal(String),
    Text(Scalar),
    List(Vec<NodeId>),
    /// Keys are texts, each once, in the order of the file.
    Map(Vec<(NodeId, NodeId)>),
}

/// A text of the file.
#[derive(Debug)]
pub(crate) struct Scalar {
    /// Without its quotes, variables not filled in.
    pub(crate) raw: String,
    pub(crate) text: Text,
    pub(super) style: ScalarStyle,
}

impl Tree {
    /// Takes `source` apart and fills in its variables.
    pub(crate) fn parse(source: &str, env: &dyn Lookup) -> Result<Self, NoTree> {
        let tree = Self::parse_apart(source, env)?;
        if tree.wrong.is_empty() {
            return Ok(tree);
        }
        let secrets = Some(tree.secrets());
        let problems = tree.wrong.into_iter().map(|(_, problem)| problem).collect();
        Err(NoTree { problems, secrets })
    }

    /// The same, for a reader who asks of each part what is [wrong in it](Tree::wrong_in).
    pub(crate) fn parse_apart(source: &str, env: &dyn Lookup) -> Result<Self, NoTree> {
        Builder::new(source, env).build()
    }

    /// What is wrong in a node and all that is in it.
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

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The text of a scalar, variables filled in; `None` for anything else.
    pub(crate) fn value(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).content {
            Content::Literal(text) => Some(text),
            Content::Text(scalar) => Some(&scalar.text.value),
            Content::Null | Content::List(_) | Content::Map(_) => None,
        }
    }

    /// What a node is, for a person: a scalar's text without what came from the environment.
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

    /// Whether nothing of a node came from the environment, so that it may be shown.
    pub(crate) fn is_public(&self, id: NodeId) -> bool {
        self.environment_of(id).next().is_none()
    }

    /// Every scalar that something of came from the environment, with its value.
    pub(crate) fn with_environment(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let ids = (0..self.nodes.len()).map(NodeId);
        let secret = ids.filter(|id| !self.is_public(*id));
        secret.filter_map(|id| Some((id, self.value(id)?)))
    }

    /// Every variable that came from a file which others can read, too, with who can.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = (NodeId, &str, &str)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.flat_map(|(number, node)| {
            let text = match &node.content {
                Content::Text(scalar) => Some(&scalar.text),
                _ => None,
            };
            let exposed = text.into_iter().flat_map(Text::exposed);
            exposed.map(move |(name, who)| (NodeId(number), name, who))
        })
    }

    /// The value of `key` in a map.
    pub(crate) fn get(&self, map: NodeId, key: &str) -> Option<NodeId> {
        let Content::Map(entries) = &self.node(map).content else {
            return None;
        };
        let found = entries
            .iter()
            .find(|(name, _)| self.value(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// The place in the file of `range` of a scalar's value.
    pub(crate) fn locate(&self, id: NodeId, range: &Range<usize>) -> Range<usize> {
        match &self.node(id).content {
            Content::Text(scalar) => self.locate_raw(id, scalar, &scalar.text.to_raw(range)),
            _ => self.node(id).span.clone(),
        }
    }

    fn locate_raw(&self, id: NodeId, scalar: &Scalar, range: &Range<usize>) -> Range<usize> {
        scalar
            .written(&self.source, &self.node(id).span)
            .place(range)
    }

    /// The places of literal secrets: values of the keys in [`SECRET_KEYS`], credentials in
    /// headers, and tokens in URLs.
    pub(crate) fn secrets(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let Content::Map(entries) = &node.content else {
                continue;
            };
            for (key, value) in entries {
                match self.value(*key) {
                    Some(key) if SECRET_KEYS.contains(&key) => {
                        self.collect_literals(*value, &mut found);
                    }
                    Some("url" | "proxy") => self.collect_tokens(*value, &mut found),
                    Some("headers") => self.collect_headers(*value, &mut found),
                    _ => {}
                }
            }
        }
        found
    }

    fn collect_headers(&self, id: NodeId, found: &mut Vec<Range<usize>>) {
        let Content::Map(entries) = &self.node(id).content else {
            return;
        };
        for (name, value) in entries {
            let secret = self.value(*name).zip(self.value(*value));
            if secret.is_some_and(|(name, value)| !of_header(name, value).is_empty()) {
                self.collect_literals(*value, found);
            }
        }
    }

    fn collect_tokens(&self, id: NodeId, found: &mut Vec<Range<usize>>) {
        let Content::Text(scalar) = &self.node(id).content else {
            return;
        };
        let Ok(url) = Url::parse(&scalar.text.value) else {
            return;
        };
        let password = url.password().map(str::to_owned);
        for token in tokens_of_url(&url).into_iter().chain(password) {
            let stands = scalar.raw.match_indices(&token);
            found
                .extend(stands.map(|(at, _)| self.locate_raw(id, scalar, &(at..at + token.len()))));
        }
    }

    fn collect_literals(&self, id: NodeId, found: &mut Vec<Range<usize>>) {
        match &self.node(id).content {
            Content::List(items) => {
                for item in items {
                    self.collect_literals(*item, found);
                }
            }
            Content::Text(scalar) if !scalar.raw.contains("${") => {
                found.push(self.locate_raw(id, scalar, &(0..scalar.raw.len())));
            }
            Content::Literal(_) => found.push(self.node(id).span.clone()),
            Content::Text(_) | Content::Null | Content::Map(_) => {}
        }
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
            let found = (0..tree.nodes.len()).map(NodeId).find_map(|id| {
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

    #[test]
    fn literal_secrets_are_found_and_variables_are_not() {
        let source = "a: { keys: [abc, \"${X}\"], secret: 'def' }\n";
        let found: Vec<_> = tree(source)
            .secrets()
            .into_iter()
            .map(|at| &source[at])
            .collect();
        assert_eq!(found, ["abc", "def"]);
    }
}
