//! Recordings that cannot be moved: the task is dead with a reason a person can act on, and every
//! object is where it was.

use std::collections::BTreeMap;

use super::TAKES;
use crate::support::fake_obs::{FakeObs, Fault, Kind, Object, Recorded, World};
use crate::support::obs_recording::{ARCHIVE, ObsRecording, RECORDED};
use crate::support::obs_service::ObsService;

type Objects = BTreeMap<(String, String), Object>;

fn objects(world: &World) -> Objects {
    let mut all = BTreeMap::new();
    for (bucket, inside) in &world.buckets {
        for (key, object) in &inside.objects {
            all.insert((bucket.clone(), key.clone()), object.clone());
        }
    }
    all
}

/// Changes the world and the settings, and asserts that the task dies for this reason with
/// nothing moved.
async fn dies(
    make: fn(&FakeObs) -> ObsRecording,
    change: impl FnOnce(&mut ObsService),
    reason: &str,
) {
    let mut obs_service = ObsService::new(make).await;
    obs_service.obs.after_every_mutation(|_| {});
    obs_service.bucket = "source_grace: 0s";
    change(&mut obs_service);
    let before = obs_service.obs.world(|world| objects(world));
    obs_service.play_once().await;
    let said = obs_service.reason();
    assert!(said.contains(reason), "{said}\nlacks {reason}");
    obs_service.obs.world(|world| {
        assert_eq!(objects(world), before, "{said}");
        assert_eq!(world.open_uploads(), 0);
    });
}

fn in_world(change: impl FnOnce(&mut World)) -> impl FnOnce(&mut ObsService) {
    |obs_service: &mut ObsService| obs_service.obs.world(change)
}

/// Replaces the playlist by this text.
fn playlist(text: &str) -> impl FnOnce(&mut ObsService) {
    in_world(move |world| world.put(RECORDED, "r/x/a.m3u8", Object::text(text)))
}

#[tokio::test]
async fn recording_that_nobody_allows_to_read_is_dead_after_the_last_try() {
    let forbid = |obs_service: &mut ObsService| {
        obs_service.tries = 1;
        let reads = |request: &Recorded| matches!(request.method.as_str(), "GET" | "HEAD");
        let of_recording = move |request: &Recorded| reads(request) && !request.key.is_empty();
        let denied = Fault::Refuse(403, "AccessDenied");
        obs_service.obs.strike_every(of_recording, denied);
    };
    let reason =
        "; nothing is moved until that is allowed; gave up: all 1 tries are spent (retry.tries)";
    dies(TAKES[0], forbid, reason).await;
}

#[tokio::test]
async fn archived_source_is_left_as_it_is() {
    let archive = in_world(|world| {
        let objects = &mut world.bucket(RECORDED).objects;
        objects.get_mut("r/录 1.mp4").unwrap().storage_class = "COLD".to_owned();
    });
    dies(
        TAKES[0],
        archive,
        "the object is archived: restore it first",
    )
    .await;
    let archive_one_segment = in_world(|world| {
        let objects = &mut world.bucket(RECORDED).objects;
        objects.get_mut("r/x/3.ts").unwrap().storage_class = "COLD".to_owned();
    });
    dies(TAKES[2], archive_one_segment, "restore it first").await;
}

#[tokio::test]
async fn invalid_playlist_is_refused() {
    for (text, reason) in [
        (
            "<!DOCTYPE html><html>502 Bad Gateway</html>",
            "its first line is not #EXTM3U",
        ),
        ("\u{0}\u{1}\u{2}", "its first line is not #EXTM3U"),
        (
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n",
            "it refers to the playlist itself",
        ),
        (
            "#EXTM3U\n../../../other.ts\n",
            "line 2: it leads above the bucket's top",
        ),
        (
            "#EXTM3U\n1.ts\n../../other.ts\n",
            "line 3: \"other.ts\" is above the playlist's folder, and would move to \"other.ts\", outside of \"classes/\"",
        ),
        (
            "#EXTM3U\n1.ts\nmissing.ts\n",
            "recorded/r/x/missing.ts does not exist",
        ),
    ] {
        dies(TAKES[2], playlist(text), reason).await;
    }
    let endless = "#EXTM3U\n".to_owned() + &"1.ts\n".repeat(2_200_000);
    dies(
        TAKES[2],
        playlist(&endless),
        "bytes or more, and 10485760 is the limit",
    )
    .await;
}

