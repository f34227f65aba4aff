//! Who is shown what on the operator listener.

use std::sync::Arc;

use aftertake::http::ops::{self, Ops, Standing, Token};
use aftertake::http::server::Site;
use aftertake::model::task::RevisionId;
use tokio::sync::watch;

use super::failed_disk::FailedDisk;
use super::{Listening, PATIENT};

fn operators(token: Option<Token>, standing: Standing) -> (Site, watch::Sender<Standing>) {
    let (sender, standing) = watch::channel(standing);
    let site = ops::site(Ops {
        store: Arc::new(FailedDisk::default()),
        metrics: Arc::default(),
        standing,
        token,
    });
    (site, sender)
}

async fn get(listening: &Listening, path: &str, token: Option<&str>) -> reqwest::Response {
    let mut request = reqwest::Client::new().get(listening.url(path));
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn operator_listener_with_a_token_shows_strangers_nothing_but_that_it_runs() {
    let token = Token::new("open sesame\n");
    let (site, _standing) = operators(Some(token), Standing::default());
    let listening = Listening::start(site, PATIENT).await;
    for path in ["/readyz", "/metrics", "/nothing"] {
        for wrong in [
            None,
            Some("Bearer open"),
            Some("Bearer "),
            Some("Basic open sesame"),
            Some("open sesame"),
        ] {
            let response = get(&listening, path, wrong).await;
            assert_eq!(response.status(), 401, "{path} {wrong:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(get(&listening, "/healthz", None).await.status(), 200);
    for right in ["Bearer open sesame", "bearer  open sesame"] {
        let response = get(&listening, "/metrics", Some(right)).await;
        assert_eq!(response.status(), 200);
    }
    let response = get(&listening, "/nothing", Some("Bearer open sesame")).await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn service_whose_store_does_not_answer_is_not_ready_and_says_why() {
    let standing = Standing {
        revision: Some(RevisionId::of("rules")),
        workers_paused: Some("the store fails".into()),
    };
    let (site, _standing) = operators(None, standing);
    let listening = Listening::start(site, PATIENT).await;
    let response = get(&listening, "/readyz", None).await;
    assert_eq!(response.status(), 503);
    let shown = response.text().await.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown,
        serde_json::json!({
            "ready": false,
            "version": env!("CARGO_PKG_VERSION"),
            "revision": RevisionId::of("rules").to_string(),
            "store": "store /full: no space left",
            "workers_paused": "the store fails",
        })
    );
    let response = get(&listening, "/metrics", None).await;
    assert_eq!(
        response.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let metrics = response.text().await.unwrap();
    assert!(metrics.contains("\naftertake_store_up 0\n"), "{metrics}");
    assert!(
        metrics.contains("\naftertake_workers_paused 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn method_other_than_get_is_refused_on_the_operator_listener() {
    let (site, _standing) = operators(None, Standing::default());
    let listening = Listening::start(site, PATIENT).await;
    let response = reqwest::Client::new()
        .delete(listening.url("/metrics"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
}
