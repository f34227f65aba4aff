//! Access to the operator listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aftertake::http::ops::{self, Ops, ServiceStatus, Token};
use aftertake::http::reload::{Reload, ReloadRefused};
use aftertake::http::server::Site;
use aftertake::in_force::{Current, Snapshot};
use aftertake::model::time::Timestamp;
use async_trait::async_trait;
use tokio::sync::watch;

use super::failed_disk::FailedDisk;
use super::{Listening, PATIENT, in_force};

/// Counts reloads, which end as preset.
#[derive(Default)]
struct Reloads {
    refused: Option<ReloadRefused>,
    asked: AtomicUsize,
}

#[async_trait]
impl Reload for Reloads {
    async fn reload(&self) -> Result<Arc<Snapshot>, ReloadRefused> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.refused.clone().map_or_else(|| Ok(rules().get()), Err)
    }
}

fn rules() -> Current {
    in_force("rules: []", Timestamp::from_millis(1000))
}

fn operators(
    token: Option<Token>,
    standing: ServiceStatus,
) -> (Site, watch::Sender<ServiceStatus>) {
    reloading(token, standing, Arc::default())
}

fn reloading(
    token: Option<Token>,
    standing: ServiceStatus,
    reload: Arc<Reloads>,
) -> (Site, watch::Sender<ServiceStatus>) {
    let (sender, standing) = watch::channel(standing);
    let site = ops::site(Ops {
        store: Arc::new(FailedDisk::default()),
        metrics: Arc::default(),
        current: rules(),
        status: standing,
        reload,
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
async fn operator_listener_with_a_token_shows_others_only_that_it_runs() {
    let token = Token::new("open sesame\n");
    let (site, _standing) = operators(Some(token), ServiceStatus::default());
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
    let standing = ServiceStatus {
        refused: Some(ReloadRefused {
            at: Timestamp::from_millis(2000),
            reason: "bad rules".into(),
            passing: false,
        }),
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
            "revision": rules().get().revision().to_string(),
            "loaded": "1970-01-01T00:00:01Z",
            "reload_error": { "at": "1970-01-01T00:00:02Z", "reason": "bad rules" },
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
    let (site, _standing) = operators(None, ServiceStatus::default());
    let listening = Listening::start(site, PATIENT).await;
    let response = reqwest::Client::new()
        .delete(listening.url("/metrics"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
}

async fn post(listening: &Listening, token: &str) -> reqwest::Response {
    let request = reqwest::Client::new().post(listening.url("/-/reload"));
    request.header("authorization", token).send().await.unwrap()
}

#[tokio::test]
async fn reload_needs_the_token_and_the_right_method() {
    let reload = Arc::new(Reloads::default());
    let token = Some(Token::new("open sesame"));
    let (site, _standing) = reloading(token, ServiceStatus::default(), Arc::clone(&reload));
    let listening = Listening::start(site, PATIENT).await;
    let refused = post(&listening, "Bearer open").await;
    assert_eq!(refused.status(), 401);
    let read = get(&listening, "/-/reload", Some("Bearer open sesame")).await;
    assert_eq!(read.status(), 405);
    assert_eq!(read.headers()["allow"], "POST");
    assert_eq!(reload.asked.load(Ordering::SeqCst), 0);
    let loaded = post(&listening, "Bearer open sesame").await;
    assert_eq!(loaded.status(), 200);
    let revision = rules().get().revision().to_string();
    let said: serde_json::Value = serde_json::from_str(&loaded.text().await.unwrap()).unwrap();
    let expected = serde_json::json!({ "revision": revision, "loaded": "1970-01-01T00:00:01Z" });
    assert_eq!(said, expected);
    assert_eq!(reload.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn refused_reload_is_answered_with_its_reason_and_whether_to_retry() {
    for (passing, status) in [(false, 422), (true, 503)] {
        let reload = Arc::new(Reloads {
            refused: Some(ReloadRefused {
                at: Timestamp::from_millis(0),
                reason: "error: two\nlines".into(),
                passing,
            }),
            ..Reloads::default()
        });
        let (site, _standing) = reloading(None, ServiceStatus::default(), reload);
        let listening = Listening::start(site, PATIENT).await;
        let answer = post(&listening, "none").await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers().contains_key("retry-after"), passing);
        let said = answer.text().await.unwrap();
        assert_eq!(said, r#"{"error":"error: two\nlines"}"#);
    }
}

#[tokio::test]
async fn cross_site_reload_is_refused() {
    let reload = Arc::new(Reloads::default());
    let (site, _standing) = reloading(None, ServiceStatus::default(), Arc::clone(&reload));
    let listening = Listening::start(site, PATIENT).await;
    let ask = async |name: &str, value: &str| {
        let post = reqwest::Client::new().post(listening.url("/-/reload"));
        post.header(name, value).send().await.unwrap().status()
    };
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
    ] {
        assert_eq!(ask(name, value).await, 403, "{name}: {value}");
    }
    assert_eq!(reload.asked.load(Ordering::SeqCst), 0);
    for (name, value) in [
        ("origin", listening.url("").as_str()),
        ("host", "localhost"),
    ] {
        assert_eq!(ask(name, value).await, 200, "{name}: {value}");
    }
}
