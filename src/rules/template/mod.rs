//! Templates and expressions: texts in the rules file that are filled in for each event.
//!
//! A template only uses [`Names`]; [`super::context`] gives them values. Templates are parsed and
//! every name is checked when the file loads, so `rules check` finds typing errors. Rendering fails
//! only when a value is absent, a filter refuses it, or the work is too much.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use minijinja::Environment;
use serde_json::Value;

use crate::chat::Chat;

mod check;
mod language;
mod scan;

pub(super) use language::parse_lifetime;
pub(super) use scan::{CODE, without_code};

/// Why a template or expression is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct TemplateError {
    pub message: String,
    /// The wrong part of the source, in bytes.
    pub range: Option<Range<usize>>,
}

/// Names that a template may use in addition to the event's.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Ids of the earlier steps of the rule: usable as `steps.<id>`.
    pub earlier_steps: &'a [String],
    pub part_of: PartOf,
}

/// Where a template is used. Each place allows the names of those before it, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartOf {
    /// `when`, or a step that sends no request.
    Rule,
    /// A request; may call `signed_url`.
    Notify,
    /// A destination's message; may use `failure`, as notices of dead tasks use it too.
    Message,
}

impl Scope<'_> {
    pub const WHEN: Self = Self {
        earlier_steps: &[],
        part_of: PartOf::Rule,
    };

    pub const MESSAGE: Self = Self {
        earlier_steps: &[],
        part_of: PartOf::Message,
    };
}

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The event or the room lacks a value that the template names.
    #[error("{0}")]
    Absent(String),
    /// A filter refused its input, or the template did too much work.
    #[error("{0}")]
    Broken(String),
}

/// The values that a template can name.
#[derive(Debug, Clone)]
pub struct Names {
    pub(super) values: minijinja::Value,
    /// The event field that is missing when there is no `object`.
    pub(super) object_lacks: Option<&'static str>,
}

#[derive(Clone)]
pub struct Template(Arc<CompiledTemplate>);

struct CompiledTemplate {
    source: String,
    /// Template name in the environment; it selects how values are escaped.
    name: &'static str,
    /// A copy of the shared environment with this one template: minijinja only lends templates that
    /// an environment owns.
    environment: Environment<'static>,
    /// The compiled expression when the template is a single `{{ }}`.
    single: Option<minijinja::Expression<'static, 'static>>,
    roots: BTreeSet<String>,
}

/// A template for a path and query. Values are percent-encoded, so they cannot add parts.
#[derive(Debug, Clone)]
pub struct Address(Template);

/// A condition such as `height >= 720`.
#[derive(Clone)]
pub struct Expression(Arc<CompiledExpression>);

struct CompiledExpression {
    source: String,
    negated: minijinja::Expression<'static, 'static>,
    roots: BTreeSet<String>,
}

const CRASHED: &str = "the template engine crashed on this; write it in another way";

/// Name of templates that are not escaped. It has no extension that would turn escaping on.
const NAME: &str = "template";

impl Template {
    /// Compiles `source`. The error for an unknown name suggests the closest known one.
    pub fn parse(source: &str, scope: Scope<'_>) -> Result<Self, TemplateError> {
        Self::compile(language::ENVIRONMENT.clone(), NAME, source, scope)
    }

    fn compile(
        mut environment: Environment<'static>,
        name: &'static str,
        source: &str,
        scope: Scope<'_>,
    ) -> Result<Self, TemplateError> {
        let tokens = scan::of_template(source);
        check::too_much(&tokens).map_or(Ok(()), Err)?;
        let named = compiled(source, || {
            environment.add_template_owned(name, source.to_owned())?;
            let template = environment.get_template(name)?;
            Ok(template.undeclared_variables(true))
        })?;
        check::check(&tokens, &named, scope)?;
        Ok(Self(Arc::new(CompiledTemplate {
            source: source.to_owned(),
            name,
            environment,
            single: single_expression(source),
            roots: roots(&named),
        })))
    }

    pub fn source(&self) -> &str {
        &self.0.source
    }

    pub fn render(&self, names: &Names) -> Result<String, Fault> {
        names.run(|| {
            let template = self.0.environment.get_template(self.0.name)?;
            template.render(names.values.clone())
        })
    }

    /// The typed value of a template that is a single `{{ }}`; otherwise the rendered text.
    pub fn value(&self, names: &Names) -> Result<Value, Fault> {
        let Some(single) = &self.0.single else {
            return self.render(names).map(Value::String);
        };
        let value = names.run(|| {
            let value = single.eval(names.values.clone())?;
            let lacks = value.is_undefined() || language::lacks_inside(&value)?;
            Ok((!lacks).then(|| serde_json::to_value(&value)))
        })?;
        match value {
            // Rendering fails too, usually with the name of the missing value.
            None => self.render(names).map(Value::String),
            Some(value) => value.map_err(|error| Fault::Broken(error.to_string())),
        }
    }

