//! Loading the rules file: every `rules/good-*.yaml` loads, and every `rules/bad-*.yaml` is
//! refused with exactly the text in the file next to it. To add a case, add a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use aftertake::model::bucket::BucketStore;
use aftertake::model::destination::Destination;
use aftertake::model::time::Timestamp;
use aftertake::rules::file::{Lookup, Revision, RulesFile, parse, parse_revision};
use aftertake::rules::rule::{Action, BodyTemplate, NotifyStep as Notify, RuleSet, TagSource};
use aftertake::rules::schema::schema;
use aftertake::rules::template::{Expression, Template};
use aftertake::yaml::variables::Variables;
use secrecy::ExposeSecret;
use url::Url;

use crate::json_schema::mistakes;
use crate::support::event;

/// Values that must never be shown; each begins with `s3cr3t`.
struct Environment;

impl Lookup for Environment {}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let value = match name {
            "EMPTY" => "",
            "SECRET_VALUE" => "s3cr3t-value",
            "OTHER_VALUE" => "s3cr3t-other",
            "TEMPLATE" => "s3cr3t {{ room_id }}",
            "LOST_FILE" => "s3cr3t-path",
            "SPARKRTC_CALLBACK_KEY" => "s3cr3t-callback-key",
            "OBS_ACCESS_KEY" => "s3cr3t-access-key",
            "OBS_SECRET_KEY_FILE" => "/run/secrets/obs",
            "LMS_WEBHOOK_SECRET" => "whsec_czNjcjN0",
            "TOKEN" => "s3cr3t-token",
            "TRIES" => "7",
            "YES" => "true",
            "LONG" => "90m",
            "BIG" => "3MiB",
            "ROOM" => "class-*",
            "INJECTION" => "a, b], other: [c",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        match path {
            "/run/secrets/obs" => Ok("s3cr3t-secret-key\n".to_owned()),
            _ => Err("no such file".to_owned()),
        }
    }
}

fn cases(prefix: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rules");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    let named = paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    named.filter(|(name, _)| name.starts_with(prefix)).collect()
}

fn case(name: &str) -> String {
    let mut found = cases(name).into_iter().filter(|(found, _)| found == name);
    found.next().expect("the folder has this case").1
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rules.example.yaml")).unwrap()
}

