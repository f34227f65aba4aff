//! An event's fields in the order in which the recorder's documents list them.

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::table::one_line;
use crate::model::event::Event;

/// The fields that an event has.
#[derive(Debug)]
pub(super) struct FieldList(Vec<(&'static str, Value)>);

impl FieldList {
    pub(super) fn of(event: &Event) -> Self {
        Self(event.fields.entries().collect())
    }

    /// One line for each field.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(text, "  {name:<16} {}", one_line(&value));
        }
        text
    }
}

impl Serialize for FieldList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}
