//! Builds the tree from the YAML parser's events: the only file that uses the parser.
//!
//! The parser's serde support would guess types before variables are filled in, and loses positions
//! inside unions.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::problem::Problem;
use super::shield::{shield, unshield};
use super::tree::{Content, Node, NodeId, Scalar, Tree};
use super::variables::{Text, Variables};

/// Maximum nodes of a file with its aliases expanded; far more than any real file has.
const LARGEST: usize = 250_000;

/// Maximum characters of a key. A tree is written as JSON and read as YAML, where a key is limited
/// to 1,024 characters (<https://yaml.org/spec/1.2.2/#742-flow-mappings>); in JSON a character
/// takes up to six.
const LONGEST_KEY: usize = 160;

pub(super) struct Builder<'a> {
    source: &'a str,
    /// Byte offset of each character of the source.
    bytes: Vec<usize>,
    variables: &'a dyn Variables,
    nodes: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    root: Option<NodeId>,
    /// Problems that leave the rest readable, each with its node.
    wrong: Vec<(NodeId, Problem)>,
}

struct Open {
    start: usize,
    anchor: usize,
    members: Members,
}

enum Members {
    List(Vec<NodeId>),
    Map {
        entries: Vec<(NodeId, NodeId)>,
        key: Option<NodeId>,
    },
}

impl<'a> Builder<'a> {
    pub(super) fn new(source: &'a str, variables: &'a dyn Variables) -> Self {
        Self {
            source,
            bytes: source.char_indices().map(|(at, _)| at).collect(),
            variables,
            nodes: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            wrong: Vec::new(),
        }
    }

    /// The tree, or all problems of a text that is not valid YAML.
    pub(super) fn build(mut self) -> Result<Tree, Vec<Problem>> {
        let shielded = shield(self.source);
        for event in Parser::new_from_str(&shielded) {
            let taken = match event {
                Ok((event, span)) => self.take(event, &span),
                Err(error) => {
                    let at = self.offset(error.marker());
                    Err(Problem::new(
                        at..at,
                        format!("this is not YAML: {}", error.info()),
                    ))
                }
            };
            if let Err(problem) = taken {
                let wrong = self.wrong.into_iter().map(|(_, problem)| problem);
                return Err(wrong.chain([problem]).collect());
            }
        }
        let Some(root) = self.root else {
            return Err(vec![Problem::new(0..0, "the file is empty")]);
        };
        Ok(Tree {
            source: self.source.to_owned(),
            nodes: self.nodes,
            root,
            wrong: self.wrong,
        })
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let start = self.offset(&span.start);
        let end = self.offset(&span.end).max(start);
        if event.tag().is_some() {
            return Err(Problem {
                help: Some("quote a value to make it a text".to_owned()),
                ..Problem::new(start..end, "a tag such as `!name` has no meaning here")
            });
        }
        match event {
            Event::Scalar(value, style, anchor, _) => {
                let id = self.scalar(start..end, &unshield(&value), style);
                self.place(id, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.begin(start, anchor, Members::List(Vec::new()));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, key) = (Vec::new(), None);
                self.begin(start, anchor, Members::Map { entries, key });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(end),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(id) => self.place(*id, 0),
                None => Err(Problem::new(
                    start..end,
                    "this alias is inside what it refers to",
                )),
            },
            Event::DocumentStart(..) if self.root.is_some() => Err(Problem::new(
                start..end,
                "a second document begins here; only one is allowed",
            )),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, span: Range<usize>, value: &str, style: ScalarStyle) -> NodeId {
        let plain = style == ScalarStyle::Plain && !self.expects_key();
        let content = match literal(value).filter(|_| plain) {
            Some(content) => content,
            None => Content::Text(self.text(&span, value, style)),
        };
        self.add(span, content, 1)
    }

    fn text(&mut self, span: &Range<usize>, value: &str, style: ScalarStyle) -> Scalar {
        let mut scalar = Scalar {
            raw: value.to_owned(),
            text: Text::default(),
            style,
        };
        match Text::expand(value, self.variables) {
            Ok(text) => scalar.text = text,
            Err(wrong) => {
                let problem = Problem {
                    help: Some(wrong.help),
                    span: scalar.written(self.source, span).place(&wrong.range),
                    message: wrong.message,
                };
                // The scalar becomes the next node.
                self.wrong.push((NodeId(self.nodes.len()), problem));
            }
        }
        scalar
    }

    fn begin(&mut self, start: usize, anchor: usize, members: Members) {
        self.open.push(Open {
            start,
            anchor,
            members,
        });
    }

    fn end(&mut self, end: usize) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let (content, first) = match open.members {
            Members::List(items) => {
                let first = items.first().copied();
                (Content::List(items), first)
            }
            Members::Map { entries, .. } => {
                self.refuse_repeated_keys(&entries);
                self.refuse_long_keys(&entries);
                let first = entries.first().map(|(key, _)| *key);
                (Content::Map(entries), first)
            }
        };
        let span = first.map_or(open.start..end, |first| self.nodes[first.0].span.clone());
        let size = self.size(&content);
        if size > LARGEST {
            return Err(Problem::new(
                span,
                "the file is too large with its aliases written out",
            ));
        }
        let id = self.add(span, content, size);
        self.place(id, open.anchor)
    }