    /// Renders a message with the escaping of `chat`. The source was checked when the file was
    /// loaded.
    pub(super) fn message(source: &str, chat: &Chat, names: &Names) -> Result<String, Fault> {
        names.run(|| {
            let values = names.values.clone();
            language::ENVIRONMENT.render_named_str(chat.name(), source, values)
        })
    }

    /// Whether it needs an object: it uses `object` or `signed_url`.
    pub fn names_object(&self) -> bool {
        self.0.roots.contains("object") || self.0.roots.contains("signed_url")
    }
}

impl Address {
    /// Compiles `source`. The error for an unknown name suggests the closest known one.
    pub fn parse(source: &str, scope: Scope<'_>) -> Result<Self, TemplateError> {
        let environment = language::for_addresses();
        Template::compile(environment, language::ADDRESS, source, scope).map(Self)
    }

    pub fn template(&self) -> &Template {
        &self.0
    }

    /// Whether it has no template code.
    pub fn is_fixed(&self) -> bool {
        !["{{", "{%"]
            .iter()
            .any(|code| self.0.source().contains(code))
    }
}

impl Expression {
    /// Compiles `source`. The error for an unknown name suggests the closest known one.
    pub fn parse(source: &str, scope: Scope<'_>) -> Result<Self, TemplateError> {
        let tokens = scan::of_expression(source);
        check::too_much(&tokens).map_or(Ok(()), Err)?;
        // An expression that is only an absent name evaluates to undefined without an error. `not`
        // makes minijinja fail with the name.
        let (named, negated) = compiled(source, || {
            let written = language::ENVIRONMENT.compile_expression_owned(source.to_owned())?;
            let named = written.undeclared_variables(true);
            let negated = format!("not ({source})");
            Ok((
                named,
                language::ENVIRONMENT.compile_expression_owned(negated)?,
            ))
        })?;
        check::check(&tokens, &named, scope)?;
        Ok(Self(Arc::new(CompiledExpression {
            source: source.to_owned(),
            negated,
            roots: roots(&named),
        })))
    }

    pub fn source(&self) -> &str {
        &self.0.source
    }

    pub fn holds(&self, names: &Names) -> Result<bool, Fault> {
        let negated = names.run(|| self.0.negated.eval(names.values.clone()))?;
        Ok(!negated.is_true())
    }

    /// Whether its value depends on the rule or the task.
    pub(super) fn names_its_task(&self) -> bool {
        self.0.roots.contains("rule") || self.0.roots.contains("task_id")
    }

    /// Whether it uses outputs of earlier steps, which exist only after they ran.
    pub fn names_steps(&self) -> bool {
        self.0.roots.contains("steps")
    }
}

impl Names {
    /// Catches panics of the engine, which some numbers cause, such as a slice with the smallest
    /// step.
    fn run<T>(&self, render: impl FnOnce() -> Result<T, minijinja::Error>) -> Result<T, Fault> {
        match catch_unwind(AssertUnwindSafe(render)) {
            Ok(rendered) => rendered.map_err(|error| self.fault(&error)),
            Err(_) => Err(Fault::Broken(CRASHED.to_owned())),
        }
    }

    fn fault(&self, error: &minijinja::Error) -> Fault {
        match language::undefined(error) {
            Some(name) => Fault::Absent(self.absent(name)),
            None => Fault::Broken(language::text(error)),
        }
    }

    /// The error text for a name without a value.
    fn absent(&self, name: &str) -> String {
        let root = name.split(['.', '[']).next().unwrap_or(name);
        match self.object_lacks {
            Some(field) if root == "object" || root == "signed_url" => format!("no field {field}"),
            _ if check::is_field(root) => format!("no field {name}"),
            _ => format!("no {name}"),
        }
    }
}

fn compiled<T>(
    source: &str,
    compile: impl FnOnce() -> Result<T, minijinja::Error>,
) -> Result<T, TemplateError> {
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(compiled) => compiled.map_err(|error| refused(source, &error)),
        Err(_) => Err(TemplateError {
            message: CRASHED.to_owned(),
            range: None,
        }),
    }
}

fn roots(named: &std::collections::HashSet<String>) -> BTreeSet<String> {
    named
        .iter()
        .filter_map(|name| name.split('.').next())
        .map(str::to_owned)
        .collect()
}

/// The expression of a source that is one `{{ }}` and nothing else. With several parts, `}} … {{`
/// remains inside the outer braces and does not parse.
fn single_expression(source: &str) -> Option<minijinja::Expression<'static, 'static>> {
    let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    language::ENVIRONMENT
        .compile_expression_owned(inner.to_owned())
        .ok()
}

fn refused(source: &str, error: &minijinja::Error) -> TemplateError {
    let range = error.range().map(|range| {
        let end = range.end.min(source.len());
        range.start.min(end)..end
    });
    TemplateError {
        message: language::text(error),
        range: range.filter(|range| source.get(range.clone()).is_some()),
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source())
    }
}

#[cfg(test)]
mod tests;
