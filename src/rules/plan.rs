//! Plans an event: the tasks of the rules that match, and why the others do not.
//!
//! Pure, so that `rules try` shows exactly what the service would do.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::condition::{self, FieldValues, Unmet};
use super::context::{Context, lacking};
use super::rule::{LaneOf, RoomEntry, Rule, RuleSet, Step};
use super::template::{Expression, Names};
use crate::model::event::Event;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::TaskId;
use crate::model::plan::{OrderKey, Plan, PlannedTask, Skipped, Turn};
use crate::model::recording::Place;
use crate::model::task::Lane;

/// Generation 0 is the event's first plan; each full replay adds one.
pub fn plan(rules: &RuleSet, event: &Event, generation: u32) -> Plan {
    let subject = Planning::new(rules, event, generation);
    let tasks = rules
        .rules
        .iter()
        .filter_map(|rule| subject.task(rule).ok());
    Plan {
        revision: rules.revision,
        tasks: tasks.collect(),
    }
}

/// Every rule that does not match the event, with its reason, in the order of the rules.
///
/// Reasons depend only on the event and the rules, not on the time, so they are not stored.
pub fn skipped(rules: &RuleSet, event: &Event) -> Vec<Skipped> {
    let subject = Planning::new(rules, event, 0);
    let skipped = rules.rules.iter().filter_map(|rule| {
        let unmet = subject.task(rule).err()?;
        Some(Skipped {
            rule: rule.name.clone(),
            reason: unmet.to_string(),
        })
    });
    skipped.collect()
}

/// The lane of a step, and whether it needs the recording's turn. `None` when the step needs an
/// object and there is none; no planned task has such a step.
pub fn lane_and_turn(step: &Step, place: Option<&Place>) -> Option<(Lane, Turn)> {
    let turn = if step.action.changes_object() {
        Turn::Needed
    } else {
        Turn::NotNeeded
    };
    let lane = match step.action.needs().lane {
        LaneOf::RecordingsBucket => Lane::Bucket(place?.bucket.clone()),
        LaneOf::Destination(name) => Lane::Destination(name.to_owned()),
    };
    Some((lane, turn))
}

struct Planning<'a> {
    event: &'a Event,
    generation: u32,
    fields: FieldValues<'a>,
    place: Option<Place>,
    room: Option<&'a RoomEntry>,
    buckets: &'a BTreeSet<String>,
    /// Values for `if`, the same for all rules.
    names: OnceCell<Names>,
}

impl<'a> Planning<'a> {
    fn new(rules: &'a RuleSet, event: &'a Event, generation: u32) -> Self {
        Self {
            event,
            generation,
            fields: event.fields.entries().collect(),
            place: event.fields.place(),
            room: condition::room(rules, &event.fields),
            buckets: &rules.buckets,
            names: OnceCell::new(),
        }
    }

    /// The rule's task if it matches, or why it is skipped.
    fn task<'s>(&'s self, rule: &'s Rule) -> Result<PlannedTask, Unmet<'s>> {
        let event_type = &self.event.fields.event_type;
        let names = |expression: &Expression| self.names(rule, expression);
        condition::check(&rule.when, event_type, &self.fields, names)?;
        let place = self.place.as_ref();
        if place.is_none() && rule.steps.iter().any(|step| step.action.needs_object()) {
            return Err(Unmet::Absent(lacking(&self.event.fields)));
        }
        let (lane, turn) = rule
            .steps
            .first()
            .and_then(|step| lane_and_turn(step, place))
            .ok_or_else(|| Unmet::InWords("it has no steps".to_owned()))?;
        let id = self.id(rule);
        Ok(PlannedTask {
            id,
            rule: rule.name.clone(),
            generation: self.generation,
            lane,
            turn,
            order_key: self.order_key(rule),
            dead_on_arrival: self.doom(rule),
            on_dead: rule.on_dead.clone(),
        })
    }

    fn id(&self, rule: &Rule) -> TaskId {
        TaskId::derive(self.event.id, &rule.name, self.generation)
    }

