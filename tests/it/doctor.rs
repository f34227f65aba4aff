//! `aftertake doctor` with a fake OBS and receivers that are up or down.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::fake_obs::{ACCESS_KEY, FakeObs, Fault, Kind, Object, SECRET_KEY};

/// A rules file with one bucket, and a destination at `receiver`.
struct Patient {
    obs: FakeObs,
    folder: tempfile::TempDir,
    receiver: TcpListener,
}

impl Patient {
    async fn new(kind: Kind) -> Self {
        let obs = FakeObs::start().await;
        obs.world(|world| {
            world.make("recordings", kind);
            world.put("recordings", "Record/x.mp4", Object::text("x"));
        });
        Self {
            obs,
            folder: tempfile::tempdir().unwrap(),
            receiver: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    /// Runs the doctor; returns its exit code and its results by check name.
    async fn examine(&self, secret_key: &str, to: &str, flags: &'static [&str]) -> (i32, Value) {
        let rules = format!(
            "callbacks: {{ sparkrtc: {{ keys: [0123456789abcdef0123456789abcdef] }} }}\n\
             buckets:\n  recordings: {{ store: obs, endpoint: \"http://{}\", addressing: path, access_key: {ACCESS_KEY}, \
             secret_key: \"{secret_key}\", only_under: [Record/] }}\n\
             destinations:\n  lms: {{ url: \"http://{to}/hidden-path\", allow_private: true }}\n\
             rules:\n  - {{ name: r, steps: [{{ tag: by_room }}, {{ notify: lms }}] }}\n",
            self.obs.address,
        );
        std::fs::write(self.folder.path().join("rules.yaml"), rules).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
        command
            .args(["doctor", "--json"])
            .args(flags)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
        let ran = ran.await.unwrap();
        assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
        let out = String::from_utf8(ran.stdout).unwrap();
        assert!(
            !out.contains("hidden-path") && !out.contains(secret_key),
            "{out}"
        );
        let code = ran.status.code().unwrap();
        (code, serde_json::from_str(&out).unwrap())
    }

    async fn examine_well(&self, flags: &'static [&str]) -> (i32, Value) {
        let to = self.receiver.local_addr().unwrap().to_string();
        self.examine(SECRET_KEY, &to, flags).await
    }
}

/// The bucket's checks, each with whether it passed.
fn checks(found: &Value) -> Vec<(&str, bool)> {
    let checks = found[0]["checks"].as_array().unwrap();
    let told = |check: &Value| check["outcome"] == "passed";
    let name = |check: &'_ Value| check["name"].as_str().unwrap().to_owned();
    checks
        .iter()
        .map(|check| (&*name(check).leak(), told(check)))
        .collect()
}

fn detail<'a>(found: &'a Value, check: &str) -> &'a str {
    let mut checks = found[0]["checks"].as_array().unwrap().iter();
    let found = checks.find(|found| found["name"] == check).unwrap();
    found["detail"].as_str().unwrap()
}

#[tokio::test]
async fn all_is_well_and_only_writing_writes() {
    let patient = Patient::new(Kind::Objects).await;
    let (code, found) = patient.examine_well(&[]).await;
    assert_eq!(code, 0, "{found}");
    let read = [("list", true), ("layout", true), ("tags", true)];
    assert_eq!(checks(&found), read);
    assert!(
        patient
            .obs
            .requests()
            .iter()
            .all(|asked| asked.method != "PUT")
    );
    assert_eq!(found[1]["checks"][0]["outcome"], "passed", "{found}");
    // It connected and sent nothing.
    let (connection, _) = patient.receiver.accept().await.unwrap();
    let sent = connection
        .readable()
        .await
        .map(|()| connection.try_read(&mut [0; 1]));
    assert_eq!(sent.unwrap().unwrap(), 0);

    let (code, found) = patient.examine_well(&["--write"]).await;
    assert_eq!(code, 0, "{found}");
    let written = ["put", "tag", "rights", "copy", "metadata", "delete"].map(|check| (check, true));
    assert_eq!(checks(&found), [&read[..], &written[..]].concat());
    let left = patient
        .obs
        .world(|world| world.bucket("recordings").objects.len());
    assert_eq!(left, 1, "the probe is left");
}