    fn size(&self, content: &Content) -> usize {
        let of = |id: &NodeId| self.nodes[id.0].size;
        1 + match content {
            Content::List(items) => items.iter().map(of).sum(),
            Content::Map(entries) => entries.iter().map(|(_, value)| of(value)).sum::<usize>(),
            Content::Null | Content::Literal(_) | Content::Text(_) => 0,
        }
    }

    fn add(&mut self, span: Range<usize>, content: Content, size: usize) -> NodeId {
        self.nodes.push(Node {
            span,
            content,
            size,
        });
        NodeId(self.nodes.len() - 1)
    }

    /// Adds a finished node to its parent.
    fn place(&mut self, id: NodeId, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        match self.open.last_mut().map(|open| &mut open.members) {
            None => self.root = Some(id),
            Some(Members::List(items)) => items.push(id),
            Some(Members::Map { entries, key }) => match key.take() {
                Some(key) => {
                    entries.push((key, id));
                    self.stand_at_key(id, key);
                }
                None if matches!(self.nodes[id.0].content, Content::Text(_)) => *key = Some(id),
                None => {
                    let span = self.nodes[id.0].span.clone();
                    return Err(Problem::new(span, "a key must be a text"));
                }
            },
        }
        Ok(())
    }

    /// A list or map under a key has the key's position, which is where people look.
    fn stand_at_key(&mut self, id: NodeId, key: NodeId) {
        if matches!(
            self.nodes[id.0].content,
            Content::List(_) | Content::Map(_) | Content::Null
        ) {
            self.nodes[id.0].span = self.nodes[key.0].span.clone();
        }
    }

    fn refuse_repeated_keys(&mut self, entries: &[(NodeId, NodeId)]) {
        let mut seen = HashSet::new();
        for (key, _) in entries {
            let Node { span, content, .. } = &self.nodes[key.0];
            let Content::Text(scalar) = content else {
                continue;
            };
            if !seen.insert(&scalar.text.value) {
                let message = format!("`{}` is given twice", scalar.text.shown);
                self.wrong.push((*key, Problem::new(span.clone(), message)));
            }
        }
    }

    fn refuse_long_keys(&mut self, entries: &[(NodeId, NodeId)]) {
        for (key, _) in entries {
            let Node { span, content, .. } = &self.nodes[key.0];
            let Content::Text(scalar) = content else {
                continue;
            };
            let length = scalar.raw.chars().count();
            if length > LONGEST_KEY {
                let message = format!("a key of {length} characters; it may have {LONGEST_KEY}");
                self.wrong.push((*key, Problem::new(span.clone(), message)));
            }
        }
    }

