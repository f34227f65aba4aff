//! The rules file: any input either loads as rules that read back the same, or is refused with
//! places in the file and without values of the environment.

use std::path::Path;

use aftertake::rules::error::RulesError;
use aftertake::rules::file::{Lookup, RulesFile, parse, parse_revision};
use aftertake::rules::rule::RuleSet;
use aftertake::yaml::variables::Variables;

use super::{Target, Verdict};

const TARGET: Target = Target {
    name: "rules",
    samples: Some(("rules", "yaml")),
    dictionary: &[
        "rules:\n",
        "callbacks:",
        "buckets:",
        "destinations:",
        "rooms:",
        "retry:",
        "- name: a\n",
        "steps:",
        "when:",
        "rename:",
        "tag: by_room",
        "notify: lms",
        "to: ",
        "if: ",
        "keys: ",
        "secret: ",
        "headers: ",
        "body: ",
        "text: ",
        "url: ",
        "path: ",
        "store: folder",
        "order_by: room_id",
        "on_dead: lms",
        "at_least: ",
        "{{ ",
        " }}",
        "{% for a in event %}",
        "{% endfor %}",
        "{%",
        "{#",
        "room_id",
        "object.key",
        "steps.rename.key",
        "room.vars.x",
        "signed_url('24h')",
        "| date('%Y', 'Asia/Shanghai')",
        "| slug",
        "| hash(8)",
        "${",
        "}",
        "${SECRET}",
        "${SECRET:-x}",
        "${UNSET}",
        "${UNSET:-a, b]}",
        "${FROM}",
        "$$",
        "{",
        "[",
        "]",
        ", ",
        ": ",
        "- ",
        "? ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "#",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "--- ",
        "...\n",
        "%YAML 1.2\n",
        "\\u00e9",
        "\\x41",
        "录制",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "\u{1f3a5}",
        "null",
        "true",
        "~",
        "5s",
        "1GiB",
        "50/s",
        "99999999999999999999h",
        "1e999",
        "0x10",
        "*",
        "**/",
        "[!",
        "\\",
        "\0",
        "\u{e000}",
    ],
    usual: 1_500,
};

/// A value that only the environment has.
const SECRET: &str = "kept-from-everyone";

struct Environment;

impl Lookup for Environment {}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        match name {
            "SECRET" | "OBS_ACCESS_KEY" | "SPARKRTC_CALLBACK_KEY" | "TOKEN" => Some(SECRET.into()),
            "LMS_WEBHOOK_SECRET" => Some("whsec_czNjcjN0".into()),
            "FROM_FILE" | "OBS_SECRET_KEY_FILE" => Some("/run/secrets/obs".into()),
            "TRIES" => Some("7".into()),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        match path {
            "/run/secrets/obs" => Ok(format!("{SECRET}\n")),
            _ => Err("no such file".to_owned()),
        }
    }
}

#[test]
fn any_rules_file_is_loaded_as_it_reads_back_or_refused_at_its_faults() {
    TARGET.run(|input| {
        let text = String::from_utf8_lossy(input);
        match parse(
            "rules.yaml",
            &text,
            Path::new("/etc/aftertake"),
            &Environment,
        ) {
            Err(error) => {
                tells_places(&error, &text);
                Verdict::Refused
            }
            Ok(file) => {
                reads_back(&file);
                for warning in &file.warnings {
                    is_place(&text, warning.line, warning.column);
                }
                Verdict::Accepted
            }
        }
    });
}

fn tells_places(error: &RulesError, text: &str) {
    // The BOM is not shown.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        let span = &problem.span;
        assert!(
            span.start <= span.end && span.end <= text.len(),
            "{problem:?}"
        );
        let Some(before) = text
            .get(..span.start)
            .filter(|_| text.is_char_boundary(span.end))
        else {
            panic!("{problem:?} begins or ends inside a character");
        };
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let line = before.matches('\n').count() + 1;
        assert_eq!(error.position(problem), (line, column), "{problem:?}");
        assert!(!problem.message.is_empty(), "{problem:?}");
        // It may repeat the file's text, even a very long name, but only once.
        assert!(problem.message.len() < text.len() + 2_000, "{problem:?}");
    }
    let shown = error.to_string();
    assert!(!shown.contains(SECRET), "{shown}");
    // A problem shows its lines, and an input has up to eight thousand bytes.
    assert!(
        shown.len() <= error.problems().len() * 40_000,
        "{} bytes",
        shown.len()
    );
}

fn is_place(text: &str, line: usize, column: usize) {
    let found = line
        .checked_sub(1)
        .and_then(|line| text.split('\n').nth(line));
    let length = found.map(|line| line.chars().count());
    assert!(
        length.is_some_and(|length| (1..=length + 1).contains(&column)),
        "{line}:{column}"
    );
}

/// The text of the loaded rules loads as the same rules and the same text.
fn reads_back(file: &RulesFile) {
    let buckets = file.buckets.keys().cloned().collect();
    let again = parse_revision(&file.rules.text, &buckets, &Environment);
    let again = again.unwrap_or_else(|error| panic!("{}\n{error}", file.rules.text));
    assert_eq!(again.rules.text, file.rules.text);
    assert_eq!(again.rules.revision, file.rules.revision);
    let names = |set: &RuleSet| -> Vec<(String, usize)> {
        let rules = set.rules.iter();
        rules
            .map(|rule| (rule.name.clone(), rule.steps.len()))
            .collect()
    };
    assert_eq!(names(&again.rules), names(&file.rules));
}
