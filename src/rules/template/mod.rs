//! Templates and expressions: the text of a rule that an event fills in.
//!
//! A template knows only [`Names`]; [`super::context`] gives them values. Both kinds are
//! parsed and every name is checked when the file is loaded, so that `rules check` finds a
//! typing error. Later only a value that an event lacks can fail, which is no crash.

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

/// A template or expression that cannot be accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct TemplateError {
    pub message: String,
    /// Bytes of the source that are at fault.
    pub range: Option<Range<usize>>,
}

/// Which names a template may use beside those of the event.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Ids of the steps before it in its rule: `steps.<id>` may be named.
    pub earlier_steps: &'a [String],
    pub part_of: PartOf,
}

/// What a template is part of. Each may use more names than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartOf {
    /// Of `when`, or of a step that sends nothing.
    Rule,
    /// Of a request, which may call `signed_url`.
    Notify,
    /// Of a destination's message, which may tell of a dead task: `failure` may be named.
    Message,
}

impl Scope<'_> {
    /// The scope of `when`.
    pub const WHEN: Self = Self {
        earlier_steps: &[],
        part_of: PartOf::Rule,
    };

    /// The scope of a destination's message.
    pub const MESSAGE: Self = Self {
        earlier_steps: &[],
        part_of: PartOf::Message,
    };
}

/// Why a template gave nothing for an event.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// It names something that the event, or the room, does not have.
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
    /// The field that is missing where there is no `object`.
    pub(super) object_lacks: Option<&'static str>,
}

/// A text with `{{ … }}` parts.
#[derive(Clone)]
pub struct Template(Arc<CompiledTemplate>);

struct CompiledTemplate {
    source: String,
    /// Its name in the environment, which decides how values are written.
    name: &'static str,
    /// A copy of the shared environment that holds this one template: minijinja lends
    /// compiled templates out of an environment only.
    environment: Environment<'static>,
    /// The expression inside, when the template is a single `{{ }}`.
    single: Option<minijinja::Expression<'static, 'static>>,
    roots: BTreeSet<String>,
}

/// A path and query, a template. What is filled in is data and adds no part to them.
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

/// The one template of each copied environment. Its ending asks for no escaping.
const NAME: &str = "template";

impl Template {
    /// Compiles `source`; names that do not exist in `scope` are refused with the closest known one.
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

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The text with every part filled in.
    pub fn render(&self, names: &Names) -> Result<String, Fault> {
        names.run(|| {
            let template = self.0.environment.get_template(self.0.name)?;
            template.render(names.values.clone())
        })
    }

    /// The value of a template that is a single `{{ }}`, with its type; a text otherwise.
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
            // Writing it out fails, where it can with the name of what is absent.
            None => self.render(names).map(Value::String),
            Some(value) => value.map_err(|error| Fault::Broken(error.to_string())),
        }
    }

    /// Fills in a message for `chat`, which decides how values are written. The text was
    /// checked when its file was loaded.
    pub(super) fn message(source: &str, chat: &Chat, names: &Names) -> Result<String, Fault> {
        names.run(|| {
            let values = names.values.clone();
            language::ENVIRONMENT.render_named_str(chat.name(), source, values)
        })
    }

    /// Whether it needs an object: it names `object` or signs a link to it.
    pub fn names_object(&self) -> bool {
        self.0.roots.contains("object") || self.0.roots.contains("signed_url")
    }
}

impl Address {
    /// Compiles `source`; names that do not exist in `scope` are refused with the closest known one.
    pub fn parse(source: &str, scope: Scope<'_>) -> Result<Self, TemplateError> {
        let environment = language::for_addresses();
        Template::compile(environment, language::ADDRESS, source, scope).map(Self)
    }

    /// The template, which writes values as they have to be in a URL.
    pub fn template(&self) -> &Template {
        &self.0
    }

    /// Whether it is the same for every event.
    pub fn is_fixed(&self) -> bool {
        !["{{", "{%"]
            .iter()
            .any(|code| self.0.source().contains(code))
    }
}

impl Expression {
    /// Compiles `source`; names that do not exist in `scope` are refused with the closest known one.
    pub fn parse(source: &str, scope: Scope<'_>) -> Result<Self, TemplateError> {
        let tokens = scan::of_expression(source);
        check::too_much(&tokens).map_or(Ok(()), Err)?;
        // An expression that is nothing but an absent name evaluates to undefined, which
        // is no error yet. `not` asks for its truth, and that error says which name.
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

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the condition holds.
    pub fn holds(&self, names: &Names) -> Result<bool, Fault> {
        let negated = names.run(|| self.0.negated.eval(names.values.clone()))?;
        Ok(!negated.is_true())
    }

    /// Whether it asks which rule or task it is evaluated for.
    pub(super) fn names_its_task(&self) -> bool {
        self.0.roots.contains("rule") || self.0.roots.contains("task_id")
    }

    /// Whether it asks what earlier steps produced, which is known only when they ran.
    pub fn names_steps(&self) -> bool {
        self.0.roots.contains("steps")
    }
}

impl Names {
    /// Runs the engine, which crashes on some numbers, such as a slice with the smallest step.
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

    /// The reason in the words of rules, for a name that has no value.
    fn absent(&self, name: &str) -> String {
        let root = name.split(['.', '[']).next().unwrap_or(name);
        match self.object_lacks {
            Some(field) if root == "object" || root == "signed_url" => format!("no field {field}"),
            _ if check::is_field(root) => format!("no field {name}"),
            _ => format!("no {name}"),
        }
    }
}

/// What compiling gives, or why `source` is refused.
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

/// The expression of a source that is one `{{ }}` and nothing else. A source with several
/// parts leaves `}} … {{` between the outer braces, which is no expression.
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
