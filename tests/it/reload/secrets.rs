//! A reload reads secrets again, and old ones stay masked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aftertake::recorder::sparkrtc::signature::{RAND, SIGNATURE, TIMESTAMP, sign};
use aftertake::rules::file::{self, Lookup};
use aftertake::store::operator::Operator;
use aftertake::yaml::variables::Variables;

use crate::support::sink::{Reply, Sink};
use crate::support::test_service::{PATIENT, Running, TestService, callback};

/// Reads each variable from the file of its name.
pub(super) struct Files(pub(super) PathBuf);

impl Lookup for Files {}

impl Variables for Files {
    fn get(&self, name: &str) -> Option<String> {
        name.strip_suffix("_FILE").map(str::to_owned)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
    }
}

fn rotate(folder: &Path, key: &str, token: &str) {
    std::fs::write(folder.join("KEY"), key).unwrap();
    std::fs::write(folder.join("TOKEN"), token).unwrap();
}

async fn post(running: &Running, object: &str, key: &str) -> u16 {
    let body = callback(object);
    let signature = sign(&key.into(), "rand", "1", body.as_bytes());
    let url = format!("http://{}/callbacks/sparkrtc", running.front.public);
    let request = reqwest::Client::new().post(url).body(body);
    let signed = request
        .header(RAND, "rand")
        .header(TIMESTAMP, "1")
        .header(SIGNATURE, signature);
    signed.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn rotated_secrets_are_in_force_after_a_reload_and_the_old_ones_stay_hidden() {
    let test_service = TestService::new();
    let folder = test_service.rules().parent().unwrap().to_owned();
    let echo = "it was old-token-77, it is new-token-88";
    let sink = Sink::start([Reply::status(200), Reply::status(422).body(echo)]).await;
    let rules = format!(
        "callbacks: {{ sparkrtc: {{ keys: ['${{KEY}}'] }} }}\n\
         destinations: {{ lms: {{ url: '{}', allow_private: true, headers: {{ X-Token: '${{TOKEN}}' }} }} }}\n\
         rules: [{{ name: announce, steps: [{{ notify: lms }}] }}]\n",
        sink.url("/"),
    );
    rotate(&folder, "old-key", "old-token-77");
    let files = Arc::new(Files(folder.clone()));
    let file = file::parse("rules.yaml", &rules, &folder, &*files).unwrap();
    let running = test_service.start_on(file, files, PATIENT).await;
    assert_eq!(post(&running, "a.mp4", "old-key").await, 200);
    running.store.settled(1).await;
    rotate(&folder, "new-key", "new-token-88");
    test_service.reload(&running, &rules).await;
    assert_eq!(post(&running, "b.mp4", "old-key").await, 401);
    assert_eq!(post(&running, "b.mp4", "new-key").await, 200);
    running.store.settled(2).await;
    running.service.drain().await;

    let tokens = sink.requests();
    let tokens: Vec<_> = tokens.iter().map(|one| one.header("x-token")).collect();
    assert_eq!(tokens, ["old-token-77", "new-token-88"]);
    let dead = test_service
        .operator()
        .task(test_service.tasks()[1].id)
        .unwrap()
        .unwrap();
    let exchange = dead.attempts[0].exchange.as_ref().unwrap();
    assert_eq!(exchange.answer.as_deref(), Some("it was ***, it is ***"));
}
