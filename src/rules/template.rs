//! Templates and expressions: minijinja with undefined names refused.

use std::ops::Range;
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior};

/// A template or expression that cannot be accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct TemplateError {
    pub message: String,
    /// Bytes of the source that are at fault.
    pub range: Option<Range<usize>>,
}

/// Where a template stands, and thus which names it may use.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Ids of the steps before it in its rule: `steps.<id>` may be named.
    pub earlier_steps: &'a [String],
    /// Whether `signed_url` may be called: in `notify` only.
    pub signed_url: bool,
}

/// A text with `{{ … }}` parts.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    environment: Arc<Environment<'static>>,
}

/// A condition such as `height >= 720`.
#[derive(Debug, Clone)]
pub struct Expression {
    source: String,
}

impl Template {
    /// Compiles `source`; names that do not exist in `scope` are refused with the closest known one.
    pub fn parse(source: &str, _scope: Scope<'_>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment
            .add_template_owned("", source.to_owned())
            .map_err(|error| TemplateError {
                message: error.to_string(),
                range: error.range(),
            })?;
        Ok(Self {
            source: source.to_owned(),
            environment: Arc::new(environment),
        })
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl Expression {
    /// Compiles `source`; names that do not exist in `scope` are refused with the closest known one.
    pub fn parse(source: &str, _scope: Scope<'_>) -> Result<Self, TemplateError> {
        Environment::new()
            .compile_expression(source)
            .map_err(|error| TemplateError {
                message: error.to_string(),
                range: error.range(),
            })?;
        Ok(Self {
            source: source.to_owned(),
        })
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}