fn load(text: &str) -> RulesFile {
    parse(
        "rules.yaml",
        text,
        Path::new("/etc/aftertake"),
        &Environment,
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> String {
    match parse(
        "rules.yaml",
        text,
        Path::new("/etc/aftertake"),
        &Environment,
    ) {
        Ok(_) => panic!("this was accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "rules",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn bad_file_is_refused_with_exactly_these_words() {
    for (name, text) in cases("bad-") {
        let shown = refusal(&text);
        assert!(
            !shown.contains("s3cr3t"),
            "{name} shows what the environment says:\n{shown}"
        );
        assert!(
            !shown.contains("literal-secret"),
            "{name} shows a secret:\n{shown}"
        );
        snapshot(&name, &shown);
    }
}

/// Files that exceed the limits of a library, each with the reason why it is refused.
fn beyond_the_libraries() -> Vec<(String, &'static str)> {
    const DEEP: usize = 20_000;
    let when = |room: &str| {
        format!("rules: [{{ name: r, when: {{ room: '{room}' }}, steps: [{{ tag: by_room }}] }}]\n")
    };
    let body = |text: &str| {
        let text = text.replace('\'', "''");
        format!(
            "destinations: {{ d: {{ url: 'https://d.example.com' }} }}\n\
             rules: [{{ name: r, steps: [{{ notify: {{ destination: d, body: '{text}' }} }}] }}]\n"
        )
    };
    let headers: Vec<String> = (0..40_000).map(|number| format!("x-{number}: a")).collect();
    let headers = headers.join(", ");
    let chain = |link: &str| body(&format!("{{{{ 1{} }}}}", link.repeat(DEEP)));
    let elifs = format!(
        "{{% if a %}}{}{{% endif %}}",
        "{% elif height %}".repeat(DEEP)
    );
    let nested = "{".repeat(250) + "s3cr3t" + &"}".repeat(250);
    let (many, long) = ("words and signs in one part", "this pattern has");
    vec![
        (when(&nested), long),
        (when(&"{".repeat(DEEP)), long),
        (when(&"[a-z]".repeat(DEEP)), long),
        (chain(" + 1"), many),
        (chain(" | upper"), many),
        (chain(" and height"), many),
        (chain(".a"), many),
        (chain(" if height else 1"), many),
        (body(&format!("{{{{ {}1 }}}}", "not ".repeat(DEEP))), many),
        (body(&elifs), "more than 50 `elif`"),
        (
            format!(
                "rules: [{{ name: r, steps: [{{ if: '1{}', tag: by_room }}] }}]\n",
                " + 1".repeat(DEEP)
            ),
            many,
        ),
        (
            format!(
                "destinations: {{ d: {{ url: 'https://d.example.com', headers: {{ {headers} }} }} }}\n\
                 rules: [{{ name: r, steps: [{{ notify: d }}] }}]\n"
            ),
            "40000 headers; there may be 100",
        ),
        (
            format!(
                "destinations: {{ d: {{ url: 'https://d.example.com' }} }}\n\
                 rules: [{{ name: r, steps: [{{ notify: {{ destination: d, headers: {{ {headers} }} }} }}] }}]\n"
            ),
            "40000 headers; there may be 100",
        ),
        (
            format!(
                "rules: [{{ name: r, steps: [{{ notify: {} }}] }}]\n",
                "d".repeat(1 << 22)
            ),
            "unknown destination",
        ),
        (format!("rules: {}\n", "[".repeat(DEEP)), "this is not YAML"),
    ]
}

#[test]
fn file_that_a_library_would_crash_on_is_refused_in_words() {
    for (text, reason) in beyond_the_libraries() {
        let shown = refusal(&text);
        let begin: String = text.chars().take(200).collect();
        assert!(
            shown.contains(reason),
            "{begin}: {}",
            &shown[..shown.len().min(2000)]
        );
    }
}

#[test]
fn good_file_is_loaded_with_these_warnings() {
    for (name, text) in cases("good-") {
        let file = load(&text);
        let warnings: Vec<String> = file.warnings.iter().map(ToString::to_string).collect();
        let text = format!(
            "warnings\n{}\n\n{}\n{:#?}\n{:#?}\n{:#?}\n{}",
            warnings.join("\n"),
            rules(&file.rules),
            file.callers,
            file.buckets,
            file.destinations,
            hidden(&file),
        );
        assert!(
            !text.contains("s3cr3t-secret") && !text.contains("s3cr3t-token"),
            "{name}"
        );
        snapshot(&name, &text);
    }
}

/// The parts of destinations that their output hides.
fn hidden(file: &RulesFile) -> String {
    let mut text = String::new();
    for Destination {
        name,
        url,
        text: template,
        proxy,
        ..
    } in file.destinations.values()
    {
        let proxy = proxy.as_ref().map(Url::as_str);
        writeln!(text, "{name} {url} text {template:?} proxy {proxy:?}").unwrap();
    }
    text
}

/// The rules as text: the `Debug` output of compiled parts is not stable.
fn rules(set: &RuleSet) -> String {
    let mut text = format!("revision {}\n", set.revision);
    for room in &set.rooms {
        writeln!(
            text,
            "room {:?} tags {:?} vars {:?}",
            room.room, room.tags, room.vars
        )
        .unwrap();
    }
    for rule in &set.rules {
        let order = (&rule.order_by, rule.order_blocks, &rule.on_dead);
        writeln!(text, "rule {} {order:?}\n  {:?}", rule.name, rule.retry).unwrap();
        writeln!(text, "  when {:?}", rule.when.events).unwrap();
        for matcher in &rule.when.matchers {
            writeln!(text, "    {matcher:?}").unwrap();
        }
        writeln!(
            text,
            "    if {:?}",
            rule.when.expression.as_ref().map(Expression::source)
        )
        .unwrap();
        for step in &rule.steps {
            let condition = step.condition.as_ref().map(Expression::source);
            writeln!(
                text,
                "  step {} if {condition:?} {:?} {:?}",
                step.id, step.timeout, step.on_failure
            )
            .unwrap();
            writeln!(text, "    {}", action(&step.action)).unwrap();
        }
    }
    text
}

fn action(action: &Action) -> String {
    let name = action.name();
    match action {
        Action::Rename(step) => {
            format!(
                "{name} {:?} {:?} {:?}",
                step.to.source(),
                step.bucket,
                step.on_conflict
            )
        }
        Action::Tag(step) => {
            let tags = match &step.tags {
                TagSource::ByRoom => "by room".to_owned(),
                TagSource::Given(tags) => {
                    let pair =
                        |(name, value): (&String, &Template)| format!("{name}={}", value.source());
                    tags.iter().map(pair).collect::<Vec<_>>().join(" ")
                }
            };
            format!(
                "{name} {tags} {:?} {:?} {:?} {:?}",
                step.mode, step.storage, step.on_invalid, step.objects
            )
        }
        Action::Notify(step) => {
            let headers: Vec<_> = step
                .headers
                .iter()
                .map(|(name, value)| (name, value.source()))
                .collect();
            let source =
                |text: &Option<Template>| text.as_ref().map(|text| text.source().to_owned());
            let path = step.path.as_ref().map(|path| path.template().source());
            let text = source(&step.text);
            let body = step.body.as_ref().map(body);
            let Notify {
                destination,
                method,
                format,
                ..
            } = step;
            format!(
                "{name} {destination} {method} {path:?} {headers:?} body {body:?} {format:?} {text:?}"
            )
        }
    }
}

fn body(part: &BodyTemplate) -> String {
    match part {
        BodyTemplate::Literal(value) => value.to_string(),
        BodyTemplate::Text(text) => format!("t{:?}", text.source()),
        BodyTemplate::List(parts) => format!(
            "[{}]",
            parts.iter().map(body).collect::<Vec<_>>().join(", ")
        ),
        BodyTemplate::Map(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .map(|(name, part)| format!("{name}: {}", body(part)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
    }
}

#[test]
fn revision_is_loaded_again_as_the_same_rules() {
    let files = cases("good-")
        .into_iter()
        .map(|(_, text)| text)
        .chain([example()]);
    for text in files {
        let file = load(&text);
        let buckets: BTreeSet<String> = file.buckets.keys().cloned().collect();
        let again = parse_revision(&file.rules.text, &buckets, &Environment).unwrap();
        assert_eq!(again.rules.text, file.rules.text);
        assert_eq!(rules(&again.rules), rules(&file.rules));
    }
}

#[test]
fn revision_follows_rules_rooms_and_retry_and_nothing_else() {
    let text = "retry: { tries: 3 }\nrooms: []\nrules: [{ name: a, steps: [{ tag: by_room }] }]\n";
    let revision = |text: &str| load(text).rules.revision;
    for same in [
        "rules:\n- name: \"a\" # a comment\n  steps:\n  - tag: 'by_room'\nrooms: []\nretry: {tries: 3}\n",
        &format!("buckets: {{ b: {{ store: folder, path: x }} }}\n{text}"),
        &format!("destinations: {{ d: {{ url: \"http://a/\" }} }}\n{text}"),
        &format!("callbacks: {{ sparkrtc: {{ keys: [k] }} }}\n{text}"),
    ] {
        assert_eq!(revision(same), revision(text), "{same}");
    }
    for other in [
        text.replace("tries: 3", "tries: 4"),
        text.replace("rooms: []", "rooms: [{ room: x }]"),
        text.replace("name: a", "name: b"),
    ] {
        assert_ne!(revision(&other), revision(text), "{other}");
    }
}

#[test]
fn revision_holds_the_name_of_a_variable_and_not_its_value() {
    let text = "rules: [{ name: a, steps: [{ rename: { to: \"${SECRET_VALUE}/x\" } }] }]\n";
    let file = load(text);
    assert!(file.rules.text.contains("${SECRET_VALUE}/x"));
    let again = parse_revision(&file.rules.text, &BTreeSet::new(), &Environment).unwrap();
    assert_eq!(again.mask.apply("s3cr3t-value/x"), "***/x");
}

#[test]
fn readable_rules_of_a_revision_load_next_to_unreadable_ones() {
    let rule = |name: &str, keys: &str, to: &str| {
        format!(r#"{{"name":"{name}","steps":[{{"rename":{{"to":"{to}"}}}}]{keys}}}"#)
    };
    let teller = r#","on_dead":"ops""#;
    let rules = [
        rule("plain", "", "x"),
        rule("unset", teller, "${GONE}/x"),
        rule("changed", "", "{{ ${WAS_ROOM} }}"),
        rule("${GONE_NAME}", "", "x"),
        rule("last", teller, "${TOKEN}/x"),
    ];
    let text = |rest: &str| format!(r#"{{"rules":[{}]{rest}}}"#, rules.join(","));
    let env = BTreeMap::from([("WAS_ROOM", "{{ rom }}"), ("TOKEN", "long-enough")]);
    let read = |text: &str| parse_revision(text, &BTreeSet::new(), &env);

    let text_of_all = text("");
    let revision = read(&text_of_all).unwrap();
    assert_eq!(revision.rules.text, text_of_all);
    for name in ["plain", "last", "on_dead:last"] {
        assert_eq!(revision.rule(name).unwrap().name, name);
    }
    assert_eq!(revision.mask.apply("long-enough"), "***");
    let id = revision.rules.revision;
    let why = |name: &str| {
        let whole = revision.rule(name).unwrap_err();
        let start = format!("rule {name:?} of {id}, which is no longer in force, cannot be read: ");
        whole
            .strip_prefix(&start)
            .unwrap_or_else(|| panic!("{whole}"))
            .to_owned()
    };
    let unset =
        "the variable GONE is not set; set GONE or GONE_FILE, or give a default: `${GONE:-…}`";
    assert_eq!(
        (why("unset"), why("on_dead:unset")),
        (unset.into(), unset.into())
    );
    let syntax = why("changed");
    assert!(
        syntax.starts_with("the value of WAS_ROOM is template syntax"),
        "{syntax}"
    );
    let nameless = why("named");
    assert!(
        nameless.starts_with("the variable GONE_NAME is not set"),
        "{nameless}"
    );

    for shared in [
        r#","rooms":[{"room":"a","tags":{"t":"${GONE}"}}]"#,
        r#","retry":{"tries":"${GONE}"}"#,
    ] {
        let error = read(&text(shared)).unwrap_err().to_string();
        assert!(error.contains("the variable GONE is not set"), "{error}");
    }
}

#[test]
fn revision_with_removed_buckets_and_destinations_still_loads() {
    let text = r#"{"rules":[{"name":"a","on_dead":"gone","steps":[{"rename":{"to":"x","bucket":"gone"}},{"notify":"gone"}]}]}"#;
    let revision = parse_revision(text, &["left".to_owned()].into(), &Environment).unwrap();
    assert_eq!(revision.rules.rules[0].steps.len(), 2);
    assert_eq!(revision.rules.text, text);
    assert!(revision.rules.buckets.contains("left"));
}

#[test]
fn variables_stand_for_every_kind_of_scalar_in_every_style() {
    let file = load(
        r#"
buckets:
  local: { store: folder, path: ${UNSET:-./here}, concurrency: ${TRIES}, source_grace: "${LONG}" }
destinations:
  lms: { url: 'https://${UNSET:-lms}.example.com/', allow_private: ${YES}, headers: { X: ">${TOKEN}<" } }
retry: { tries: "${TRIES}" }
rooms:
  - room: [${ROOM}, x]
    vars: { list: [${INJECTION}], number: ${TRIES}, dollar: $${x} }
rules:
  - name: one
    when: { size: { at_least: ${BIG} } }
    steps:
      - notify:
          destination: lms
          body: |
            ${UNSET:-a}
            b
"#,
    );
    let bucket = &file.buckets["local"];
    assert!(
        matches!(&bucket.store, BucketStore::Folder { path } if path == Path::new("/etc/aftertake/./here"))
    );
    assert_eq!(
        (bucket.concurrency, bucket.source_grace.as_secs()),
        (7, 90 * 60)
    );
    let destination = &file.destinations["lms"];
    assert_eq!(destination.url.as_str(), "https://lms.example.com/");
    assert!(destination.allow_private);
    assert_eq!(destination.headers[0].1.expose_secret(), ">s3cr3t-token<");
    assert_eq!(file.rules.rules[0].retry.tries, 7);
    let room = &file.rules.rooms[0];
    assert_eq!(room.room[0].text, "class-*");
    let vars = serde_json::to_string(&room.vars).unwrap();
    assert_eq!(
        vars,
        r#"{"dollar":"${x}","list":["a, b], other: [c"],"number":"7"}"#
    );
}

#[test]
fn secrets_and_long_values_of_the_environment_are_masked() {
    let text = case("good-every-key");
    let mask = load(&text).mask;
    for hidden in [
        "second-key",
        "s3cr3t-secret-key",
        "s3cr3t-token",
        "whsec_czNjcjN0",
        "s3cr3t-access-key",
    ] {
        assert_eq!(mask.apply(hidden), "***");
    }
    assert_eq!(
        mask.apply("https://chat.example.com/hook media"),
        "https://chat.example.com/hook media"
    );
}

#[test]
fn reason_for_a_rule_that_does_not_match_shows_no_value_of_the_environment() {
    let text = "destinations: { d: { url: 'https://d.example.com' } }\n\
                rules: [{ name: r, when: { room: '${ROOM}' }, steps: [{ notify: d }] }]\n";
    let env = BTreeMap::from([("ROOM", "hidden-room-7")]);
    let file = parse("rules.yaml", text, Path::new(""), &env).unwrap();
    let body = r#"{"event_type":"RECORD_FILE_COMPLETE","room_id":"other"}"#;
    let event = event(body, Timestamp::from_millis(0));
    let of_file = file.skipped(&event);
    let of_revision = Revision::in_force(file.rules, file.mask).skipped(&event);
    assert_eq!(of_file, of_revision);
    let reason = &of_file[0].reason;
    assert!(
        reason.contains("***") && !reason.contains("hidden-room-7"),
        "{reason}"
    );
}

#[test]
fn what_makes_a_chat_s_address_a_secret_is_masked() {
    let mask = load(&case("good-chats")).mask;
    for hidden in [
        "slack-token",
        "feishu-token",
        "dingtalk-token",
        "wecom-token",
    ] {
        assert_eq!(mask.apply(hidden), "***", "{hidden}");
    }
}

#[test]
fn example_loads_without_any_variable() {
    let unset: BTreeMap<&str, &str> = BTreeMap::new();
    let file = parse("rules.example.yaml", &example(), Path::new(""), &unset)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(file.warnings.len(), 1, "{:?}", file.warnings);
    assert!(file.buckets.contains_key("abc-rtc-bucket2"));
}

#[test]
fn schema_accepts_what_loads_and_refuses_what_it_can_express() {
    let schema = schema();
    let accepted = cases("good-")
        .into_iter()
        .chain([("example".to_owned(), example())]);
    for (name, text) in accepted {
        let value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(mistakes(&schema, &value), [""; 0], "{name}");
    }
    for name in [
        "no-rules",
        "unknown-section",
        "unknown-key",
        "unknown-word",
        "unknown-store",
        "missing-store",
        "missing-key",
        "key-of-other-store",
        "list-for-map",
        "map-for-list",
        "text-for-number",
        "map-for-text",
        "no-value",
        "factor",
        "tries",
        "status",
        "method",
    ] {
        let text = case(&format!("bad-{name}"));
        let value = serde_saphyr::from_str(&text).unwrap();
        assert_ne!(mistakes(&schema, &value), [""; 0], "{name}");
    }
    let room = |room: &str| {
        let text = format!(
            "rules: [{{ name: a, when: {{ room: {room} }}, steps: [{{ tag: by_room }}] }}]"
        );
        let value = serde_saphyr::from_str(&text).unwrap();
        mistakes(&schema, &value).len()
    };
    assert_eq!((room("a"), room("[a, b]")), (0, 0));
    assert_ne!(room("{ a: b }"), 0);
}
