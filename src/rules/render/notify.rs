//! The request of a notification: address, headers and exactly the bytes of its body.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::{Scene, address, invalid, unfilled};
use crate::model::destination::{Destination, Format};
use crate::model::failure::{Failure, FailureKind};
use crate::model::step::Notify;
use crate::rules::document::document;
use crate::rules::rule::{BodyTemplate, NotifyStep};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn notify(
    scene: &Scene<'_>,
    step: &NotifyStep,
    destinations: &BTreeMap<String, Arc<Destination>>,
) -> Result<Notify, Failure> {
    let Some(destination) = destinations.get(&step.destination) else {
        let name = &step.destination;
        let reason = format!("destination {name:?} is not configured: add it to the rules file");
        return Err(Failure::new(FailureKind::Forbidden, reason));
    };
    let (content_type, body) = body(scene, step, destination)?;
    let mut headers = headers(scene, step)?;
    let own_type = headers
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|at| headers.remove(at).1);
    Ok(Notify {
        destination: step.destination.clone(),
        method: step.method.clone(),
        url: address(scene, step, &destination.url)?,
        headers,
        content_type: own_type.unwrap_or_else(|| content_type.to_owned()),
        body,
        webhook_id: scene.context.task.webhook_id(scene.number),
        timeout: scene.step.timeout,
    })
}

fn address(scene: &Scene<'_>, step: &NotifyStep, base: &Url) -> Result<Url, Failure> {
    let Some(template) = &step.path else {
        return Ok(base.clone());
    };
    let path = scene.text("path", template)?;
    address::below(base, &path).map_err(|fault| {
        // A query is where keys are.
        let shown = path.split('?').next().unwrap_or_default();
        invalid(format!("the path {shown:?} {fault}"))
    })
}

/// Renders the headers. A header is where tokens are, so its text is in no reason.
fn headers(scene: &Scene<'_>, step: &NotifyStep) -> Result<Vec<(String, String)>, Failure> {
    let rendered = step.headers.iter().map(|(name, template)| {
        let value = template.render(&scene.names).map_err(|fault| {
            Failure::new(FailureKind::Template, format!("header {name}: {fault}"))
        })?;
        check_header(name, &value).map_err(invalid)?;
        Ok((name.clone(), value))
    });
    rendered.collect()
}

/// A line break in a value would begin a header of its own.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    HeaderName::try_from(name).map_err(|_| format!("{name:?} is not a header's name"))?;
    HeaderValue::from_str(value)
        .map_err(|_| format!("header {name} is not visible ASCII; `| urlencode` makes it so"))?;
    Ok(())
}

fn body(
    scene: &Scene<'_>,
    step: &NotifyStep,
    destination: &Destination,
) -> Result<(&'static str, Bytes), Failure> {
    if let Some(template) = &step.body {
        // A body that is one text is sent as it is, not as a JSON string.
        return match fill(scene, template)? {
            Value::String(text) => Ok((TEXT, text.into())),
            value => Ok((JSON, value.to_string().into())),
        };
    }
    match step.format.unwrap_or(destination.format) {
        Format::Aftertake => {
            let document = document(scene.context, scene.rule, scene.earlier, scene.room);
            let bytes = serde_json::to_vec(&document)
                .map_err(|error| invalid(format!("the document cannot be written: {error}")))?;
            Ok((JSON, bytes.into()))
        }
        Format::Callback => Ok((JSON, scene.context.event.body.clone())),
        format => Err(Failure::new(
            FailureKind::Unsupported,
            format!(
                "format {:?} is not built in this version: give the step a `body`",
                format.name()
            ),
        )),
    }
}

