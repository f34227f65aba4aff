//! Reads a node of the tree into a type with serde.
//!
//! A custom deserializer, so that every error has a position, numbers are parsed after variables
//! are filled in, and "one or a list", "short or long" and "by a key" keep inner positions, which
//! serde's untagged and tagged enums lose.

use std::str::FromStr;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::Fault;
use super::problem::Problem;
use super::tree::{Content, NodeId, Tree};

/// Type names that request special treatment: serde tells a deserializer only a type's name.
pub(super) const AT: &str = "$at";
pub(super) const ONE_OR_MANY: &str = "$one_or_many";
pub(super) const SHORT_OR_LONG: &str = "$short_or_long";
/// Prefix of the key whose value selects the variant of an enum.
const BY: &str = "$by:";

pub(crate) fn read<'t, T: de::Deserialize<'t>>(tree: &'t Tree, id: NodeId) -> Result<T, Problem> {
    let reader = Reader { tree, id };
    T::deserialize(reader).map_err(|fault| fault.into_problem(tree, id))
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl<'t> Reader<'t> {
    fn text(self) -> Result<&'t str, Fault> {
        let text = self.tree.value(self.id);
        text.ok_or_else(|| Fault::Expected("a text".to_owned()))
    }

    fn parsed<T: FromStr>(self, expected: impl std::fmt::Display) -> Result<T, Fault> {
        let parsed = self.tree.value(self.id).and_then(|text| text.parse().ok());
        parsed.ok_or_else(|| Fault::Expected(expected.to_string()))
    }

    /// The value of `key` in this map, which must be one of `known`.
    fn word_of(self, key: &'static str, known: &'static [&'static str]) -> Result<&'t str, Fault> {
        let found = self.tree.get(self.id, key).ok_or(Fault::Missing(key))?;
        let word = self.tree.value(found).unwrap_or_default();
        if known.contains(&word) {
            Ok(word)
        } else {
            Err(Fault::UnknownWord(known).at(self.tree, found))
        }
    }

    /// Reads `self` with `seed`; errors without a position get this one.
    fn seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self)
            .map_err(|fault| fault.at(self.tree, self.id))
    }
}

impl<'t> Deserializer<'t> for Reader<'t> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.tree.node(self.id).content {
            Content::Null => visitor.visit_unit(),
            Content::Literal(_) | Content::Text(_) => self.deserialize_str(visitor),
            Content::List(_) => self.deserialize_seq(visitor),
            Content::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_bool(self.parsed("true or false")?)
    }

    fn deserialize_u64<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_u64(self.parsed("a whole number")?)
    }

    /// A key without a value is refused: a value was probably forgotten.
    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.tree.node(self.id).content {
            Content::List(items) => visitor.visit_seq(Items {
                tree: self.tree,
                items,
            }),
            _ => Err(Fault::Expected("a list".to_owned())),
        }
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.tree.node(self.id).content {
            Content::Map(entries) => visitor.visit_map(Entries {
                tree: self.tree,
                rest: entries,
                value: None,
            }),
            _ => Err(Fault::Expected("keys and values".to_owned())),
        }
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match (name, &self.tree.node(self.id).content) {
            (AT, _) => visitor.visit_seq(Placed {
                reader: self,
                given: 0,
            }),
            (ONE_OR_MANY, Content::List(_)) => self.deserialize_seq(visitor),
            (ONE_OR_MANY, _) => visitor.visit_seq(Items {
                tree: self.tree,
                items: &[self.id],
            }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let name = if name == SHORT_OR_LONG {
            let long = matches!(self.tree.node(self.id).content, Content::Map(_));
            variants[usize::from(long)]
        } else if let Some(key) = name.strip_prefix(BY) {
            self.word_of(key, variants)?
        } else {
            self.text()?
        };
        visitor.visit_enum(Union {
            name,
            content: self,
        })
    }

    forward_to_deserialize_any! {
        <V: Visitor<'t>>
        i8 i16 i32 i64 u8 u16 u32 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
    }
}

struct Items<'t, 'i> {
    tree: &'t Tree,
    items: &'i [NodeId],
}

impl<'t> SeqAccess<'t> for Items<'t, '_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some((id, rest)) = self.items.split_first() else {
            return Ok(None);
        };
        self.items = rest;
        Reader {
            tree: self.tree,
            id: *id,
        }
        .seed(seed)
        .map(Some)
    }
}

struct Entries<'t> {
    tree: &'t Tree,
    rest: &'t [(NodeId, NodeId)],
    value: Option<NodeId>,
}

impl<'t> MapAccess<'t> for Entries<'t> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some(((key, value), rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        self.value = Some(*value);
        Reader {
            tree: self.tree,
            id: *key,
        }
        .seed(seed)
        .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let id = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        Reader {
            tree: self.tree,
            id,
        }
        .seed(seed)
    }
}

/// A value and the number of its node.
struct Placed<'t> {
    reader: Reader<'t>,
    given: u8,
}

impl<'t> SeqAccess<'t> for Placed<'t> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        self.given += 1;
        match self.given {
            1 => seed
                .deserialize((self.reader.id.0 as u64).into_deserializer())
                .map(Some),
            2 => self.reader.seed(seed).map(Some),
            _ => Ok(None),
        }
    }
}

/// A variant's name and its content.
struct Union<'t> {
    name: &'t str,
    content: Reader<'t>,
}

impl<'t> EnumAccess<'t> for Union<'t> {
    type Error = Fault;
    type Variant = Reader<'t>;

    fn variant_seed<S: DeserializeSeed<'t>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Reader<'t>), Fault> {
        let name: StrDeserializer<'_, Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.content))
    }
}

impl<'t> VariantAccess<'t> for Reader<'t> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, Fault> {
        self.seed(seed)
    }

    fn tuple_variant<V: Visitor<'t>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'t>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }
}
