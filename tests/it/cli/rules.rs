//! `rules check`, `rules try` and `rules schema`.

use serde_json::{Value, json};

use super::Folder;

/// A file with secrets that must never be printed.
const SECRETS: &str = "
buckets:
  abc-rtc-bucket2: { store: folder, path: ./r, only_under: [Record/] }
destinations:
  lms:
    url: https://lms.example.com/hooks/${TOKEN}
    secret: ${SECRET}
    headers: { Authorization: 'Bearer ${TOKEN}', X-Team: media }
rules:
  - name: tell
    when: { room: ['${TOKEN}', room01] }
    steps:
      - notify: { destination: lms, body: { token: 'it is ${TOKEN}', 'plain': [1, true, '{{ height }}'] } }
  - name: secret-room
    when: { room: '${TOKEN}' }
    steps: [{ notify: lms }]
  - name: leave
    steps: [{ rename: { to: 'classes/' } }, { tag: by_room }]
  - name: first
    steps: [{ rename: { to: 'Record/first/' } }, { tag: { tags: { at: '{{ object.folder }}' } } }]
  - name: second
    steps:
      - { rename: { to: 'Record/second/' }, on_failure: continue }
      - { tag: { tags: { at: '{{ object.folder }}' } } }
";

fn secrets() -> Folder {
    let folder = Folder::new()
        .with_env("TOKEN", "t0ken-of-ours")
        .with_env("SECRET", "whsec_c2VjcmV0LW9mLW91cnM=");
    folder.write("secrets.yaml", SECRETS);
    folder
}

fn rule<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rules = report["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["rule"] == name).unwrap()
}

#[test]
fn example_is_shown_step_by_step_for_the_published_callback() {
    let folder = Folder::new();
    let shown = folder.fine(&["rules", "try", "rules.yaml", "callback.json"]);
    insta::assert_snapshot!(shown);
}

#[test]
fn step_is_shown_with_its_condition_and_what_only_a_run_can_know() {
    let folder = Folder::new();
    folder.write(
        "rules.yaml",
        "buckets: { abc-rtc-bucket2: { store: folder, path: ./r } }
destinations: { lms: { url: 'https://lms.example.com' } }
rules:
  - name: r
    steps:
      - rename: { to: '{{ room_id }}.m3u8', on_conflict: keep_both }
      - { id: tall, if: 'height > 9000', tag: by_room }
      - { id: many, if: 'steps.rename.objects > 1', notify: { destination: lms, body: 'at {{ object.key }}' } }
",
    );
    let shown = folder.fine(&["rules", "try", "rules.yaml", "callback.json"]);
    let (_, rules) = shown.split_once("\n\n").unwrap();
    insta::assert_snapshot!(rules);
}

#[test]
fn message_to_a_chat_is_shown_with_the_places_of_its_signature() {
    let folder = Folder::new().with_env("SECRET", "SEC-of-ours");
    folder.write(
        "rules.yaml",
        "destinations:
  feishu: { url: 'https://open.feishu.cn/open-apis/bot/v2/hook/token-of-ours', format: feishu, secret: '${SECRET}', text: '{{ room_id }}' }
  dingtalk: { url: 'https://oapi.dingtalk.com/robot/send?access_token=token-of-ours', format: dingtalk, secret: '${SECRET}', text: '{{ rule }}' }
  slack: { url: 'https://hooks.slack.com/services/T/B/token-of-ours', format: slack, text: '{{ room_id }}' }
rules:
  - { name: r, steps: [{ id: a, notify: feishu }, { id: b, notify: dingtalk }, { id: c, notify: slack }] }
",
    );
    let shown = folder.fine(&["rules", "try", "rules.yaml", "callback.json"]);
    assert!(!shown.contains("of-ours"), "{shown}");
    let (_, rules) = shown.split_once("\n\n").unwrap();
    insta::assert_snapshot!(rules);
}

