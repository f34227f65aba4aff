//! Secrets that a destination echoes are stored nowhere, in any encoding.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{Env, PATIENT, TestService};

const WRITTEN_OUT: &str = "written-out-t0ken";
const QUOTED: &str = "line one\n\"two\" \\ three /&+%41";
const PIN: &str = "12345678901";
const IN_PATH: &str = "t0ken-in-the-path";
const PASSWORD: &str = "basic-passw0rd";

const SECRETS: [&str; 5] = [WRITTEN_OUT, QUOTED, PIN, IN_PATH, PASSWORD];

/// Encodings in which a receiver may echo a secret.
fn echo() -> Value {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let percent = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let all = |change: &dyn Fn(&str) -> String| SECRETS.map(change).to_vec();
    json!({
        "plain": SECRETS,
        "json": all(&|secret| json(&json(secret))),
        "percent": all(&|secret| percent(secret).to_lowercase()),
        "base64": all(&|secret| STANDARD.encode(format!("user:{secret}"))),
        "pin": PIN.parse::<u64>().unwrap(),
        WRITTEN_OUT: true,
        "kept": "the course is 7",
    })
}

fn rules() -> &'static str {
    "destinations:\n\
     \x20 lms:\n\
     \x20   url: '${LMS_URL}'\n\
     \x20   allow_private: true\n\
     \x20   headers: { Authorization: 'Bearer written-out-t0ken', X-Pin: '${PIN}', X-Basic: 'Basic ${BASIC}', X-Team: media }\n\
     retry: { tries: 1 }\n\
     rules:\n\
     \x20 - name: announce\n\
     \x20   steps:\n\
     \x20     - { id: ask, notify: { destination: lms, path: '/more', body: { a: '${QUOTED}' } } }\n\
     \x20     - { id: tell, notify: { destination: lms, body: { asked: '{{ steps.ask.body }}', a: '${QUOTED}' } } }\n"
}

fn files(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[tokio::test]
async fn echoed_secrets_are_stored_in_no_encoding() {
    let test_service = TestService::new();
    let refusal = Reply::status(422).header("x-request-id", WRITTEN_OUT);
    let sink = Sink::start([
        Reply::status(200).body(echo().to_string()),
        refusal.body(echo().to_string()),
    ])
    .await;
    // Not normalized, as an operator may write it.
    let url = format!(
        "HTTP://LocalHost:{}/a/../hooks/t0k%65n-in-the-path?x=1 ",
        sink.port()
    );
    let basic = STANDARD.encode(format!("aftertake:{PASSWORD}"));
    let env = Env::from([
        ("LMS_URL", &*url.leak()),
        ("QUOTED", QUOTED),
        ("PIN", PIN),
        ("BASIC", &*basic.leak()),
    ]);
    let running = test_service.start_in(rules(), &env, PATIENT).await;
    running.front.announce("a.mp4").await;
    running.store.settled(1).await;
    running.service.drain().await;

    let sent = sink.requests();
    assert_eq!(sent[0].header("authorization"), "Bearer written-out-t0ken");
    let told: Value = serde_json::from_slice(&sent[1].body).unwrap();
    assert_eq!(told["a"], QUOTED);
    assert_eq!(told["asked"]["kept"], "the course is 7");
    assert_eq!(
        told["asked"]["plain"],
        json!(["***", "***", "***", "***", "***"])
    );
    assert_eq!(told["asked"]["pin"], "***");

    let task = test_service.only();
    let exchange = task.attempts[1].exchange.clone().unwrap();
    assert_eq!(exchange.request_id.as_deref(), Some("***"));
    let answer = exchange.answer.unwrap();
    assert!(answer.contains(r#""kept":"the course is 7""#), "{answer}");
    assert!(answer.contains(r#""pin":***"#), "{answer}");
    let stored = files(test_service.folder());
    let stands = |form: &str| {
        stored
            .windows(form.len())
            .any(|part| part == form.as_bytes())
    };
    assert!(stands("the course is 7"));
    for secret in SECRETS {
        let json = serde_json::to_string(secret).unwrap();
        let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        // Bytes before a secret affect how base64 encodes its first bytes.
        let base64 = &STANDARD.encode(format!("user:{secret}"))[8..16];
        for form in [
            secret,
            json.trim_matches('"'),
            &percent.to_lowercase(),
            base64,
        ] {
            assert!(!stands(form), "{form:?} is in the store");
        }
    }
}