#[tokio::test]
async fn key_or_bucket_outside_the_rules_is_refused() {
    let rename = |to: &str| format!("[{{ rename: {{ to: {to} }} }}]");
    let long = rename(&format!("'classes/{}'", "x".repeat(1100)));
    for (steps, reason) in [
        (long, "longer than 1024 bytes"),
        (rename("'other/b.mp4'"), "outside only_under"),
        (
            rename("'classes/{{ room_id | replace(\"class-7\", \"..\") }}/b.mp4'"),
            "a segment . or ..",
        ),
        (
            rename("'classes/{{ room_id | replace(\"class-7\", \"\") }}/b.mp4'"),
            "empty segment",
        ),
        (
            rename("'classes/{{ room_id | replace(\"-\", \"\\n\") }}/b.mp4'"),
            "control character",
        ),
    ] {
        let change = |obs_service: &mut ObsService| {
            obs_service.steps = steps;
            obs_service.bucket = "only_under: [r/, classes/]";
        };
        dies(TAKES[0], change, reason).await;
    }
}

#[tokio::test]
async fn set_with_an_object_outside_only_under_is_refused_whole() {
    let change = |obs_service: &mut ObsService| {
        playlist("#EXTM3U\n1.ts\n../../secret/2.ts\n")(obs_service);
        obs_service
            .obs
            .world(|world| world.put(RECORDED, "secret/2.ts", Object::text("2")));
        obs_service.bucket = "only_under: [r/, classes/]";
    };
    dies(
        TAKES[2],
        change,
        "recorded/secret/2.ts is outside only_under",
    )
    .await;
}

#[tokio::test]
async fn target_that_exists_is_left_as_it_is() {
    for (take, bucket) in [(0, RECORDED), (1, ARCHIVE), (2, ARCHIVE), (3, RECORDED)] {
        let key = ["classes/class-7/b.mp4", "classes/class-7/1.ts"][usize::from(take == 2)];
        let taken = in_world(move |world| world.put(bucket, key, Object::text("a stranger's")));
        dies(TAKES[take], taken, "exists already (on_conflict: overwrite").await;
    }
}

#[tokio::test]
async fn target_that_appears_during_the_move_is_left_as_it_is() {
    // After the manifest was made, a stranger writes to the target.
    let mut obs_service = ObsService::new(TAKES[2]).await;
    obs_service.tries = 1;
    let gate = crate::support::fake_obs::Gate::new();
    let acl = |request: &Recorded| request.has("acl");
    obs_service
        .obs
        .strike_first(acl, Fault::HoldAfter(gate.clone()));
    let service = obs_service.serve().await;
    obs_service.announce(&service).await;
    gate.reached().await;
    let stranger = Object::text("a stranger's");
    obs_service
        .obs
        .world(|world| world.put(ARCHIVE, "classes/class-7/3.ts", stranger.clone()));
    gate.open();
    service.drain().await;
    let reason = obs_service.reason();
    assert!(
        reason.contains("3.ts appeared while the recording was moved there"),
        "{reason}"
    );
    obs_service.obs.world(|world| {
        let there = world.bucket(ARCHIVE).objects.clone();
        let expected = [("classes/class-7/3.ts".to_owned(), stranger)];
        assert_eq!(there, expected.into(), "none of our copies is left");
    });
}

#[tokio::test]
async fn bucket_without_tagging_is_dead_only_if_the_rule_insists_on_tags() {
    let make = |_: &FakeObs| ObsRecording::mp4(Kind::WithoutTags, RECORDED);
    let insists = |obs_service: &mut ObsService| {
        obs_service.steps = "[{ tag: { tags: { room: x }, as: tags } }]".to_owned();
    };
    dies(make, insists, "has no object tags (as: auto uses metadata)").await;
    let obs_service = ObsService::new(make).await;
    obs_service.play("without tags").await;
    obs_service.assert_done("without tags");
    assert_eq!(obs_service.task().outputs["tag"]["as"], "metadata");
}

#[tokio::test]
async fn missing_recording_is_named_once_its_grace_is_over() {
    let lost = in_world(|world| world.bucket(RECORDED).objects.clear());
    dies(
        TAKES[0],
        lost,
        "recorded/r/录 1.mp4 does not exist, 0s (source_grace) after the event",
    )
    .await;
}