#[test]
fn dry_run_as_document_has_every_rule_and_step() {
    let folder = Folder::new();
    let report = folder.json(&["rules", "try", "rules.yaml", "callback.json"]);
    assert_eq!(report["event"]["fields"]["room_id"], "room01");
    let archive = rule(&report, "archive");
    assert_eq!(archive["matched"], true);
    let steps: Vec<_> = archive["steps"].as_array().unwrap().iter().collect();
    let outcomes: Vec<_> = steps
        .iter()
        .map(|step| {
            (
                step["action"].as_str().unwrap(),
                step["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [("rename", "runs"), ("tag", "runs"), ("notify", "runs")]
    );
    assert_eq!(
        steps[1]["tags"],
        json!({ "department": "other", "room": "room01" })
    );
    assert_eq!(steps[2]["body"]["seconds"], 65);
    let skipped = rule(&report, "job-over");
    assert_eq!(
        skipped["reason"],
        "event RECORD_FILE_COMPLETE is not CLOUD_RECORD_SERVER_OVER"
    );
}

#[test]
fn dry_run_succeeds_without_a_match_unless_one_is_expected() {
    let folder = Folder::new();
    let body = super::SAMPLE.replace("room01", "test-1");
    folder.write("callback.json", &body);
    let args = ["rules", "try", "rules.yaml", "callback.json"];
    folder.fine(&args);
    for (expected, code, err) in [
        (
            "archive",
            1,
            "error: rule \"archive\" does not match this event\n",
        ),
        (
            "archiv",
            2,
            "error: --expect \"archiv\": rules.yaml has no such rule, only archive, job-over\n",
        ),
    ] {
        let ran = folder.run(&[&args[..], &["--expect", expected]].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(code), err));
    }
    folder.write("callback.json", super::SAMPLE);
    folder.fine(&[&args[..], &["--expect", "archive"]].concat());
}

#[test]
fn callback_may_come_from_standard_input() {
    let folder = Folder::new();
    let file = std::fs::File::open(folder.path("callback.json")).unwrap();
    let mut command = folder.command(&["rules", "try", "rules.yaml", "-"]);
    let output = command.stdin(file).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        folder.fine(&["rules", "try", "rules.yaml", "callback.json"])
    );
}

#[test]
fn values_of_the_environment_are_never_shown() {
    let folder = secrets();
    for args in [
        &["rules", "try", "secrets.yaml", "callback.json"][..],
        &["rules", "try", "secrets.yaml", "callback.json", "--json"],
        &["rules", "check", "secrets.yaml"],
        &["rules", "check", "secrets.yaml", "--json"],
    ] {
        let ran = folder.run(args);
        for secret in ["t0ken-of-ours", "c2VjcmV0", "secret-of-ours"] {
            assert!(
                !ran.out.contains(secret) && !ran.err.contains(secret),
                "{ran:?}"
            );
        }
    }
    let ran = folder.run(&["rules", "try", "secrets.yaml", "callback.json", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let step = &rule(&report, "tell")["steps"][0];
    assert_eq!(step["url"], "https://lms.example.com/hooks/***");
    assert_eq!(
        step["body"],
        json!({ "token": "it is ***", "plain": [1, true, 720] })
    );
    let later = "<known when it runs>";
    assert_eq!(step["headers"]["authorization"], "Bearer ***");
    assert_eq!(step["headers"]["x-team"], "media");
    assert_eq!(step["headers"]["webhook-signature"], later);
}

#[test]
fn step_that_would_fail_is_found_before_it_runs() {
    let folder = secrets();
    let ran = folder.run(&["rules", "try", "secrets.yaml", "callback.json", "--json"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.err, "error: steps would fail, of: leave, second\n");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let step = |name: &str, number: usize| rule(&report, name)["steps"][number].clone();
    let left = step("leave", 0)["reason"].as_str().unwrap().to_owned();
    assert!(
        left.starts_with("forbidden: abc-rtc-bucket2/classes/"),
        "{left}"
    );
    assert_eq!(step("leave", 1)["outcome"], "not_reached");
    assert_eq!(step("first", 1)["tags"], json!({ "at": "Record/first" }));
    assert_eq!(
        step("second", 0)["reason"],
        "already_moved: rule \"first\" moved the recording already"
    );
    assert_eq!(step("second", 1)["tags"], json!({ "at": "Record/first" }));
}

#[test]
fn refused_file_is_shown_with_its_place() {
    let folder = Folder::new();
    folder.write(
        "rules.yaml",
        "destinations: { lms: { url: 'https://${HOST}/x' } }\nrules:\n  - nam: r\n    steps: [{ notify: lms }]\n",
    );
    let ran = folder.run(&["rules", "check", "rules.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(65), ""));
    insta::assert_snapshot!("missing_variable", ran.err);

    let folder = folder.with_env("HOST", "lms.example.com");
    let ran = folder.run(&["rules", "check", "rules.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(65), ""));
    insta::assert_snapshot!("typing_error", ran.err);

    let ran = folder.run(&["rules", "check", "rules.yaml", "--json"]);
    assert_eq!(ran.code, Some(65));
    let refused: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(refused["fine"], false);
    assert_eq!(refused["problems"][0]["line"], 3);
    assert_eq!(refused["problems"][0]["column"], 5);
}

#[test]
fn directory_that_two_buckets_lead_to_is_refused_whatever_the_link() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("real/old")).unwrap();
    std::os::unix::fs::symlink("real", folder.path("link")).unwrap();
    for (path, refusal) in [
        (
            "link",
            "bucket `b` has the same directory as bucket `a`, links followed",
        ),
        (
            "link/old",
            "bucket `b` is inside the directory of bucket `a`, links followed",
        ),
        (
            "link/new/new",
            "bucket `b` is inside the directory of bucket `a`, links followed",
        ),
        (
            "link/..",
            "bucket `b` holds the directory of bucket `a`, links followed",
        ),
    ] {
        let rules = format!(
            "buckets: {{ a: {{ store: folder, path: real }}, b: {{ store: folder, path: {path} }} }}\n\
             rules: [{{ name: r, steps: [{{ tag: by_room }}] }}]\n"
        );
        folder.write("rules.yaml", &rules);
        let ran = folder.run(&["rules", "check", "rules.yaml"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(65), ""), "{path}");
        assert!(ran.err.contains(refusal), "{path}: {}", ran.err);
    }
}

#[test]
fn accepted_file_is_summed_up() {
    let folder = Folder::new();
    folder.write(
        "noticed.yaml",
        "destinations: { lms: { url: 'https://lms.example.com' } }\n\
         rules: [{ name: r, on_dead: lms, steps: [{ notify: lms }] }]\n",
    );
    let shown = folder.fine(&["rules", "check", "noticed.yaml"]);
    insta::assert_snapshot!(shown);
    let checked = folder.json(&["rules", "check", "noticed.yaml"]);
    assert_eq!(checked["fine"], true);
    assert_eq!(checked["rules"], json!(["r"]));
    assert_eq!(checked["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn secrets_sent_over_plain_http_cause_a_warning() {
    let folder = Folder::new();
    folder.write(
        "exposed.yaml",
        "buckets:\n\
         \x20 bucket-1: { store: obs, endpoint: 'http://obs.example.com', access_key: a, secret_key: abcdefgh }\n\
         \x20 bucket-2: { store: obs, endpoint: 'https://obs.example.com', access_key: a, secret_key: abcdefgh }\n\
         \x20 bucket-3: { store: obs, endpoint: 'http://127.0.0.1:9000', addressing: path, access_key: a, secret_key: abcdefgh }\n\
         destinations:\n\
         \x20 d1: { url: 'http://lms.example.com', headers: { Authorization: Bearer abcdefgh } }\n\
         \x20 d2: { url: 'http://chat.example.com/send?key=abcdefgh', format: wecom }\n\
         \x20 d3: { url: 'https://lms.example.com', proxy: 'http://me:abcdefgh@proxy.example.com' }\n\
         \x20 d4: { url: 'https://lms.example.com', headers: { Authorization: Bearer abcdefgh } }\n\
         \x20 d5: { url: 'http://lms.example.com', headers: { Accept: text/plain } }\n\
         \x20 d6: { url: 'http://[::1]:9', allow_private: true, headers: { Authorization: Bearer abcdefgh } }\n\
         \x20 d7: { url: 'http://localhost', allow_private: true, headers: { Authorization: Bearer abcdefgh } }\n\
         \x20 d8: { url: 'http://10.0.0.7', allow_private: true, headers: { X-Token: abcdefgh } }\n\
         rules: []\n",
    );
    let checked = folder.json(&["rules", "check", "exposed.yaml"]);
    let exposed: Vec<_> = checked["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|warning| warning["message"].as_str().unwrap().contains("plain http"))
        .map(|warning| warning["line"].as_u64().unwrap())
        .collect();
    assert_eq!(exposed, [2, 6, 7, 8, 13], "{checked}");
    assert!(!checked.to_string().contains("abcdefgh"));
}

#[test]
fn missing_directory_causes_a_warning() {
    let folder = Folder::new();
    folder.write(
        "rules.yaml",
        "buckets:\n\
         \x20 here: { store: folder, path: here }\n\
         \x20 typo: { store: folder, path: recrodings }\n\
         \x20 file: { store: folder, path: rules.yaml }\n\
         rules: [{ name: r, steps: [{ tag: by_room }] }]\n",
    );
    std::fs::create_dir(folder.path("here")).unwrap();
    let checked = folder.json(&["rules", "check", "rules.yaml"]);
    assert_eq!(checked["fine"], true);
    let warnings = checked["warnings"].as_array().unwrap();
    let told: Vec<_> = warnings
        .iter()
        .filter_map(|warning| {
            let message = warning["message"].as_str().unwrap();
            let line = warning["line"].as_u64().unwrap();
            message
                .contains("no directory is at")
                .then_some((line, message))
        })
        .collect();
    let [(3, typo), (4, _)] = told[..] else {
        panic!("{checked}")
    };
    assert!(
        typo.contains("`typo`") && typo.contains("`recrodings`"),
        "{typo}"
    );
}

#[test]
fn schema_is_one_document_and_its_hint_is_for_terminals() {
    let schema: Value = serde_json::from_str(&Folder::new().fine(&["rules", "schema"])).unwrap();
    assert!(schema["properties"]["rules"].is_object());
}
