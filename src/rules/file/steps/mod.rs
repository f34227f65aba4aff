//! `steps:` what a rule does: one action each, and when and how long it runs.

mod notify;
mod rename;
mod tag;

use schemars::JsonSchema;
use serde::Deserialize;

use super::load::Loading;
use super::rules::KnownNames;
use super::scalar::Timeout;
use crate::model::transition;
use crate::rules::rule::{Action, Condition, Step};
use crate::rules::template::{PartOf, Scope};
use crate::yaml::shape::{At, Deferred, ShortOrLong};
use crate::yaml::tree::NodeId;

/// One step: one action, and when and how long it runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step")]
pub(crate) struct Raw {
    /// Unique in its rule; the action's name by default. Later steps read `steps.<id>.…`.
    id: Option<At<String>>,
    /// An expression of the template language; the step is skipped unless it holds.
    #[serde(rename = "if")]
    condition: Option<At<String>>,
    /// Timeout of one try of the step.
    timeout: Option<Timeout>,
    /// What happens when the tries are used up: `stop` (default) or `continue`.
    on_failure: Option<OnFailure>,
    /// Move the recording to another key.
    rename: Option<Deferred<rename::Raw>>,
    /// Put tags on the recording; `by_room` for the tags of the rooms table.
    tag: Option<Deferred<ShortOrLong<tag::Raw>>>,
    /// Send a request to a destination; its name alone sends the default document.
    notify: Option<Deferred<ShortOrLong<notify::Raw>>>,
}

/// What happens to the task when a step's tries are used up.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    /// The task is dead.
    Stop,
    /// The task continues with the next step.
    Continue,
}

#[derive(Debug, Clone, Copy)]
struct Surroundings<'s> {
    /// `None` when names are not checked.
    names: Option<&'s KnownNames<'s>>,
    /// `None` when the rule's `when` is wrong.
    condition: Option<&'s Condition>,
    earlier: &'s [String],
}

impl<'s> Surroundings<'s> {
    fn scope(self, part_of: PartOf) -> Scope<'s> {
        Scope {
            earlier_steps: self.earlier,
            part_of,
        }
    }
}

impl Loading<'_> {
    pub(super) fn steps(
        &mut self,
        section: &Deferred<Vec<Deferred<Raw>>>,
        names: Option<&KnownNames<'_>>,
        condition: Option<&Condition>,
    ) -> Option<Vec<Step>> {
        let entries = self.read(section)?;
        if entries.is_empty() {
            let help = format!("give it a step: {}", listed("or"));
            self.refuse(section.at, "the rule has no steps", help);
        }
        let mut ids: Vec<String> = Vec::new();
        let mut steps = Vec::new();
        for entry in &entries {
            let surroundings = Surroundings {
                names,
                condition,
                earlier: &ids,
            };
            let step = self
                .read(entry)
                .and_then(|raw| self.step(entry.at, raw, surroundings));
            steps.extend(step);
            // Also for a wrong step, so that its problem is not reported again in later ones.
            ids.extend(self.presumed_id(entry.at));
        }
        (steps.len() == entries.len()).then_some(steps)
    }

    fn step(&mut self, at: NodeId, raw: Raw, surroundings: Surroundings<'_>) -> Option<Step> {
        let condition = raw.condition.as_ref();
        let condition =
            condition.map(|text| self.expression(text, surroundings.scope(PartOf::Rule)));
        let given = Action::NAMES.into_iter();
        let given = given.filter(|name| self.tree.get(at, name).is_some());
        if given.count() != 1 {
            let help = format!(
                "a step has one of {}, and optionally `id`, `if`, `timeout` and `on_failure`",
                listed("and")
            );
            self.refuse(at, "a step has exactly one action", help);
            return None;
        }
        let action = if let Some(rename) = &raw.rename {
            self.rename(rename, surroundings).map(Action::Rename)
        } else if let Some(tag) = &raw.tag {
            self.tag(tag, surroundings).map(Action::Tag)
        } else {
            let notify = raw.notify.as_ref()?;
            self.notify(notify, surroundings).map(Action::Notify)
        };
        let id = self.step_id(at, raw.id.as_ref(), surroundings.earlier);
        Some(Step {
            id: id?,
            condition: condition.map_or(Some(None), |condition| condition.map(Some))?,
            timeout: raw.timeout.map(|Timeout(timeout)| timeout),
            on_failure: match raw.on_failure {
                Some(OnFailure::Continue) => transition::OnFailure::Continue,
                Some(OnFailure::Stop) | None => transition::OnFailure::Stop,
            },
            action: action?,
        })
    }

    /// The id of a step, even if the step is wrong.
    fn presumed_id(&self, step: NodeId) -> Option<String> {
        if let Some(id) = self.tree.get(step, "id") {
            return self.tree.value(id).map(str::to_owned);
        }
        let mut actions = Action::NAMES.into_iter();
        let action = actions.find(|action| self.tree.get(step, action).is_some());
        action.map(str::to_owned)
    }

    /// A step's id, which templates of later steps can use.
    fn step_id(
        &mut self,
        step: NodeId,
        given: Option<&At<String>>,
        earlier: &[String],
    ) -> Option<String> {
        let id = self.presumed_id(step)?;
        let at = given.map_or(step, |id| id.at);
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if id.starts_with(|first: char| first.is_ascii_digit())
            || id.is_empty()
            || !id.chars().all(word)
        {
            let message = format!("{} cannot be a step's id", self.shown(at));
            let help = "an id has letters, digits and `_`, and does not begin with a digit";
            self.refuse(at, message, help);
            return None;
        }
        if earlier.contains(&id) {
            let shown = given.map_or_else(|| format!("`{id}`"), |id| self.shown(id.at));
            let message = format!("a second step of this rule has the id {shown}");
            self.refuse(at, message, "give one of them an `id` of its own");
            return None;
        }
        Some(id)
    }
}

/// All actions: `` `rename`, `tag` or `notify` ``.
fn listed(before_last: &str) -> String {
    let [first @ .., last] = Action::NAMES.map(|name| format!("`{name}`"));
    format!("{} {before_last} {last}", first.join(", "))
}
