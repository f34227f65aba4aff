//! The body of a notification: the exact bytes to send, and their content type.
//!
//! Signatures are added later, because they contain the time of sending.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{Scene, invalid, unfilled};
use crate::chat::{Chat, Kind};
use crate::model::destination::Destination;
use crate::model::failure::Failure;
use crate::rules::document::document;
use crate::rules::rule::{BodyTemplate, NotifyStep};
use crate::rules::template::Template;

const JSON: &str = "application/json";
/// Chinese chats ask for an explicit charset, as they also accept others.
const JSON_UTF_8: &str = "application/json; charset=utf-8";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn body(
    scene: &Scene<'_>,
    step: &NotifyStep,
    destination: &Destination,
    id: &str,
) -> Result<(&'static str, Bytes), Failure> {
    if let Some(template) = &step.body {
        // A body that is one text is sent as plain text, not as a JSON string.
        return match fill(scene, template)? {
            Value::String(text) => Ok((TEXT, text.into())),
            value => Ok((JSON, value.to_string().into())),
        };
    }
    let document = || document(scene.context, scene.rule, scene.earlier, scene.room);
    match step.format.unwrap_or(destination.format).into() {
        Kind::Document => Ok((JSON, written(&document())?)),
        Kind::Callback => Ok((JSON, scene.context.event.body.clone())),
        Kind::CloudEvent => Ok((CLOUD_EVENT, written(&document().cloud_event(id))?)),
        Kind::Message(chat) => Ok((JSON_UTF_8, message(scene, step, destination, chat)?)),
    }
}

fn written(document: &impl Serialize) -> Result<Bytes, Failure> {
    let bytes = serde_json::to_vec(document)
        .map_err(|error| invalid(format!("the document cannot be written: {error}")))?;
    Ok(bytes.into())
}

fn message(
    scene: &Scene<'_>,
    step: &NotifyStep,
    destination: &Destination,
    chat: &Chat,
) -> Result<Bytes, Failure> {
    let own = step.text.as_ref().map(Template::source);
    let Some(source) = own.or(destination.text.as_deref()) else {
        let (format, name) = (chat.name(), &destination.name);
        return Err(invalid(format!(
            "the format {format} needs a `text`, and neither the step nor destination {name:?} has one"
        )));
    };
    let text = Template::message(source, chat, &scene.names)
        .map_err(|fault| unfilled("text", source, &fault))?;
    if text.trim().is_empty() {
        return Err(invalid(
            "the message is empty, which no chat accepts".to_owned(),
        ));
    }
    Ok(chat.message(&text).to_string().into())
}

