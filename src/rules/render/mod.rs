//! Fills in a step's templates, so that it is ready to run.
//!
//! Pure: the same input gives the same bytes, so every try of a step does the same, and `rules try`
//! shows what the service would do. Event values are not trusted to make a valid key, header or
//! path: the results are checked here.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition;
use super::context::Context;
use super::rule::{Action, RoomEntry, Rule, RuleSet, Step, TagSource, TagStep};
use super::template::{Fault, Names, Template};
use crate::model::destination::Destination;
use crate::model::failure::{Failure, FailureKind};
use crate::model::step::{Rendered, Tag};
use crate::model::task::StepNo;

mod address;
mod body;
mod notify;
mod rename;

#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, and moves at once into its action"
)]
pub enum Rendering {
    Run(Rendered),
    /// The reason why its `if` does not hold.
    Skip(String),
}

/// Characters of a template that an error quotes.
const SHOWN_SOURCE: usize = 200;

/// Renders step number `step` of a rule.
///
/// Before the task runs (a context without outputs), an `if` that uses outputs of earlier steps
/// counts as true. Errors are `Template` when a name is absent or a filter refuses, `Invalid` when
/// the result is not an acceptable key, header, path or message, and `Forbidden` when the
/// destination is not among `destinations`.
pub fn render(
    rules: &RuleSet,
    rule: &Rule,
    step: StepNo,
    context: &Context<'_>,
    destinations: &BTreeMap<String, Arc<Destination>>,
) -> Result<Rendering, Failure> {
    let Some((found, earlier)) = split(&rule.steps, step) else {
        let reason = format!("rule {:?} has no step number {step}", rule.name);
        return Err(Failure::new(FailureKind::Invalid, reason));
    };
    let room = condition::room(rules, &context.event.fields);
    let scene = Scene {
        rule,
        number: step,
        step: found,
        earlier,
        context,
        room,
        names: LazyCell::new(Box::new(move || context.names(&rule.name, room))),
    };
    if let Some(reason) = scene.skipped()? {
        return Ok(Rendering::Skip(reason));
    }
    let rendered = match &found.action {
        Action::Rename(rename) => Rendered::Rename(rename::rename(&scene, rename)?),
        Action::Tag(tag) => Rendered::Tag(scene.tag(tag)?),
        Action::Notify(notify) => Rendered::Notify(notify::notify(&scene, notify, destinations)?),
    };
    Ok(Rendering::Run(rendered))
}

fn split(steps: &[Step], number: StepNo) -> Option<(&Step, &[Step])> {
    let number = usize::from(number);
    Some((steps.get(number)?, &steps[..number]))
}

struct Scene<'a> {
    rule: &'a Rule,
    number: StepNo,
    step: &'a Step,
    earlier: &'a [Step],
    context: &'a Context<'a>,
    room: Option<&'a RoomEntry>,
    /// Built on first use: many steps have no templates.
    names: LazyCell<Names, Box<dyn FnOnce() -> Names + 'a>>,
}

impl Scene<'_> {
    fn skipped(&self) -> Result<Option<String>, Failure> {
        let Some(expression) = &self.step.condition else {
            return Ok(None);
        };
        if self.context.outputs.is_none() && expression.names_steps() {
            return Ok(None);
        }
        condition::why_not(expression, &self.names)
            .map_err(|reason| Failure::new(FailureKind::Template, reason))
    }

    fn tag(&self, tag: &TagStep) -> Result<Tag, Failure> {
        let tags = match &tag.tags {
            TagSource::ByRoom => self.room_tags()?,
            TagSource::Given(templates) => templates
                .iter()
                .map(|(key, template)| {
                    Ok((key.clone(), self.text(&format!("tag {key:?}"), template)?))
                })
                .collect::<Result<_, Failure>>()?,
        };
        Ok(Tag {
            tags,
            mode: tag.mode,
            storage: tag.storage,
            on_invalid: tag.on_invalid,
            objects: tag.objects,
        })
    }

    /// The tags of the room's entry, and `room`, unless the entry has a tag of that name.
    fn room_tags(&self) -> Result<BTreeMap<String, String>, Failure> {
        let Some(room_id) = &self.context.event.fields.room else {
            let reason = "tag by_room: no field room_id";
            return Err(Failure::new(FailureKind::Template, reason));
        };
        let mut tags = self.room.map(|room| room.tags.clone()).unwrap_or_default();
        tags.entry("room".to_owned())
            .or_insert_with(|| room_id.clone());
        Ok(tags)
    }

    fn text(&self, what: &str, template: &Template) -> Result<String, Failure> {
        template
            .render(&self.names)
            .map_err(|fault| unfilled(what, template.source(), &fault))
    }
}

fn unfilled(what: &str, source: &str, fault: &Fault) -> Failure {
    let cut = source.char_indices().nth(SHOWN_SOURCE);
    let shown = cut.map_or_else(
        || source.to_owned(),
        |(end, _)| format!("{}…", &source[..end]),
    );
    Failure::new(FailureKind::Template, format!("{what} `{shown}`: {fault}"))
}

fn invalid(reason: String) -> Failure {
    Failure::new(FailureKind::Invalid, reason)
}

#[cfg(test)]
mod tests;
