//! The JSON Schema of the rules file, for editors.
//!
//! Generated from the types that parse the file, so it cannot get out of step. More lenient than
//! `rules check`, which sees the whole file.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, json_schema};
use serde_json::Value;

use super::file;

/// A value, or part of one, that comes from the environment.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(AsLoaded);
    settings
        .into_generator()
        .into_root_schema_for::<file::Raw>()
        .to_value()
}

/// Adds what the types do not express: a key may be omitted but not null, and `${NAME}` may replace
/// a number, boolean, enum value or text with a pattern.
#[derive(Debug, Clone)]
struct AsLoaded;

impl Transform for AsLoaded {
    /// Inner schemas first, so that the added alternatives are not visited again.
    fn transform(&mut self, schema: &mut Schema) {
        let words = is_words(schema);
        if !words {
            transform_subschemas(self, schema);
        }
        refuse_null(schema);
        if words || is_narrow(schema) {
            allow_variable(schema);
        }
    }
}

fn refuse_null(schema: &mut Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative["type"] != "null");
    }
}

/// Whether it is an enum of words.
fn is_words(schema: &Schema) -> bool {
    let are_words = |schema: &Value| {
        schema.get("const").is_some_and(Value::is_string) || schema.get("enum").is_some()
    };
    let all = schema.get("oneOf").and_then(Value::as_array);
    schema.get("enum").is_some() || all.is_some_and(|all| all.iter().all(are_words))
}

/// Whether it would refuse a text with a variable.
fn is_narrow(schema: &Schema) -> bool {
    let narrow = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number" | "boolean"));
    schema.get("type").is_some_and(narrow) || schema.get("pattern").is_some()
}

fn allow_variable(schema: &mut Schema) {
    let object = schema.ensure_object();
    let description = object.remove("description");
    let own = Value::Object(std::mem::take(object));
    let variable = json_schema!({ "type": "string", "pattern": VARIABLE }).to_value();
    object.insert("anyOf".to_owned(), vec![own, variable].into());
    object.extend(description.map(|description| ("description".to_owned(), description)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_describes_every_section() {
        let schema = schema();
        let sections = schema["properties"].as_object().unwrap();
        for (name, section) in sections {
            assert!(section["description"].is_string(), "{name}");
        }
        assert_eq!(schema["required"], serde_json::json!(["rules"]));
        assert_eq!(schema["additionalProperties"], false);
    }
}