    /// Built once, except for an expression that uses the rule or the task.
    fn names(&self, rule: &Rule, expression: &Expression) -> Cow<'_, Names> {
        let gather =
            || Context::before_running(self.event, self.id(rule)).names(&rule.name, self.room);
        if expression.names_its_task() {
            Cow::Owned(gather())
        } else {
            Cow::Borrowed(self.names.get_or_init(gather))
        }
    }

    /// Events without the `order_by` field are not ordered.
    fn order_key(&self, rule: &Rule) -> Option<OrderKey> {
        let value = self.fields.get(rule.order_by.as_deref()?)?;
        let value = condition::as_text(value);
        Some(OrderKey::of(&rule.name, &value, rule.order_blocks))
    }

    /// The failure of a task that would change an object in a bucket that is not configured.
    fn doom(&self, rule: &Rule) -> Option<Failure> {
        let bucket = &self.place.as_ref()?.bucket;
        if self.buckets.contains(bucket) || !rule.changes_object() {
            return None;
        }
        Some(Failure::new(
            FailureKind::Forbidden,
            format!(
                "bucket {bucket:?} is not configured: add it under `buckets` and retry the task"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::EventType;
    use crate::rules::fixtures::{
        address, event, expression, glob, notify_step, notify_with, rename_step, rule, rules,
        tag_step, template,
    };
    use crate::rules::rule::BodyTemplate;

    fn named(name: &str, mut rule: Rule) -> Rule {
        rule.name = name.to_owned();
        rule
    }

    #[test]
    fn every_rule_has_a_task_or_a_reason_in_order() {
        let mut lab = named("lab", rule(vec![notify_step("n", "lms")]));
        lab.when.matchers = vec![glob("room", "room_id", &["lab-*"])];
        let mut tall = named("tall", rule(vec![notify_step("n", "lms")]));
        tall.when.expression = Some(expression("height > 720"));
        let first = named(
            "first",
            rule(vec![rename_step("x/"), notify_step("n", "lms")]),
        );
        let last = named("last", rule(vec![notify_step("n", "lms")]));
        let rules = rules(vec![first, lab, tall, last]);
        let event = event();
        let plan = plan(&rules, &event, 3);
        assert_eq!(plan.revision, rules.revision);
        let tasks: Vec<_> = plan
            .tasks
            .iter()
            .map(|task| (task.rule.as_str(), task.lane.to_string(), task.turn))
            .collect();
        assert_eq!(
            tasks,
            [
                ("first", "bucket/b1".to_owned(), Turn::Needed),
                ("last", "destination/lms".to_owned(), Turn::NotNeeded),
            ]
        );
        assert_eq!(plan.tasks[0].id, TaskId::derive(event.id, "first", 3));
        assert_eq!(plan.tasks[0].generation, 3);
        let skipped = skipped(&rules, &event);
        let skipped: Vec<_> = skipped
            .iter()
            .map(|skipped| (skipped.rule.as_str(), skipped.reason.as_str()))
            .collect();
        assert_eq!(
            skipped,
            [
                ("lab", "room \"class-7\" matches none of lab-*"),
                ("tall", "if: height > 720 does not hold"),
            ]
        );
    }

    #[test]
    fn rule_that_needs_an_object_is_skipped_when_the_event_names_none() {
        let body = |source| {
            let leaf = BodyTemplate::Text(template(source));
            let list = BodyTemplate::List(vec![BodyTemplate::Literal(1.into()), leaf]);
            notify_with(|notify| notify.body = Some(BodyTemplate::Map(vec![("k".into(), list)])))
        };
        let header =
            |source| notify_with(|notify| notify.headers = vec![("X-A".into(), template(source))]);
        let path = |source| notify_with(|notify| notify.path = Some(address(source)));
        for (step, needs) in [
            (rename_step("x/"), true),
            (tag_step(), true),
            (body("{{ object.url }}"), true),
            (body("{{ signed_url('1h') }}"), true),
            (body("{{ room_id }}"), false),
            (header("{{ object.key }}"), true),
            (path("{{ object.name }}"), true),
            (path("{{ room_id }}"), false),
            (notify_step("n", "lms"), false),
        ] {
            let shown = format!("{step:?}");
            let rules = rules(vec![rule(vec![notify_step("n", "lms"), step])]);
            let mut event = event();
            let expect = |reason: &str| {
                if needs {
                    vec![reason.to_owned()]
                } else {
                    vec![]
                }
            };
            let reasons = |event: &Event| -> Vec<_> {
                let skipped = skipped(&rules, event);
                skipped.into_iter().map(|one| one.reason).collect()
            };
            event.fields.bucket = None;
            assert_eq!(reasons(&event), expect("no field obs_bucket"), "{shown}");
            event.fields.object = None;
            assert_eq!(reasons(&event), expect("no field obs_object"), "{shown}");
        }
    }

    #[test]
    fn task_for_a_bucket_that_is_not_configured_is_dead_on_arrival_when_it_would_touch_it() {
        let rules = rules(vec![
            named("touches", rule(vec![notify_step("n", "lms"), tag_step()])),
            named("tells", rule(vec![notify_step("n", "lms")])),
        ]);
        let mut event = event();
        event.fields.bucket = Some("strange".to_owned());
        let tasks = plan(&rules, &event, 0).tasks;
        assert_eq!(
            tasks[0].dead_on_arrival.as_ref().map(ToString::to_string),
            Some(
                "forbidden: bucket \"strange\" is not configured: add it under `buckets` and retry the task"
                    .to_owned()
            )
        );
        assert_eq!(tasks[1].dead_on_arrival, None);
    }

    #[test]
    fn order_key_is_the_rule_and_the_value_of_its_field() {
        for (field, expected) in [
            (None, None),
            (Some("room_id"), Some("class-7")),
            (Some("height"), Some("720")),
            (Some("stream_name"), None),
        ] {
            let mut rule = rule(vec![notify_step("n", "lms")]);
            rule.order_by = field.map(str::to_owned);
            rule.order_blocks = true;
            let plan = plan(&rules(vec![rule]), &event(), 0);
            let expected = expected.map(|value| OrderKey::of("archive", value, true));
            assert_eq!(plan.tasks[0].order_key, expected);
        }
    }

    #[test]
    fn job_over_is_planned_like_any_other_type() {
        let mut rule = rule(vec![notify_step("n", "lms")]);
        rule.when.events = vec![EventType::CloudRecordServerOver];
        let mut event = event();
        event.fields.event_type = EventType::from_name("CLOUD_RECORD_OVER");
        assert_eq!(plan(&rules(vec![rule]), &event, 0).tasks.len(), 1);
    }
}
