//! What is refused at load, with the exact message and position, and that no input does more harm
//! than an error.

use proptest::prelude::*;

use super::*;
use crate::rules::fixtures::{context, event};

fn scope(earlier_steps: &[String], part_of: PartOf) -> Scope<'_> {
    Scope {
        earlier_steps,
        part_of,
    }
}

fn names() -> Names {
    context(&event()).names("archive", None)
}

fn refusal(source: &str) -> Option<(String, String)> {
    let earlier = ["rename".to_owned(), "tell".to_owned()];
    let error = Template::parse(source, scope(&earlier, PartOf::Rule)).err()?;
    let place = error.range.map_or("", |range| &source[range]);
    Some((error.message, place.to_owned()))
}

#[test]
fn unknown_word_is_refused_with_the_closest_known_one_and_its_place() {
    for (source, message, place) in [
        (
            "录/{{ roomid }}",
            "unknown name \"roomid\"; did you mean \"room_id\"?",
            "roomid",
        ),
        ("{{ zzz }}", "unknown name \"zzz\"", "zzz"),
        ("{{ zzz.x }}", "unknown name \"zzz\"", "zzz.x"),
        (
            "{{ romm_di }}",
            "unknown name \"romm_di\"; did you mean \"room_id\"?",
            "romm_di",
        ),
        ("{{ x }}{% set x = 1 %}{{ x }}", "unknown name \"x\"", "x"),
        (
            "{{ room_id }}/{{ object.nmae }}",
            "object has no \"nmae\"; did you mean \"name\"?",
            "object.nmae",
        ),
        (
            "{{ object . nmae }}",
            "object has no \"nmae\"; did you mean \"name\"?",
            "object . nmae",
        ),
        (
            "{{ object.name.x }}",
            "object.name is a single value and has no \"x\"",
            "object.name.x",
        ),
        (
            "{{ room.tag.x }}",
            "room has no \"tag\"; did you mean \"tags\"?",
            "room.tag.x",
        ),
        (
            "{{ room_id.upper() }}",
            "room_id is a single value and has no \"upper\"",
            "room_id.upper",
        ),
        (
            "{{ steps.renam.key }}",
            "no step \"renam\" comes before this; did you mean \"rename\"?",
            "steps.renam.key",
        ),
        (
            "{{ signed_url('24h') }}",
            "signed_url can be called in notify only",
            "signed_url",
        ),
        (
            "{{ sined_url('24h') }}",
            "unknown name \"sined_url\"; did you mean \"signed_url\"?",
            "sined_url",
        ),
        (
            "{{ room_id | slugify }}",
            "unknown filter \"slugify\"",
            "slugify",
        ),
        (
            "{{ room_id | lowr }}",
            "unknown filter \"lowr\"; did you mean \"lower\"?",
            "lowr",
        ),
        (
            "{% filter uper %}x{% endfilter %}",
            "unknown filter \"uper\"; did you mean \"upper\"?",
            "uper",
        ),
        (
            "{{ room_id is definde }}",
            "unknown test \"definde\"; did you mean \"defined\"?",
            "definde",
        ),
        (
            "{{ room_id is not definde }}",
            "unknown test \"definde\"; did you mean \"defined\"?",
            "definde",
        ),
        (
            "{{ start_time | date('%Y', 'Asia/Shangai') }}",
            "unknown time zone \"Asia/Shangai\"; did you mean \"Asia/Shanghai\"?",
            "'Asia/Shangai'",
        ),
        (
            "{{ start_time | date('%Q') }}",
            "\"%Q\" is not a date format like %Y-%m-%d",
            "'%Q'",
        ),
        ("{{ aa }} {{ room_id | bb }}", "unknown name \"aa\"", "aa"),
        ("{{ bb | aa }} {{ aa }}", "unknown name \"bb\"", "bb"),
    ] {
        let refused = refusal(source);
        assert_eq!(
            refused,
            Some((message.to_owned(), place.to_owned())),
            "{source}"
        );
    }
}

#[test]
fn unknown_name_is_shown_where_it_is_not_a_member() {
    let error = Template::parse("{{ event.zzz }}{{ zzz }}", Scope::WHEN).unwrap_err();
    assert_eq!(error.range, Some(18..21));
}

#[test]
fn expression_is_refused_like_a_template() {
    for (source, message, range) in [
        (
            "height > 1 and roomid",
            "unknown name \"roomid\"; did you mean \"room_id\"?",
            15..21,
        ),
        (
            "room_id | lowr == 'a'",
            "unknown filter \"lowr\"; did you mean \"lower\"?",
            10..14,
        ),
    ] {
        let error = Expression::parse(source, Scope::WHEN).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.range),
            (message, Some(range)),
            "{source}"
        );
    }
}

#[test]
fn member_may_be_called_like_a_word_of_the_language() {
    for source in [
        "{{ event.is if room_id else 'x' }}",
        "{{ event.signed_url('soon') }}",
    ] {
        assert_eq!(refusal(source), None, "{source}");
    }
}

