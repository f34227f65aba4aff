//! What OBS does beyond `object_contract`, on a server that checks every signature.

use std::collections::BTreeMap;
use std::time::Duration;

use aftertake::clock;
use aftertake::model::failure::FailureKind;
use aftertake::object::{Attributes, ObjectStore, Rights};

use crate::support::fake_obs::{FakeObs, Object, TOKEN, store_with};

/// GETs a link as a browser would: without credentials.
pub(crate) async fn follow(link: String) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(link).send().await.unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn deletion_answers_the_keys_it_could_not_delete_and_asks_for_a_thousand_at_once() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let mut keys: Vec<String> = (0..1500).map(|number| format!("k{number:04}")).collect();
    obs.world(|world| {
        for key in &keys {
            world.put("b1", key, Object::text(""));
        }
    });
    keys.push("locked/a&b".to_owned());
    let failed = store.delete(&keys).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, "locked/a&b");
    assert_eq!(failed[0].1.kind, FailureKind::Denied);
    assert!(obs.world(|world| world.bucket("b1").objects.is_empty()));
    assert_eq!(obs.lines(0), ["POST b1/?delete", "POST b1/?delete"]);
    assert_eq!(store.delete(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn tag_that_obs_refuses_is_invalid() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    obs.world(|world| world.put("b1", "k", Object::text("")));
    let failure = store
        .set_tags("k", &map(&[("a", "b/c")]))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
}

#[tokio::test]
async fn metadata_is_percent_encoded_where_no_header_can_have_it() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let attributes = Attributes {
        metadata: map(&[("room", "房 1%20")]),
        ..Attributes::default()
    };
    let metadata = async || store.head("k").await.unwrap().unwrap().attributes.metadata;
    store.put("k", "film".into(), &attributes).await.unwrap();
    assert_eq!(metadata().await, map(&[("room", "%E6%88%BF 1%20")]));
    let given = map(&[("room", "房=1")]);
    store.set_metadata("k", &given).await.unwrap();
    assert_eq!(metadata().await, map(&[("room", "%E6%88%BF=1")]));
    let failure = store
        .set_metadata("k", &map(&[("a b", "c")]))
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid, "{failure}");
}

#[tokio::test]
async fn access_rights_read_back_as_they_were_given() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let grants = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter()
            .map(|(who, what)| ((*who).to_owned(), (*what).to_owned()))
            .collect()
    };
    for (name, given) in [
        ("private", grants(&[])),
        ("public", grants(&[("*", "READ")])),
        (
            "shared",
            grants(&[("*", "READ"), ("d1", "FULL_CONTROL"), ("d2", "READ_ACP")]),
        ),
    ] {
        obs.world(|world| {
            let mut object = Object::text("");
            object.grants.clone_from(&given);
            world.put("b1", name, object);
            world.put("b1", "other", Object::text("").dressed());
        });
        let rights = store.rights(name).await.unwrap();
        assert_eq!(rights == Rights::Private, given.is_empty());
        store.set_rights("other", &rights).await.unwrap();
        let got = obs.world(|world| world.object("b1", "other").unwrap().grants.clone());
        assert_eq!(got, given, "{name}");
    }
}

#[tokio::test]
async fn signed_link_works_without_credentials_until_it_ends() {
    let obs = FakeObs::start().await;
    let mut access = obs.access();
    for token in [None, Some(TOKEN)] {
        access.security_token = token.map(|token| token.to_owned().into());
        let store = store_with("b1", &access);
        obs.world(|world| world.put("b1", "录制/a b.mp4", Object::text("film")));
        let get = async |lifetime, now| {
            let link = store.signed_url("录制/a b.mp4", lifetime, now);
            follow(link).await
        };
        let minute = Duration::from_mins(1);
        let answer = get(minute, clock::now()).await;
        assert_eq!(answer.text().await.unwrap(), "film");
        let answer = get(minute, clock::now().minus(2 * minute)).await;
        assert_eq!(answer.status(), 403);
        obs.demand_token();
    }
}

#[tokio::test]
async fn links_and_site_name_the_endpoint() {
    let obs = FakeObs::start().await;
    let store = obs.store("b1");
    let site = format!("http://{}", obs.address);
    assert_eq!(store.copy_domain(), site);
    assert_eq!(
        store.url("a/房 1.mp4"),
        format!("{site}/b1/a/%E6%88%BF%201.mp4")
    );
}
