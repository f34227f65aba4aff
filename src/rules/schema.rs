//! The JSON Schema of the rules file, for editors.
//!
//! Made from the types that read the file, so it cannot lag behind them. It is a little
//! more lenient: what only the whole file can tell is told by `rules check`.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, json_schema};
use serde_json::Value;

use super::file;

/// A value, or part of one, that comes from the environment.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with_transform(RecursiveTransform(allow_variables));
    settings
        .into_generator()
        .into_root_schema_for::<file::Raw>()
        .to_value()
}

/// `${NAME}` may stand where a number, a truth value, a word or a patterned text is expected.
fn allow_variables(schema: &mut Schema) {
    let narrow = match schema.get("type") {
        Some(Value::String(kind)) => matches!(kind.as_str(), "integer" | "number" | "boolean"),
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer"),
        _ => false,
    };
    let is_word = |schema: &Value| schema.get("const").is_some_and(Value::is_string);
    let words = schema.get("enum").is_some()
        || schema
            .get("oneOf")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().all(is_word));
    if !(narrow || words || schema.get("pattern").is_some()) {
        return;
    }
    let object = schema.ensure_object();
    let told: Vec<(String, Value)> = ["description", "default"]
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), object.remove(*key)?)))
        .collect();
    let own = std::mem::take(object);
    let variable = json_schema!({ "type": "string", "pattern": VARIABLE });
    object.insert(
        "anyOf".to_owned(),
        vec![Value::Object(own), variable.to_value()].into(),
    );
    object.extend(told);
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