fn fill(scene: &Scene<'_>, template: &BodyTemplate) -> Result<Value, Failure> {
    match template {
        BodyTemplate::Literal(value) => Ok(value.clone()),
        BodyTemplate::Text(leaf) => leaf
            .value(&scene.names)
            .map_err(|fault| unfilled("body", leaf, &fault)),
        BodyTemplate::List(items) => items.iter().map(|item| fill(scene, item)).collect(),
        BodyTemplate::Map(entries) => entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), fill(scene, value)?)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::step::Rendered;
    use crate::rules::fixtures::{self, event, notify_with, rule, rules, template};
    use crate::rules::render::{Rendering, render};
    use serde_json::json;
    use std::time::Duration;

    fn sent(change: impl FnOnce(&mut NotifyStep)) -> Result<Notify, String> {
        let mut step = notify_with(change);
        step.timeout = Some(Duration::from_secs(20));
        let rules = rules(vec![rule(vec![step])]);
        let event = event();
        let context = fixtures::context(&event);
        match render(
            &rules,
            &rules.rules[0],
            0,
            &context,
            &fixtures::destinations(),
        ) {
            Ok(Rendering::Run(Rendered::Notify(notify))) => Ok(notify),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.to_string()),
        }
    }

    fn text(source: &str) -> BodyTemplate {
        BodyTemplate::Text(template(source))
    }

    #[test]
    fn default_notification_is_the_document() {
        let notify = sent(|_| ()).unwrap();
        let event = event();
        assert_eq!(notify.destination, "lms");
        assert_eq!(notify.url.as_str(), "https://lms.example.com/hooks?k=v");
        assert_eq!(notify.content_type, "application/json");
        assert_eq!(notify.timeout, Some(Duration::from_secs(20)));
        let task = fixtures::context(&event).task;
        assert_eq!(notify.webhook_id, task.webhook_id(0));
        let body: Value = serde_json::from_slice(&notify.body).unwrap();
        assert_eq!(body["data"]["rule"], "archive");
        assert!(
            notify
                .body
                .starts_with(br#"{"type":"recording.completed","timestamp":"#)
        );
    }

    #[test]
    fn callback_format_is_the_body_as_it_came() {
        let notify = sent(|step| step.format = Some(Format::Callback)).unwrap();
        assert_eq!(notify.body, event().body);
        assert_eq!(notify.content_type, "application/json");
    }

    #[test]
    fn format_that_is_not_built_is_named() {
        assert_eq!(
            sent(|step| step.format = Some(Format::WeCom)).unwrap_err(),
            "unsupported: format \"wecom\" is not built in this version: give the step a `body`"
        );
    }

    #[test]
    fn leaf_that_is_one_expression_keeps_its_type() {
        for (source, expected) in [
            ("{{ height }}", json!(720)),
            ("{{- height -}}\n", json!(720)),
            ("{{ height }} ", json!(720)),
            ("{{ height >= 720 }}", json!(true)),
            ("{{ event.extra }}", json!({"a": 1})),
            ("{{ event.null }}", json!(null)),
            ("{{ steps.first.status }}", json!(200)),
            ("{{ room.tags }}", json!({"department": "teaching"})),
            ("{{ [height, 'x'] }}", json!([720, "x"])),
            ("{{ 'a' if height < 1 }}", json!("")),
            ("{{ '}}' ~ '{{' }}", json!("}}{{")),
            (
                "{{ event.extra.a | date('%FT%TZ') }}",
                json!("1970-01-01T00:00:01Z"),
            ),
            ("{{ height }}p", json!("720p")),
            ("{{ height }}{{ height }}", json!("720720")),
            ("plain", json!("plain")),
        ] {
            let body = BodyTemplate::Map(vec![("k".into(), text(source))]);
            let notify = sent(|step| step.body = Some(body)).unwrap();
            let body: Value = serde_json::from_slice(&notify.body).unwrap();
            assert_eq!(body, json!({"k": expected}), "{source}");
        }
    }

    #[test]
    fn body_that_is_one_text_is_sent_as_text() {
        let notify = sent(|step| step.body = Some(text("room {{ room_id }}"))).unwrap();
        assert_eq!(notify.body, "room class-7");
        assert_eq!(notify.content_type, "text/plain; charset=utf-8");
        let value = |step: &mut NotifyStep| {
            step.body = Some(BodyTemplate::List(vec![BodyTemplate::Literal(json!(null))]));
        };
        assert_eq!(sent(value).unwrap().body, "[null]");
    }

    #[test]
    fn absent_name_in_a_body_is_named_with_its_leaf() {
        let body = || BodyTemplate::List(vec![text("{{ stream_name }}")]);
        assert_eq!(
            sent(|step| step.body = Some(body())).unwrap_err(),
            "template: body `{{ stream_name }}`: no field stream_name"
        );
        let long = format!("{}{{{{ stream_name }}}}", "录".repeat(300));
        let failure = sent(|step| step.body = Some(text(&long))).unwrap_err();
        assert_eq!(failure.matches('录').count(), SHOWN);
    }

    const SHOWN: usize = crate::rules::render::SHOWN_SOURCE;

    #[test]
    fn headers_are_rendered_and_checked() {
        let with = |name: &str, source: &str| {
            let header = (name.to_owned(), template(source));
            sent(|step| step.headers = vec![header])
        };
        let notify = with("X-Room", "{{ room_id }}").unwrap();
        assert_eq!(notify.headers, [("X-Room".into(), "class-7".into())]);
        let notify = with("content-TYPE", "application/vnd.{{ room_id }}+json").unwrap();
        assert!(notify.headers.is_empty());
        assert_eq!(notify.content_type, "application/vnd.class-7+json");
        for (name, source, expected) in [
            (
                "X-Room",
                r#"{{ "a\r\nX-Evil: 1" }}"#,
                "invalid: header X-Room is not visible ASCII; `| urlencode` makes it so",
            ),
            ("X Room", "a", "invalid: \"X Room\" is not a header's name"),
            (
                "X-Room",
                "{{ stream_name }}",
                "template: header X-Room: no field stream_name",
            ),
        ] {
            assert_eq!(with(name, source).unwrap_err(), expected);
        }
    }

    #[test]
    fn path_goes_below_the_destination() {
        let with = |source: &str| sent(|step| step.path = Some(template(source)));
        assert_eq!(
            with("rooms/{{ room_id }}?h={{ height }}")
                .unwrap()
                .url
                .as_str(),
            "https://lms.example.com/hooks/rooms/class-7?k=v&h=720"
        );
        assert_eq!(
            with("{{ '..' }}/x").unwrap_err(),
            "invalid: the path \"../x\" has a segment . or .."
        );
    }

    #[test]
    fn destination_that_is_gone_is_named() {
        assert_eq!(
            sent(|step| step.destination = "gone".into()).unwrap_err(),
            "forbidden: destination \"gone\" is not configured: add it to the rules file"
        );
    }
}
