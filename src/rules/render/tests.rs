//! Rendering as a whole: step conditions, tags, links, and previews before a task runs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::event::Event;
use crate::model::step::Rendered;
use crate::rules::fixtures::{
    self, event, expression, notify_step, notify_with, rename_step, rule, rules, tag_step,
    tag_with, template,
};
use crate::rules::rule::BodyTemplate;

fn rendering(steps: Vec<Step>, number: StepNo, context: &Context<'_>) -> Result<Rendering, String> {
    let rules = rules(vec![rule(steps)]);
    let destinations = fixtures::destinations();
    render(&rules, &rules.rules[0], number, context, &destinations)
        .map_err(|failure| failure.to_string())
}

fn tags(step: Step, event: &Event) -> Result<Value, String> {
    match rendering(vec![step], 0, &fixtures::context(event))? {
        Rendering::Run(Rendered::Tag(tag)) => Ok(json!(tag.tags)),
        other => panic!("{other:?}"),
    }
}

fn body(source: &str, context: &Context<'_>) -> Result<String, String> {
    let step = notify_with(|notify| notify.body = Some(BodyTemplate::Text(template(source))));
    match rendering(vec![rename_step("x/"), step], 1, context)? {
        Rendering::Run(Rendered::Notify(notify)) => {
            Ok(String::from_utf8(notify.body.to_vec()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn step_whose_condition_does_not_hold_is_skipped_with_the_reason() {
    let event = event();
    for (source, expected) in [
        ("height > 720", Ok(Some("if: height > 720 does not hold"))),
        ("height >= 720", Ok(None)),
        ("stream_name == 'x'", Ok(Some("no field stream_name"))),
        ("steps.first.status == 200", Ok(None)),
        (
            "steps.first.status == 201",
            Ok(Some("if: steps.first.status == 201 does not hold")),
        ),
        ("steps.first.other", Ok(Some("no steps.first.other"))),
        (
            "room_id | date('%Y')",
            Err(
                "template: if: room_id | date('%Y'): \"class-7\" is not a time like 2026-03-02T01:00:01Z, nor seconds since 1970",
            ),
        ),
    ] {
        let mut step = notify_step("n", "lms");
        step.condition = Some(expression(source));
        let skipped = match rendering(vec![step], 0, &fixtures::context(&event)) {
            Ok(Rendering::Skip(reason)) => Ok(Some(reason)),
            Ok(Rendering::Run(_)) => Ok(None),
            Err(failure) => Err(failure),
        };
        let expected = expected
            .map(|reason| reason.map(str::to_owned))
            .map_err(str::to_owned);
        assert_eq!(skipped, expected, "{source}");
    }
}

#[test]
fn step_number_beyond_the_rule_is_a_failure() {
    let event = event();
    assert_eq!(
        rendering(vec![], 7, &fixtures::context(&event)),
        Err("invalid: rule \"archive\" has no step number 7".to_owned())
    );
}

#[test]
fn tags_by_room_are_those_of_its_entry_and_the_room() {
    let mut event = event();
    assert_eq!(
        tags(tag_step(), &event),
        Ok(json!({"department": "teaching", "room": "class-7"}))
    );
    event.fields.room = Some("own".into());
    assert_eq!(
        tags(tag_step(), &event),
        Ok(json!({"room": "entry's word"}))
    );
    event.fields.room = None;
    assert_eq!(
        tags(tag_step(), &event),
        Err("template: tag by_room: no field room_id".to_owned())
    );
}

#[test]
fn given_tags_are_rendered() {
    let event = event();
    assert_eq!(
        tags(
            tag_with("course", "{{ room.vars.channel }}-{{ height }}"),
            &event
        ),
        Ok(json!({"course": "lectures-720"}))
    );
    assert_eq!(
        tags(tag_with("course", "{{ room.vars.x }}"), &event),
        Err("template: tag \"course\" `{{ room.vars.x }}`: no room.vars.x".to_owned())
    );
}

#[test]
fn link_is_signed_for_the_time_asked_for() {
    let event = event();
    let mut context = fixtures::context(&event);
    context.sign_url = Some(Arc::new(|lifetime| {
        format!("https://signed/{}", lifetime.as_secs())
    }));
    assert_eq!(
        body("{{ signed_url('24h') }}", &context),
        Ok("https://signed/86400".to_owned())
    );
    assert_eq!(
        body("{{ signed_url(room_id) }}", &context),
        Err(
            "template: body `{{ signed_url(room_id) }}`: \"class-7\" is not a duration like 24h"
                .to_owned()
        )
    );
    context.place = None;
    assert_eq!(
        body("{{ object.key }}", &context),
        Err("template: body `{{ object.key }}`: no field obs_bucket".to_owned())
    );
}

#[test]
fn recorders_link_stands_in_until_the_recording_is_moved() {
    let mut event = event();
    event.fields.download_url = Some("https://recorder/x".into());
    let mut context = fixtures::context(&event);
    assert_eq!(
        body("{{ object.url }} ", &context),
        Ok("https://b1.obs/Record/a.b.mp4".into())
    );
    context.url = None;
    assert_eq!(
        body("{{ object.url }} ", &context),
        Ok("https://recorder/x".into())
    );
    context.place.as_mut().unwrap().key.push('x');
    assert_eq!(
        body("{{ object.url }} ", &context),
        Err("template: body `{{ object.url }} `: no object.url".into())
    );
}

#[test]
fn what_only_running_can_tell_is_shown_as_such_before() {
    let event = event();
    let context = Context::before_running(&event, fixtures::context(&event).task);
    for (source, expected) in [
        (
            "{{ steps.rename.key }}",
            "<steps.rename.key: known when it runs>",
        ),
        (
            "{{ steps.rename.body.a | upper }}!",
            "<STEPS.RENAME.BODY.A: KNOWN WHEN IT RUNS>!",
        ),
        (
            "{{ signed_url('24h') }}",
            "<signed_url: known when it runs>",
        ),
        ("{{ object.key }}", "Record/a.b.mp4"),
    ] {
        assert_eq!(body(source, &context), Ok(expected.to_owned()), "{source}");
    }
    let mut step = notify_step("n", "lms");
    step.condition = Some(expression("steps.first.status == 500"));
    let rendering = rendering(vec![step], 0, &context);
    assert!(matches!(rendering, Ok(Rendering::Run(_))), "{rendering:?}");
}
