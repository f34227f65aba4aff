//! A validator for the part of JSON Schema that the rules file's schema uses. Patterns are checked
//! only in part: that of `${NAME}` requires a variable, the others forbid one.

use serde_json::{Map, Value};

/// All mistakes in `value`, each with its path.
pub(crate) fn mistakes(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check {
        root: schema,
        found: &mut found,
    }
    .check(schema, value, "");
    found
}

struct Check<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Check<'_> {
    fn check(&mut self, schema: &Value, value: &Value, path: &str) {
        let Value::Object(schema) = schema else {
            if *schema == Value::Bool(false) {
                self.found.push(format!("{path}: nothing is allowed here"));
            }
            return;
        };
        for (keyword, argument) in schema {
            match keyword.as_str() {
                "$ref" => self.reference(argument, value, path),
                "type" => self.expect(is_type(argument, value), path, argument),
                "const" => self.expect(value == argument, path, argument),
                "enum" => self.expect(argument.as_array().unwrap().contains(value), path, argument),
                "minimum" => self.expect(
                    value.as_f64() >= argument.as_f64() || !value.is_number(),
                    path,
                    argument,
                ),
                "maximum" => self.expect(
                    value.as_f64() <= argument.as_f64() || !value.is_number(),
                    path,
                    argument,
                ),
                "anyOf" | "oneOf" => self.alternatives(keyword, argument, value, path),
                "allOf" => argument
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|part| self.check(part, value, path)),
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(argument, item, &format!("{path}/{number}"));
                    }
                }
                "pattern" => {
                    let variable = argument.as_str().unwrap().starts_with(r"\$\{");
                    let holds = value
                        .as_str()
                        .is_none_or(|text| text.contains("${") == variable);
                    self.expect(holds, path, argument);
                }
                "required" => self.required(argument, value, path),
                // `members` checks the last two together.
                "$schema"
                | "$defs"
                | "title"
                | "description"
                | "examples"
                | "default"
                | "format"
                | "properties"
                | "additionalProperties" => {}
                other => panic!("the schema uses {other:?}, which is not checked here"),
            }
        }
        self.members(schema, value, path);
    }

    fn expect(&mut self, holds: bool, path: &str, argument: &Value) {
        if !holds {
            self.found.push(format!("{path}: not {argument}"));
        }
    }

    fn reference(&mut self, reference: &Value, value: &Value, path: &str) {
        let pointer = reference.as_str().unwrap().trim_start_matches('#');
        let target = self
            .root
            .pointer(pointer)
            .unwrap_or_else(|| panic!("{pointer} leads nowhere"));
        let target = target.clone();
        self.check(&target, value, path);
    }

    fn alternatives(&mut self, keyword: &str, alternatives: &Value, value: &Value, path: &str) {
        let holds = |schema: &Value| {
            let mut found = Vec::new();
            Check {
                root: self.root,
                found: &mut found,
            }
            .check(schema, value, path);
            found.is_empty()
        };
        let count = alternatives
            .as_array()
            .unwrap()
            .iter()
            .filter(|schema| holds(schema))
            .count();
        if count == 0 || (keyword == "oneOf" && count > 1) {
            self.found.push(format!("{path}: {count} of {keyword}"));
        }
    }

    fn required(&mut self, keys: &Value, value: &Value, path: &str) {
        let Value::Object(object) = value else { return };
        for key in keys.as_array().unwrap() {
            if !object.contains_key(key.as_str().unwrap()) {
                self.found.push(format!("{path}: {key} is missing"));
            }
        }
    }

    fn members(&mut self, schema: &Map<String, Value>, value: &Value, path: &str) {
        let Value::Object(object) = value else { return };
        for (key, member) in object {
            let known = schema
                .get("properties")
                .and_then(|properties| properties.get(key));
            if let Some(schema) = known.or(schema.get("additionalProperties")) {
                self.check(schema, member, &format!("{path}/{key}"));
            }
        }
    }
}

fn is_type(argument: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    match argument {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}
