//! The request of a notification: format, URL and headers. Its body is built in `body`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{Scene, address, body, invalid};
use crate::chat;
use crate::model::destination::{Destination, Format};
use crate::model::failure::{Failure, FailureKind};
use crate::model::step::Notify;
use crate::rules::rule::NotifyStep;

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
    let format = format(step, destination)?;
    let webhook_id = scene.context.task.webhook_id(scene.number);
    let (content_type, body) = body::body(scene, step, destination, &webhook_id)?;
    let mut headers = headers(scene, step)?;
    let own_type = headers
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|at| headers.remove(at).1);
    Ok(Notify {
        destination: step.destination.clone(),
        method: step.method.clone(),
        url: address(scene, step, &destination.url)?,
        is_of_event: step.path.as_ref().is_some_and(|path| !path.is_fixed()),
        headers,
        content_type: own_type.unwrap_or_else(|| content_type.to_owned()),
        format,
        body,
        webhook_id,
        timeout: scene.step.timeout,
    })
}

/// The format of the request. Refuses a format that the destination's secrets do not sign. Loading
/// refuses it too, but rules of an earlier file may still have it.
fn format(step: &NotifyStep, destination: &Destination) -> Result<Format, Failure> {
    let format = step.format.unwrap_or(destination.format);
    if destination.secrets.is_empty() || chat::share_secrets(format, destination.format) {
        return Ok(format);
    }
    let (own, name) = (destination.format.name(), &destination.name);
    Err(invalid(format!(
        "destination {name:?} has a secret for the format {own}, and the step's format {} is not signed with it: give the step a destination of its own",
        format.name()
    )))
}

fn address(scene: &Scene<'_>, step: &NotifyStep, base: &Url) -> Result<Url, Failure> {
    let Some(template) = &step.path else {
        return Ok(base.clone());
    };
    let path = scene.text("path", template.template())?;
    address::below(base, &path).map_err(|fault| {
        // A query may hold keys.
        let shown = path.split('?').next().unwrap_or_default();
        invalid(format!("the path {shown:?} {fault}"))
    })
}

/// Errors do not quote header values, which may hold tokens.
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

/// A line break in a value would start another header.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    HeaderName::try_from(name).map_err(|_| format!("{name:?} is not a header's name"))?;
    HeaderValue::from_str(value)
        .map_err(|_| format!("header {name} is not visible ASCII; `| urlencode` makes it so"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Event;
    use crate::model::step::Rendered;
    use crate::rules::fixtures::{self, event, notify_with, rule, rules, template};
    use crate::rules::render::{Rendering, render};
    use serde_json::Value;
    use std::time::Duration;

    fn sent(change: impl FnOnce(&mut NotifyStep)) -> Result<Notify, String> {
        sent_to(|_| (), change)
    }

    fn sent_to(
        change: impl FnOnce(&mut Destination),
        step: impl FnOnce(&mut NotifyStep),
    ) -> Result<Notify, String> {
        notified(change, |_| (), step)
    }

    fn sent_of(
        change: impl FnOnce(&mut Event),
        step: impl FnOnce(&mut NotifyStep),
    ) -> Result<Notify, String> {
        notified(|_| (), change, step)
    }

    fn notified(
        change: impl FnOnce(&mut Destination),
        change_event: impl FnOnce(&mut Event),
        step: impl FnOnce(&mut NotifyStep),
    ) -> Result<Notify, String> {
        let mut destinations = fixtures::destinations();
        change(Arc::make_mut(destinations.get_mut("lms").unwrap()));
        let mut step = notify_with(step);
        step.timeout = Some(Duration::from_secs(20));
        let rules = rules(vec![rule(vec![step])]);
        let mut event = event();
        change_event(&mut event);
        let context = fixtures::context(&event);
        match render(&rules, &rules.rules[0], 0, &context, &destinations) {
            Ok(Rendering::Run(Rendered::Notify(notify))) => Ok(notify),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.to_string()),
        }
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
    fn format_that_the_secret_is_not_for_is_refused() {
        let secret = |to: &mut Destination| to.secrets = vec!["whsec_c2VjcmV0".into()];
        for (format, accepted) in [
            (Format::Callback, true),
            (Format::CloudEvents, true),
            (Format::Feishu, false),
            (Format::Slack, false),
        ] {
            let step = |step: &mut NotifyStep| {
                step.format = Some(format);
                step.text = Some(template("x"));
            };
            assert_eq!(sent_to(secret, step).is_ok(), accepted);
            assert!(sent_to(|_| {}, step).is_ok());
        }
        assert_eq!(
            sent_to(secret, |step| step.format = Some(Format::WeCom)).unwrap_err(),
            "invalid: destination \"lms\" has a secret for the format aftertake, and the step's format wecom is not signed with it: give the step a destination of its own"
        );
    }

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
        let with = |source: &str| sent(|step| step.path = Some(fixtures::address(source)));
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
    fn text_of_an_event_adds_no_query_and_leaves_no_folder() {
        let sent = |room: &str, path: &str| {
            let room = room.to_owned();
            sent_of(
                |event| event.fields.room = Some(room),
                |step| step.path = Some(fixtures::address(path)),
            )
            .map(|notify| notify.url.to_string())
        };
        let (plain, encoded) = ("/r/{{ room_id }}?h=1", "/r/{{ room_id | urlencode }}?h=1");
        for (room, path, rest) in [
            ("a?admin=1", plain, "r/a%3Fadmin%3D1?k=v&h=1"),
            ("a#b", plain, "r/a%23b?k=v&h=1"),
            ("a?b&c", encoded, "r/a%3Fb%26c?k=v&h=1"),
            ("a%3Fb", plain, "r/a%3Fb?k=v&h=1"),
            ("a&b=c+;", "?r={{ room_id }}", "?k=v&r=a%26b%3Dc%2B%3B"),
            ("a&b", "?r={{ room_id | urlencode }}", "?k=v&r=a%26b"),
            ("a&b", "?{{ {'r': room_id} | urlencode }}", "?k=v&r=a%26b"),
            ("?a", "/r{{ room_id | safe }}", "r%3Fa?k=v"),
        ] {
            let url = sent(room, path).unwrap();
            let slash = if rest.starts_with('?') { "" } else { "/" };
            let expected = format!("https://lms.example.com/hooks{slash}{rest}");
            assert_eq!(url, expected, "{room} in {path}");
        }
        for room in [
            "..",
            "a/../b",
            "a%2f..%2Fb",
            "a%2F..;x",
            "%2e%2e",
            "a%5c..%5Cb",
        ] {
            for path in [plain, "/r/{{ room_id | safe }}"] {
                let refused = sent(room, path).unwrap_err();
                assert!(refused.ends_with("has a segment . or .."), "{refused}");
            }
        }
    }

    #[test]
    fn url_is_of_the_event_where_a_template_makes_its_path() {
        let is_of_event = |path: Option<&str>| {
            let path = path.map(fixtures::address);
            sent(|step| step.path = path).unwrap().is_of_event
        };
        assert!(is_of_event(Some("/{{ room_id }}")));
        assert!(is_of_event(Some("/{% if true %}a{% endif %}")));
        assert!(!is_of_event(Some("/fixed")));
        assert!(!is_of_event(None));
    }

    #[test]
    fn destination_that_is_gone_is_named() {
        assert_eq!(
            sent(|step| step.destination = "gone".into()).unwrap_err(),
            "forbidden: destination \"gone\" is not configured: add it to the rules file"
        );
    }
}
