//! Parses OBS's XML into a tree of elements without namespaces.
//!
//! Namespaces differ by region and site (`http://obs.<region>…/doc/2015-06-30/`). Text is not
//! trimmed, because keys may begin or end with spaces; serde's deserialiser would trim it.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

/// Maximum nesting; OBS's deepest document has six levels.
const DEEPEST: usize = 32;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    name: String,
    text: String,
    children: Vec<Node>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an XML document: {0}")]
pub(super) struct NotXml(String);

impl Node {
    pub(super) fn parse(body: &[u8]) -> Result<Self, NotXml> {
        let body = std::str::from_utf8(body).map_err(|error| NotXml(error.to_string()))?;
        let mut reader = Reader::from_str(body);
        let mut open: Vec<Self> = vec![Self::default()];
        loop {
            let event = reader
                .read_event()
                .map_err(|error| NotXml(error.to_string()))?;
            let depth = open.len();
            let top = open.last_mut().ok_or_else(unbalanced)?;
            match event {
                Event::Start(tag) if depth <= DEEPEST => {
                    open.push(Self::named(tag.local_name().into_inner()));
                }
                Event::Start(_) => return Err(NotXml("too deep".to_owned())),
                Event::Empty(tag) => top
                    .children
                    .push(Self::named(tag.local_name().into_inner())),
                Event::End(_) => {
                    let closed = open.pop().ok_or_else(unbalanced)?;
                    let parent = open.last_mut().ok_or_else(unbalanced)?;
                    parent.children.push(closed);
                }
                Event::Text(text) => top.text.push_str(&text.xml10_content()),
                Event::CData(text) => top.text.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => top.text.push_str(&resolve(&reference)?),
                Event::Eof => return Self::root(open),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// The only top-level element, once every element is closed.
    fn root(mut open: Vec<Self>) -> Result<Self, NotXml> {
        let mut document = open.pop().unwrap_or_default();
        match (open.len(), document.children.len()) {
            (0, 1) => Ok(document.children.remove(0)),
            _ => Err(unbalanced()),
        }
    }

    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Without namespace.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Without the text of children.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Text of the first child of this name; `None` also when it is empty.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name)
            .map(Self::text)
            .filter(|text| !text.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

fn unbalanced() -> NotXml {
    NotXml("it ends too early".to_owned())
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, NotXml> {
    let character = reference
        .resolve_char_ref()
        .map_err(|error| NotXml(error.to_string()))?;
    if let Some(character) = character {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(|| NotXml(format!("unknown entity {name:?}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::escape::escape;

    use super::*;

    #[test]
    fn names_are_local_and_text_is_kept_to_the_letter() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
<o:R xmlns:o="http://obs.example.com/doc/2015-06-30/"><o:Key> a &amp;&#x20;&#37;b<![CDATA[<c>]]> </o:Key><E/></o:R>"#;
        let root = Node::parse(body).unwrap();
        assert_eq!(root.name(), "R");
        assert_eq!(root.text_of("Key"), Some(" a & %b<c> "));
        assert_eq!(root.text_of("E"), None);
        assert!(root.child("E").is_some());
    }

    #[test]
    fn what_is_cut_or_no_document_is_refused() {
        let deep = "<a>".repeat(40);
        for body in [
            "",
            "ok",
            "<A><B></B>",
            "<A></B>",
            "<A/><B/>",
            "<A>&x;</A>",
            &deep,
        ] {
            assert!(Node::parse(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Node::parse(b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn escaped_text_reads_back(text in "[^\\x00-\\x1f\\u{fffe}\\u{ffff}]{0,40}") {
            let root = Node::parse(format!("<a>{}</a>", escape(text.as_str())).as_bytes()).unwrap();
            prop_assert_eq!(root.text(), text);
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Node::parse(&body);
        }
    }
}