#[tokio::test]
async fn parallel_file_system_is_asked_to_rename() {
    let patient = Patient::new(Kind::FileSystem).await;
    let (code, found) = patient.examine_well(&["--write"]).await;
    assert_eq!(code, 0, "{found}");
    assert!(detail(&found, "layout").contains("parallel file system"));
    assert!(checks(&found).contains(&("rename", true)), "{found}");
    assert!(detail(&found, "tags").contains("no object tags"), "{found}");
    let left = patient
        .obs
        .world(|world| world.bucket("recordings").objects.len());
    assert_eq!(left, 1, "the probe is left");
}

#[tokio::test]
async fn usual_mistakes_are_explained() {
    let patient = Patient::new(Kind::Objects).await;
    let to = patient.receiver.local_addr().unwrap().to_string();
    let (code, found) = patient.examine("wrong-secret-key", &to, &[]).await;
    assert_eq!(code, 1);
    assert!(
        detail(&found, "list").contains("check `secret_key`"),
        "{found}"
    );

    for (status, code, words) in [
        (
            400,
            "VirtualHostDomainRequired",
            "use `addressing: virtual`",
        ),
        (403, "InArrearOrInsufficientBalance", "has to be topped up"),
        (403, "InvalidAccessKeyId", "check `access_key`"),
        (
            404,
            "NoSuchBucket",
            "check the bucket's name and the region",
        ),
    ] {
        patient.obs.strike(0, Fault::Refuse(status, code));
        let (exit, found) = patient.examine_well(&["--write"]).await;
        assert_eq!(exit, 1, "{code}");
        assert!(detail(&found, "list").contains(words), "{found}");
    }

    patient.obs.set_ahead(Duration::from_mins(20));
    let (code, found) = patient.examine_well(&[]).await;
    assert_eq!(code, 1, "{found}");
    assert!(detail(&found, "clock").contains("behind OBS's"), "{found}");
}

#[tokio::test]
async fn missing_permission_is_named_and_test_objects_are_removed() {
    let patient = Patient::new(Kind::Objects).await;
    let refused = Fault::Refuse(403, "AccessDenied");
    let is_copy = |asked: &crate::support::fake_obs::Recorded| {
        asked.headers.contains_key("x-obs-copy-source")
    };
    patient.obs.strike_every(is_copy, refused);
    let (code, found) = patient.examine_well(&["--write"]).await;
    assert_eq!(code, 1, "{found}");
    assert!(detail(&found, "copy").contains("AccessDenied"), "{found}");
    let left = patient
        .obs
        .world(|world| world.bucket("recordings").objects.len());
    assert_eq!(left, 1, "the probe is left");
}

#[tokio::test]
async fn unreachable_destination_is_reported() {
    let patient = Patient::new(Kind::Objects).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = gone.local_addr().unwrap().to_string();
    drop(gone);
    let (code, found) = patient.examine(SECRET_KEY, &to, &[]).await;
    assert_eq!(code, 1, "{found}");
    let detail = found[1]["checks"][0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("unreachable") && detail.contains(&to),
        "{detail}"
    );
}

#[test]
fn missing_folder_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "buckets: { b: { store: folder, path: recordings } }\n\
                 rules: [{ name: r, steps: [{ tag: by_room }] }]\n";
    std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    let examine = |code| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aftertake"));
        let ran = command
            .args(["doctor", "--json"])
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(code), "{ran:?}");
        serde_json::from_slice::<Value>(&ran.stdout).unwrap()
    };
    let found = examine(1);
    let told = detail(&found, "list");
    assert!(told.contains("no directory is at"), "{found}");
    assert!(!folder.path().join("recordings").exists());
    std::fs::create_dir(folder.path().join("recordings")).unwrap();
    assert_eq!(checks(&examine(0)), [("list", true), ("layout", true)]);
}
