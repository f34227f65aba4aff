//! An event's fields in the order in which the recorder's documents list them.

use std::fmt::Write;

use serde::{Serialize, Serializer};

use super::table::one_line;
use crate::model::event::Fields;

/// The fields that an event has.
#[derive(Debug)]
pub(super) struct FieldList(pub(super) Fields);

impl FieldList {
    /// One line for each field.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.0.entries() {
            let _ = writeln!(text, "  {name:<16} {}", one_line(&value.to_string()));
        }
        text
    }
}

impl Serialize for FieldList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.entries())
    }
}