#[test]
fn lifetime_of_a_link_is_checked_where_it_is_written() {
    let parse = |source| Template::parse(source, Scope::MESSAGE);
    assert!(parse("{{ signed_url('24h') }}").is_ok());
    let error = parse("{{ signed_url('soon') }}").unwrap_err();
    assert_eq!(error.message, "\"soon\" is not a duration like 24h");
    assert_eq!(error.range, Some(14..20));
}

#[test]
fn syntax_error_has_its_place() {
    for (source, message, place) in [
        (
            "a {{ room_id",
            "syntax error: unexpected end of input, expected end of variable block",
            "room_id",
        ),
        (
            "a {{ b c }}",
            "syntax error: unexpected identifier, expected end of variable block",
            "c",
        ),
        (
            "{% include 'x' %}",
            "syntax error: unknown statement include",
            "include",
        ),
    ] {
        let (given, at) = refusal(source).unwrap();
        assert_eq!((given.as_str(), at.as_str()), (message, place), "{source}");
    }
}

#[test]
fn everything_that_exists_is_accepted() {
    for source in [
        "plain",
        "{{ event }}{{ event.anything.at.all }}{{ event['x'] }}",
        "{{ event_id }}{{ task_id }}{{ rule }}{{ detail_message }}",
        "{{ room.tags.x }}{{ room.vars.a.b }}{{ object }}{{ steps.rename.key }}{{ steps['x'] }}",
        "{% set x = room_id %}{{ x.y }}{% for i in range(3) %}{{ loop.index }}{{ i }}{% endfor %}",
        "{{ room_id | default('a') | replace('is x', '| y') is defined }}",
        "{{ start_time | date('%Y', 'Asia/' ~ room_id) }}{{ 7 % height }}",
        "{# {{ zzz }} #}{% raw %}{{ zzz }}{% endraw %}",
        "{{ {'a': {'b': 1}} }}{{ dict(a=1) }}{{ event.is.up }}",
    ] {
        assert_eq!(refusal(source), None, "{source}");
    }
}

#[test]
fn runaway_template_fails() {
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 90000000 }}",
        "{{ '%99999999d' | format(1) }}",
        "{{ 'x\ny' | indent(99999999) }}",
        "{{ [1] | batch(99999999, 0) }}",
        "{{ [1] | slice(99999999) }}",
        "{{ range(99999) | list | sort | map('string') | join }}",
    ] {
        let template = Template::parse(source, Scope::WHEN).unwrap();
        let broken = Fault::Broken("the template does too much work".to_owned());
        assert_eq!(template.render(&names()), Err(broken.clone()), "{source}");
    }
    let endless = "range(99999) | map('string') | join | length > range(99999) | list | length";
    let expression = Expression::parse(endless, Scope::WHEN).unwrap();
    assert!(matches!(expression.holds(&names()), Err(Fault::Broken(_))));
}

#[test]
fn too_many_nested_blocks_fail() {
    let nested = |depth: usize| "{% with %}".repeat(depth) + &"{% endwith %}".repeat(depth);
    let render = |depth| {
        let template = Template::parse(&nested(depth), Scope::WHEN).unwrap();
        template.render(&names())
    };
    assert_eq!(render(40), Ok(String::new()));
    assert_eq!(
        render(60),
        Err(Fault::Broken("recursion limit exceeded".to_owned()))
    );
}

#[test]
fn absent_name_is_said_in_the_words_of_rules() {
    for (source, expected) in [
        ("{{ stream_name }}", "no field stream_name"),
        ("{{ stream_name | slug }}", "no field stream_name"),
        ("{{ end_time | date('%Y') }}", "no field end_time"),
        ("{{ 'a' ~ stream_name }}", "no field stream_name"),
        ("{{ file_size + 1 }}", "no field file_size"),
        ("{{ event.x }}", "no field event.x"),
        ("{{ event.x.y }}", "no field event.x"),
        ("{{ steps.first.x }}", "no steps.first.x"),
        ("{{ [height, stream_name] }}", "no value for a name"),
        ("{{ {'a': [stream_name]} }}", "no value for a name"),
        (
            "{% for x in event.list %}{% endfor %}",
            "no field event.list",
        ),
        ("{% if stream_name %}{% endif %}", "no field stream_name"),
    ] {
        let template = Template::parse(source, scope(&["first".into()], PartOf::Rule)).unwrap();
        let absent = Err(Fault::Absent(expected.to_owned()));
        assert_eq!(template.render(&names()), absent, "{source}");
        assert_eq!(template.value(&names()).map(|_| String::new()), absent);
    }
}

#[test]
fn object_that_an_event_has_not_is_said_by_the_field_that_lacks() {
    let mut event = event();
    event.fields.object = None;
    let names = context(&event).names("archive", None);
    for (source, expected) in [
        ("{{ object.key }}", "no field obs_object"),
        ("{{ signed_url('1h') }}", "no field obs_object"),
        ("{{ stream_name }}", "no field stream_name"),
    ] {
        let template = Template::parse(source, Scope::MESSAGE).unwrap();
        let absent = Err(Fault::Absent(expected.to_owned()));
        assert_eq!(template.render(&names), absent, "{source}");
    }
}