    fn expects_key(&self) -> bool {
        let innermost = self.open.last().map(|open| &open.members);
        matches!(innermost, Some(Members::Map { key: None, .. }))
    }

    /// The byte offset of a parser mark. Marks count characters, and shielding keeps their number.
    fn offset(&self, mark: &Marker) -> usize {
        self.bytes
            .get(mark.index())
            .copied()
            .unwrap_or(self.source.len())
    }
}

/// The literal or null that a plain scalar means, unless it is text.
fn literal(value: &str) -> Option<Content> {
    match value {
        "" | "~" | "null" | "Null" | "NULL" => Some(Content::Null),
        "true" | "True" | "TRUE" => Some(Content::Literal("true".to_owned())),
        "false" | "False" | "FALSE" => Some(Content::Literal("false".to_owned())),
        number if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
            Some(Content::Literal(number.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use super::*;
    use crate::yaml::json;

    fn problems(source: &str) -> Vec<(Range<usize>, String)> {
        let tree = Tree::parse(source, &BTreeMap::from([("K", "a")]));
        let problems = tree.map_or_else(|problems| problems, |tree| tree.wrong());
        problems
            .into_iter()
            .map(|problem| (problem.span, problem.message))
            .collect()
    }

    #[test]
    fn what_is_no_tree_is_refused_with_its_place() {
        for (source, span, message) in [
            ("", 0..0, "the file is empty"),
            ("# nothing\n", 0..0, "the file is empty"),
            (
                "a: 1\n---\nb: 2\n",
                5..8,
                "a second document begins here; only one is allowed",
            ),
            (
                "a: !!str 5\n",
                9..10,
                "a tag such as `!name` has no meaning here",
            ),
            (
                "a: &x [*x]\n",
                7..9,
                "this alias is inside what it refers to",
            ),
            ("? [a]\n: b\n", 3..4, "a key must be a text"),
            ("a: 1\nb: 2\na: 3\n", 10..11, "`a` is given twice"),
            ("a: 1\n${K}: 3\n", 5..9, "`***` is given twice"),
            ("a: |\n  x\n  ${NO}\n", 11..16, "the variable NO is not set"),
        ] {
            assert_eq!(problems(source), [(span, message.to_owned())], "{source:?}");
        }
    }

    #[test]
    fn key_that_could_not_be_read_back_is_refused() {
        let file = |length| format!("rules:\n  ? \"{}\"\n  : 1\n", "\\u0001".repeat(length));
        let longest = Tree::parse(&file(LONGEST_KEY), &BTreeMap::new()).unwrap();
        let kept = json::node(&longest, longest.root);
        assert_eq!(problems(&kept), [], "{kept}");
        let found = problems(&file(LONGEST_KEY + 1));
        assert_eq!(found[0].1, "a key of 161 characters; it may have 160");
    }

    #[test]
    fn every_missing_variable_is_named_at_once() {
        assert_eq!(problems("a: ${ONE}\nb: [${TWO}]\n").len(), 2);
    }

    #[test]
    fn aliases_cannot_blow_the_file_up() {
        for first in ["[x, x, x, x, x, x, x, x, x, x]", "[]", "{}", "{ a: {} }"] {
            let mut source = format!("a0: &a0 {first}\n");
            for level in 1..9 {
                let alias = format!("*a{}", level - 1);
                let list = vec![alias; 10].join(", ");
                writeln!(source, "a{level}: &a{level} [{list}]").unwrap();
            }
            assert_eq!(
                problems(&source)[0].1,
                "the file is too large with its aliases written out",
                "{first}"
            );
        }
    }

    #[test]
    fn key_is_a_text_whatever_it_looks_like() {
        let tree = Tree::parse("1: a\ntrue: b\n~: c\n", &BTreeMap::new()).unwrap();
        for (key, value) in [("1", "a"), ("true", "b"), ("~", "c")] {
            let found = tree.get(tree.root, key).and_then(|id| tree.value(id));
            assert_eq!(found, Some(value), "{key}");
        }
    }
}
