//! The target of a rename.

use super::{Scene, invalid};
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::Place;
use crate::model::step::Rename;
use crate::rules::context::lacking;
use crate::rules::rule::RenameStep;

/// The longest key that OBS accepts, in bytes.
/// <https://support.huaweicloud.com/usermanual-obs/obs_03_0206.html>
const LONGEST_KEY: usize = 1024;

pub(super) fn rename(scene: &Scene<'_>, step: &RenameStep) -> Result<Rename, Failure> {
    let context = scene.context;
    let Some(place) = &context.place else {
        let reason = format!("rename: no field {}", lacking(&context.event.fields));
        return Err(Failure::new(FailureKind::Template, reason));
    };
    let mut key = scene.text("to", &step.to)?;
    // The template decides, not the result: an empty value at the end of `a/{{ x }}` must not turn
    // a name into a folder.
    if step.to.source().trim_end().ends_with('/') {
        key.push_str(place.name());
    }
    check_key(&key).map_err(|fault| invalid(format!("the new key {key:?} {fault}")))?;
    Ok(Rename {
        to: Place {
            bucket: step.bucket.as_ref().unwrap_or(&place.bucket).clone(),
            key,
        },
        on_conflict: step.on_conflict,
        suffix: suffix(context.event.id.as_bytes()),
    })
}

/// Refuses keys that would be read differently. To OBS a leading or doubled slash makes a different
/// key, and HTTP clients resolve `.` and `..`.
fn check_key(key: &str) -> Result<(), &'static str> {
    if key.starts_with('/') {
        return Err("begins with a slash");
    }
    if key.split('/').any(str::is_empty) {
        return Err("has an empty segment: a value in it is empty, or a slash doubled");
    }
    if key.split('/').any(|segment| [".", ".."].contains(&segment)) {
        return Err("has a segment . or ..");
    }
    if key.chars().any(char::is_control) {
        return Err("has a control character");
    }
    if key.len() > LONGEST_KEY {
        return Err("is longer than 1024 bytes");
    }
    Ok(())
}

/// Eight digits of the event's id. Skips its first four bytes: they are the recording's time, which
/// two recordings may share.
fn suffix(id: &[u8; 16]) -> String {
    let [_, _, _, _, a, b, c, d, ..] = *id;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::step::{OnConflict, Rendered};
    use crate::rules::context::Context;
    use crate::rules::fixtures::{self, event, rename_step, rule, rules};
    use crate::rules::render::{Rendering, render};
    use proptest::prelude::*;

    fn renamed(to: &str, context: &Context<'_>) -> Result<Place, String> {
        let rules = rules(vec![rule(vec![rename_step(to)])]);
        match render(
            &rules,
            &rules.rules[0],
            0,
            context,
            &fixtures::destinations(),
        ) {
            Ok(Rendering::Run(Rendered::Rename(rename))) => Ok(rename.to),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn target_is_what_the_template_says() {
        let event = event();
        let context = fixtures::context(&event);
        for (to, expected) in [
            (
                "classes/{{ room_id }}/{{ start_time | date('%Y-%m-%d', 'Asia/Shanghai') }}/{{ object.name }}",
                Ok("classes/class-7/2026-03-02/a.b.mp4"),
            ),
            ("classes/", Ok("classes/a.b.mp4")),
            (
                "{{ object.folder }}/{{ object.stem | slug }}.{{ object.extension }}",
                Ok("Record/a-b.mp4"),
            ),
            (
                "{{ object.bucket }}/{{ object.key }}",
                Ok("b1/Record/a.b.mp4"),
            ),
            ("{{ room_id | hash(4) }}/x", Ok("0efe/x")),
            (
                "x/{{ stream_name }}",
                Err("template: to `x/{{ stream_name }}`: no field stream_name"),
            ),
            (
                "x/{{ event.null }}",
                Err(
                    "template: to `x/{{ event.null }}`: a null cannot be written into a text; default('…', true) replaces it",
                ),
            ),
            (
                "x/{{ '' }}",
                Err(
                    "invalid: the new key \"x/\" has an empty segment: a value in it is empty, or a slash doubled",
                ),
            ),
            (
                "{{ '/' }}x",
                Err("invalid: the new key \"/x\" begins with a slash"),
            ),
            (
                "a/{{ '..' }}/b",
                Err("invalid: the new key \"a/../b\" has a segment . or .."),
            ),
            (
                "a/{{ \"b\\nc\" }}",
                Err("invalid: the new key \"a/b\\nc\" has a control character"),
            ),
        ] {
            let key = renamed(to, &context).map(|place| place.key);
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(key, expected, "{to}");
        }
    }

    #[test]
    fn longest_key_counts_bytes() {
        let event = event();
        let context = fixtures::context(&event);
        let key = |count: usize| format!("{}{{{{ '录' * {count} }}}}", "x");
        assert_eq!(
            renamed(&key(341), &context).map(|place| place.key.len()),
            Ok(1024)
        );
        let failure = renamed(&key(342), &context).unwrap_err();
        assert!(failure.ends_with("is longer than 1024 bytes"), "{failure}");
    }

    #[test]
    fn rename_starts_from_the_present_place_and_may_change_the_bucket() {
        let event = event();
        let mut context = fixtures::context(&event);
        context.place = Some(Place {
            bucket: "b2".into(),
            key: "moved/y.mp4".into(),
        });
        let place = renamed("x/", &context).unwrap();
        assert_eq!(place.to_string(), "b2/x/y.mp4");

        let mut step = rename_step("x/");
        let crate::rules::rule::Action::Rename(rename) = &mut step.action else {
            unreachable!()
        };
        rename.bucket = Some("b3".into());
        rename.on_conflict = OnConflict::KeepBoth;
        let rules = rules(vec![rule(vec![step])]);
        let rendering = render(
            &rules,
            &rules.rules[0],
            0,
            &context,
            &fixtures::destinations(),
        );
        let id = event.id.to_string();
        assert_eq!(
            rendering,
            Ok(Rendering::Run(Rendered::Rename(Rename {
                to: Place {
                    bucket: "b3".into(),
                    key: "x/y.mp4".into()
                },
                on_conflict: OnConflict::KeepBoth,
                suffix: id["evt_".len() + 8..][..8].to_owned(),
            })))
        );
    }

    #[test]
    fn rename_without_an_object_names_the_missing_field() {
        let mut event = event();
        event.fields.object = None;
        let context = Context::before_running(&event, fixtures::context(&event).task);
        assert_eq!(
            renamed("x/", &context),
            Err("template: rename: no field obs_object".to_owned())
        );
    }

    proptest! {
        #[test]
        fn key_that_is_accepted_has_only_plain_segments(
            room in r"([a-z录./\\ \x00-\x1f]|\.\./|//){0,12}",
            object in r"([a-z录./]|\.\.){1,12}",
            to in prop::sample::select(vec![
                "{{ room_id }}",
                "{{ room_id }}/",
                "x/{{ room_id }}/{{ object.name }}",
                "{{ object.folder }}/{{ room_id }}{{ object.extension }}",
                "{{ room_id | slug }}/{{ object.key }}",
            ]),
        ) {
            let mut event = event();
            event.fields.room = Some(room);
            event.fields.object = Some(object);
            let context = Context { url: None, ..fixtures::context(&event) };
            if let Ok(place) = renamed(to, &context) {
                prop_assert!(place.key.len() <= LONGEST_KEY);
                prop_assert!(!place.key.contains(char::is_control));
                for segment in place.key.split('/') {
                    prop_assert!(!segment.is_empty() && segment != "." && segment != "..", "{}", place);
                }
            }
        }
    }
}