#[test]
fn nothing_is_escaped() {
    let template = Template::parse("{{ '<&\"/' }}", Scope::WHEN).unwrap();
    assert_eq!(template.render(&names()), Ok("<&\"/".to_owned()));
}

#[test]
fn template_knows_whether_it_needs_an_object() {
    for (source, expected) in [
        ("{{ object.key }}", true),
        ("{{ object['key'] }}", true),
        ("{{ signed_url('1h') }}", true),
        ("{{ obs_object }}", false),
        ("object", false),
    ] {
        let template = Template::parse(source, Scope::MESSAGE).unwrap();
        assert_eq!(template.names_object(), expected, "{source}");
    }
}

#[test]
fn expression_knows_whether_it_asks_what_steps_produced() {
    for (source, expected) in [
        ("steps.first.status == 200", true),
        ("height > 1 or steps['first']", true),
        ("event.steps == 'steps'", false),
    ] {
        let expression = Expression::parse(source, scope(&["first".into()], PartOf::Rule)).unwrap();
        assert_eq!(expression.names_steps(), expected, "{source}");
    }
}

/// Pieces of templates, so that random sources are sometimes well-formed.
fn source() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " ",
        "room_id",
        "height",
        "event",
        ".",
        "object",
        "'",
        "\"",
        "\\",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "|",
        "date",
        "slug",
        "hash",
        "is",
        "not",
        "for",
        "in",
        "endfor",
        "if",
        "else",
        "endif",
        "set",
        "=",
        "==",
        "<",
        "-",
        "+",
        "*",
        "**",
        "//",
        "%",
        "~",
        ",",
        "0",
        "9",
        "1e999",
        "99999999999999999999",
        "录",
        "\u{0}",
        "raw",
        "endraw",
        "none",
        "true",
        "range",
        "loop",
        "'%Y'",
        "'UTC'",
        ":",
        "map",
        "tojson",
        "\n",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_is_more_than_refused(source in source()) {
        let earlier = ["a".to_owned()];
        let names = names();
        match Template::parse(&source, scope(&earlier, PartOf::Message)) {
            Ok(template) => {
                let _ = template.render(&names);
                let _ = template.value(&names);
            }
            Err(error) => {
                if let Some(range) = error.range {
                    prop_assert!(source.get(range).is_some());
                }
            }
        }
        if let Ok(expression) = Expression::parse(&source, scope(&earlier, PartOf::Message)) {
            let _ = expression.holds(&names);
        }
        for inside in [format!("{{{{ {source} }}}}"), format!("{{{{ 7 | {source} }}}}")] {
            if let Ok(template) = Template::parse(&inside, scope(&earlier, PartOf::Message)) {
                let _ = template.value(&names);
            }
        }
    }

    #[test]
    fn any_number_is_a_date_or_refused(seconds: i64, zone in prop::sample::select(vec!["UTC", "Asia/Shanghai", "America/New_York"])) {
        let source = format!("{{{{ '{seconds}' | date('%F %T %z', '{zone}') }}}}");
        let template = Template::parse(&source, Scope::WHEN).unwrap();
        let _ = template.render(&names());
    }
}

#[test]
fn value_that_the_engine_crashes_on_is_a_fault() {
    for source in [
        "{{ 'abc'[::-9223372036854775808] }}",
        "{{ [1, 2][::-9223372036854775808] }}",
        "{{ range(0, -9223372036854775808, -9223372036854775808) | list }}",
    ] {
        // The result depends on overflow checks; the call only has to return.
        let template = Template::parse(source, Scope::WHEN).unwrap();
        let _ = (template.value(&names()), template.render(&names()));
    }
    for source in ["{{ [1] * 99999999 }}", "a {{ [[1]] * 99999999 }}"] {
        let template = Template::parse(source, Scope::WHEN).unwrap();
        let broken = Fault::Broken("the template does too much work".into());
        assert_eq!(template.value(&names()), Err(broken.clone()), "{source}");
        assert_eq!(template.render(&names()), Err(broken), "{source}");
    }
}

#[test]
fn chain_that_would_overflow_the_stack_is_refused_where_it_becomes_too_long() {
    let most = |links: usize| format!("{{{{ 1{} }}}}", " + 1".repeat(links));
    assert!(Template::parse(&most(400), Scope::WHEN).is_ok());
    let error = Template::parse(&most(401), Scope::WHEN).unwrap_err();
    assert!(
        error.message.starts_with("more than 400 words and signs"),
        "{error}"
    );
    assert_eq!(error.range, Some(1605..1606));
    let list = format!("room_id in [{}]", "'a', 7, ".repeat(5_000));
    assert!(Expression::parse(&list, Scope::WHEN).is_ok());
    let texts = "{{ room_id }} ".repeat(5_000);
    assert!(Template::parse(&texts, Scope::WHEN).is_ok());
}