fn fill(scene: &Scene<'_>, template: &BodyTemplate) -> Result<Value, Failure> {
    match template {
        BodyTemplate::Literal(value) => Ok(value.clone()),
        BodyTemplate::Text(leaf) => leaf
            .value(&scene.names)
            .map_err(|fault| unfilled("body", leaf.source(), &fault)),
        BodyTemplate::List(items) => items.iter().map(|item| fill(scene, item)).collect(),
        BodyTemplate::Map(entries) => entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), fill(scene, value)?)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::model::destination::Format;
    use crate::model::event::Event;
    use crate::model::step::{Notify, Rendered};
    use crate::rules::fixtures::{self, event, notify_with, rule, rules, template};
    use crate::rules::render::{Rendering, render};

    fn sent(step: impl FnOnce(&mut NotifyStep)) -> Result<Notify, String> {
        sent_to(|_| (), step, &event())
    }

    fn sent_to(
        change: impl FnOnce(&mut Destination),
        step: impl FnOnce(&mut NotifyStep),
        event: &Event,
    ) -> Result<Notify, String> {
        let mut destinations = fixtures::destinations();
        change(Arc::make_mut(destinations.get_mut("lms").unwrap()));
        let rules = rules(vec![rule(vec![notify_with(step)])]);
        let context = fixtures::context(event);
        match render(&rules, &rules.rules[0], 0, &context, &destinations) {
            Ok(Rendering::Run(Rendered::Notify(notify))) => Ok(notify),
            other => Err(other.unwrap_err().to_string()),
        }
    }

    fn text(source: &str) -> BodyTemplate {
        BodyTemplate::Text(template(source))
    }

    #[test]
    fn callback_format_is_the_body_as_it_came() {
        let notify = sent(|step| step.format = Some(Format::Callback)).unwrap();
        assert_eq!(notify.body, event().body);
        assert_eq!(notify.content_type, "application/json");
    }

    #[test]
    fn cloud_event_has_the_attributes_that_every_one_needs() {
        let notify = sent(|step| step.format = Some(Format::CloudEvents)).unwrap();
        assert_eq!(notify.content_type, "application/cloudevents+json");
        let mut body: Value = serde_json::from_slice(&notify.body).unwrap();
        assert_eq!(body["data"]["room_id"], "class-7");
        body["data"].take();
        let expected = json!({
            "specversion": "1.0", "id": notify.webhook_id, "source": "/aftertake",
            "type": "recording.completed", "time": "2026-03-02T01:01:04Z",
            "datacontenttype": "application/json", "data": null,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn message_is_that_of_the_step_or_else_of_the_destination() {
        let chat = |to: &mut Destination| {
            to.format = Format::DingTalk;
            to.text = Some("of the destination: {{ room_id }}".into());
        };
        let own = |step: &mut NotifyStep| step.text = Some(template("of the step: {{ rule }}"));
        let body = |notify: Notify| String::from_utf8(notify.body.to_vec()).unwrap();
        let notify = sent_to(chat, |_| {}, &event()).unwrap();
        assert_eq!(notify.format, Format::DingTalk);
        assert_eq!(notify.content_type, "application/json; charset=utf-8");
        assert!(body(notify).contains(r#""of the destination: class-7""#));
        let notify = sent_to(chat, own, &event()).unwrap();
        assert!(body(notify).contains(r#""of the step: archive""#));
    }

    #[test]
    fn message_that_is_absent_or_empty_is_named() {
        let chat = |text: Option<&str>| {
            let text = text.map(str::to_owned);
            let change = |to: &mut Destination| (to.format, to.text) = (Format::WeCom, text);
            sent_to(change, |_| {}, &event()).unwrap_err()
        };
        for (text, expected) in [
            (
                None,
                "invalid: the format wecom needs a `text`, and neither the step nor destination \"lms\" has one",
            ),
            (
                Some("{{ ' ' }}\n"),
                "invalid: the message is empty, which no chat accepts",
            ),
            (
                Some("{{ stream_name }}"),
                "template: text `{{ stream_name }}`: no field stream_name",
            ),
        ] {
            assert_eq!(chat(text), expected);
        }
    }

    #[test]
    fn event_calls_nobody_to_a_chat() {
        let mut event = event();
        event.fields.room = Some("<!channel> & \"co\"".into());
        let source = "<!here> {{ room_id }} {{ room_id | safe }}";
        let safe = "<!channel> & \"co\"";
        for (format, value) in [
            (Format::Slack, "&lt;!channel&gt; &amp; \"co\""),
            (Format::Feishu, "＜!channel> & \"co\""),
            (Format::WeCom, "＜!channel> & \"co\""),
            (Format::DingTalk, safe),
        ] {
            let change = |to: &mut Destination| to.format = format;
            let own = |step: &mut NotifyStep| step.text = Some(template(source));
            let notify = sent_to(change, own, &event).unwrap();
            let body: Value = serde_json::from_slice(&notify.body).unwrap();
            let paths = ["/text/content", "/content/text", "/text"];
            let text = paths.iter().find_map(|path| body.pointer(path)?.as_str());
            assert_eq!(
                text,
                Some(&*format!("<!here> {value} {safe}")),
                "{format:?}"
            );
        }
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
}
